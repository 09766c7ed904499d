"""Tables on standard output, as wide as the terminal, or as they need where there is none."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Sequence

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from spiketicket.errors import cut
from spiketicket.machine.durations import in_words
from spiketicket.machine.output import LONGEST, console, shown


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], *, title: str = "", left: int = 1
) -> None:
    """Print a table whose first ``left`` columns hold words and the others numbers.

    A column's name may have several lines. Words are broken on a terminal that is too narrow for
    them alone; where there is no terminal, the table is as wide as its words need.
    """
    if title:
        print_line(title, "bold")
    cells = [[_text(name, keep="\n") for name in columns]]
    cells += [[_text(cell) for cell in row] for row in rows]
    words = [max(_longest_word(cell) for cell in column) for column in zip(*cells, strict=True)]
    # each column has a space behind it and a gap or an edge before it
    made, least = console(), sum(words) + 2 * len(words) + 1
    if not made.is_terminal:
        made.width = max(made.width, least)
    widths = _widths(words, cells, made.width - least)
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for index, (name, width) in enumerate(zip(cells[0], widths, strict=True)):
        table.add_column(
            name,
            justify="left" if index < left else "right",
            overflow="fold",
            width=width,
        )
    for row in cells[1:]:
        table.add_row(*row)
    made.print(table)


def _widths(
    words: Sequence[int], cells: Sequence[Sequence[Text]], room: int
) -> Sequence[int | None]:
    """Columns as wide as their longest words, and ``room`` shared among those that need more."""
    if room < 0:
        return [None] * len(words)
    lines = [[max(map(len, cell.plain.split("\n"))) for cell in row] for row in cells]
    needs = [
        max(column) - word for column, word in zip(zip(*lines, strict=True), words, strict=True)
    ]
    widths: list[int | None] = list(words)
    order = sorted(range(len(words)), key=lambda index: needs[index])
    for place, index in enumerate(order):
        more = min(max(needs[index], 0), room // (len(order) - place))
        widths[index] = words[index] + more
        room -= more
    return widths


def _longest_word(text: Text) -> int:
    return max((cell_len(word) for word in text.plain.split()), default=0)


def print_facts(facts: Iterable[tuple[str, str]], *, title: str = "") -> None:
    """Print name and value, one a line; a long value goes on below itself, between its words.

    A word is never broken: a path or a digest can be copied.
    """
    if title:
        print_line(title, "bold")
    shown_facts = [(_plain(name), _plain(value)) for name, value in facts]
    made = console()
    indent = 2 + max((len(name) for name, _ in shown_facts), default=0)
    for name, value in shown_facts:
        first, *more = _wrapped(value, made.width - indent - 1) or [""]
        line = Text(f" {name}".ljust(indent + 1), "dim")
        made.print(line.append(first, "not dim"), soft_wrap=True)
        for part in more:
            made.print(Text(" " * (indent + 1) + part), soft_wrap=True)


def print_line(text: str, style: str = "") -> None:
    """Print a line, folded between words on a terminal, else as it is: it may hold a command."""
    made = console()
    made.print(_text(text, style), soft_wrap=not made.is_terminal)


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(
        text,
        max(width, 20),
        break_long_words=False,
        break_on_hyphens=False,
        replace_whitespace=False,
        drop_whitespace=True,
    )


def print_indented(text: str, indent: int = 4) -> None:
    """Print a paragraph between words, each line of it ``indent`` columns from the left."""
    made = console()
    for part in _wrapped(_plain(text), made.width - indent):
        made.print(Text(" " * indent + part), soft_wrap=True)


def _plain(text: str) -> str:
    return cut(shown(text), LONGEST)


def _text(text: str, style: str = "", keep: str = "") -> Text:
    """Text from a file may hold anything."""
    return Text(cut(shown(text, keep), LONGEST), style)


def size_text(count: float | None) -> str:
    """A number of bytes in words."""
    return "-" if count is None else decimal(round(count))


def time_text(seconds: float | None) -> str:
    """A duration in words."""
    if seconds is None or not math.isfinite(seconds):
        return "-"
    return in_words(seconds)
