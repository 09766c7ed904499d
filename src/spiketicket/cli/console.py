"""Tables on standard output, as wide as the terminal, or as they need where there is none."""

from __future__ import annotations

import itertools
import math
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from spiketicket.errors import cut
from spiketicket.machine import output
from spiketicket.machine.durations import in_words
from spiketicket.machine.output import LONGEST, shown

_GAP: Final = 2
"""Columns between two columns of a table."""
_NARROWEST: Final = 4
_STYLES: Final = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33"}
_UNITS: Final = ("kB", "MB", "GB", "TB", "PB")


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], *, title: str = "", left: int = 1
) -> None:
    """Print a table whose first ``left`` columns hold words and the others numbers.

    A column's name may have several lines.
    """
    if title:
        print_line(title, "bold")
    head = [_text(name, keep="\n") for name in columns]
    body = [[_text(cell) for cell in row] for row in rows]
    least = _widths([_unbroken(head, len(head)), *(_unbroken(row, left) for row in body)])
    full, room = _widths([head, *body]), output.width() - 1
    fits = _wide_of(_fitted(full, least, room)) <= room
    for part in [[*range(len(full))]] if fits else _side_by_side(full, left, room):
        own = _fitted([full[i] for i in part], [least[i] for i in part], room)
        words = sum(i < left for i in part)
        first, *others = ([row[i] for i in part if i < len(row)] for row in [head, *body])
        output.write([""])
        output.write(_styled(line, "bold") for line in _lines(first, own, words))
        output.write([" " + "─" * _wide_of(own)])
        for row in others:
            output.write(_lines(row, own, words))
        output.write([""])


def _wide_of(widths: Sequence[int]) -> int:
    """Columns of a table, the gaps included."""
    return sum(widths) + _GAP * (len(widths) - 1)


def _side_by_side(widths: Sequence[int], left: int, room: int) -> list[list[int]]:
    """The columns of each part of a table that is too wide: as many as fit, the first one in all.

    The columns of words are in one part, so that what tells the rows apart stays together.
    """
    parts: list[list[int]] = [[]]
    for index in range(len(widths)):
        part = [*parts[-1], index]
        fits = _wide_of([widths[i] for i in part]) <= room
        if index < left or fits or len(parts[-1]) < 2:
            parts[-1] = part
        else:
            parts.append([0, index])
    return parts


def print_facts(facts: Iterable[tuple[str, str]], *, title: str = "") -> None:
    """Print name and value, one a line."""
    if title:
        print_line(title, "bold")
    rows = [(_text(name), _text(value)) for name, value in facts]
    names, values = _widths(rows) or (0, 0)
    room = max(output.width() - 1 - names - _GAP, _NARROWEST)
    for name, value in rows:
        first, *others = _folded(value, min(values, room), whole=True) or [""]
        space = " " * (names - _wide(name) + _GAP)
        output.write([f" {_styled(name, 'dim')}{space}{first}".rstrip()])
        output.write(f" {'':{names + _GAP}}{line}" for line in others)


def print_line(text: str, style: str = "") -> None:
    """Print a line as it is, or folded between words on a terminal."""
    whole = _text(text)
    lines = _folded(whole, output.width()) if output.is_terminal() else [whole]
    output.write(_styled(line, style) for line in lines or [""])


def print_indented(text: str, indent: int = 4) -> None:
    """Print a paragraph between words, each line of it ``indent`` columns from the left."""
    for line in _folded(_text(text), max(output.width() - indent, _NARROWEST)) or [""]:
        output.write([f"{'':{indent}}{line}"])


def size_text(count: float | None) -> str:
    """A number of bytes in words: thousands of them, as files are told by."""
    if count is None:
        return "-"
    whole = round(count)
    if abs(whole) < 1000:
        return f"{whole} byte{'s' * (whole != 1)}"
    power = next((i for i in range(1, len(_UNITS)) if abs(whole) < 1000 ** (i + 1)), len(_UNITS))
    return f"{whole / 1000**power:,.1f} {_UNITS[power - 1]}"


def time_text(seconds: float | None) -> str:
    """A duration in words."""
    if seconds is None or not math.isfinite(seconds):
        return "-"
    return in_words(seconds)


def _text(text: str, keep: str = "") -> str:
    """Text from a file may hold anything."""
    return cut(shown(text, keep), LONGEST)


def _styled(text: str, style: str) -> str:
    if not style or not output.has_styles():
        return text
    return f"\x1b[{';'.join(_STYLES[word] for word in style.split())}m{text}\x1b[0m"


def _wide(text: str) -> int:
    """Columns that a text takes on a terminal."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF")
        for c in text
    )


def _widths(rows: Sequence[Sequence[str]]) -> list[int]:
    columns = itertools.zip_longest(*rows, fillvalue="")
    return [max(_wide(line) for cell in column for line in cell.split("\n")) for column in columns]


def _unbroken(row: Sequence[str], left: int) -> list[str]:
    """What of each cell stays in one line: the longest word, and all of a number."""
    return [
        max(cell.split(), key=_wide, default="") if index < left else cell
        for index, cell in enumerate(row)
    ]


def _fitted(widths: list[int], least: list[int], room: int) -> list[int]:
    """The widths, the widest made narrower until all fit into ``room`` columns, but none narrower
    than its longest word, which can be copied so: then the table is wider.
    """
    fitted = [*widths]
    while _wide_of(fitted) > room:
        wide = [i for i, width in enumerate(fitted) if width > max(least[i], _NARROWEST)]
        if not wide:
            break
        fitted[max(wide, key=fitted.__getitem__)] -= 1
    return fitted


def _lines(row: Sequence[str], widths: Sequence[int], left: int) -> Iterator[str]:
    """The lines of a row, of which each cell is folded."""
    parts = [_folded(cell, width) for cell, width in zip(row, widths, strict=False)]
    for line in itertools.zip_longest(*parts, fillvalue=""):
        cells = []
        for index, (text, width) in enumerate(zip(line, widths, strict=False)):
            space = " " * (width - _wide(text))
            cells.append(text + space if index < left else space + text)
        yield f" {(' ' * _GAP).join(cells)}".rstrip()


def _folded(text: str, width: int, *, whole: bool = False) -> list[str]:
    """Lines of at most ``width`` columns, between words where that is possible; ``whole`` words
    are never broken, so that a path or a digest can be copied.
    """
    lines: list[str] = []
    for given in text.split("\n"):
        if _wide(given) <= width:
            lines.append(given)
            continue
        line = ""
        for word in given.split(" "):
            joined = f"{line} {word}" if line else word
            if _wide(joined) <= width:
                line = joined
                continue
            if line:
                lines.append(line)
            *pieces, line = [word] if whole else _pieces(word, width)
            lines += pieces
        lines.append(line)
    return lines


def _pieces(word: str, width: int) -> list[str]:
    pieces = [""]
    for c in word:
        if pieces[-1] and _wide(pieces[-1]) + _wide(c) > max(width, 1):
            pieces.append("")
        pieces[-1] += c
    return pieces
