"""Tables on standard output, as wide as the terminal, or as they need where there is none."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from rich.box import SIMPLE_HEAD
from rich.filesize import decimal
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from spiketicket.errors import cut
from spiketicket.machine.durations import in_words
from spiketicket.machine.output import LONGEST, console, shown


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], *, title: str = "", left: int = 1
) -> None:
    """Print a table whose first ``left`` columns hold words and the others numbers.

    A column's name may have several lines.
    """
    if title:
        print_line(title, "bold")
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for index, column in enumerate(columns):
        name = _text(column, keep="\n")
        table.add_column(name, justify="left" if index < left else "right", overflow="fold")
    for row in rows:
        table.add_row(*(_text(cell) for cell in row))
    console().print(table)


def print_facts(facts: Iterable[tuple[str, str]], *, title: str = "") -> None:
    """Print name and value, one a line."""
    if title:
        print_line(title, "bold")
    table = Table(box=None, show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts:
        table.add_row(_text(name), _text(value))
    console().print(table)


def print_line(text: str, style: str = "") -> None:
    """Print a line as it is, or folded between words on a terminal."""
    made = console()
    made.print(_text(text, style), soft_wrap=not made.is_terminal)


def print_indented(text: str, indent: int = 4) -> None:
    """Print a paragraph between words, each line of it ``indent`` columns from the left."""
    if text:
        console().print(Padding(_text(text), (0, 0, 0, indent), expand=False))


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
