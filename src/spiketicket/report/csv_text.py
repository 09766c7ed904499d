"""Tables as CSV that a spreadsheet reads as values, never as formulas."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from spiketicket.errors import plain

Cell = str | int | float | bool | None
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def to_csv(columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """CSV with a header; an absent value is an empty cell.

    A text that a spreadsheet would take for a formula gets an apostrophe before it (OWASP, "CSV
    injection"); a number may be negative.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([_cell(column) for column in columns])
    writer.writerows([_cell(cell) for cell in row] for row in rows)
    return out.getvalue()


def _cell(value: Cell) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        text = plain(value, keep="\n\t")
        return f"'{text}" if value.startswith(_FORMULA) else text
    return f"{value:.6g}" if isinstance(value, float) else str(value)
