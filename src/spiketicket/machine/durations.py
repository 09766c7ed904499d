"""Durations as people write and read them."""

from __future__ import annotations

import re
from typing import Final

from spiketicket.errors import UserError, argument

_UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0}
_WRITTEN: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)([smh])")


def seconds_in(text: str, name: str) -> float:
    """Seconds of ``90s``, ``60m``, ``2h`` or ``1.5h``; ``name`` is the argument that says so.

    Raises:
        UserError: it is of another form, or no time at all.
    """
    found = _WRITTEN.fullmatch(text)
    seconds = float(found[1]) * _UNITS[found[2]] if found else 0.0
    if seconds <= 0:
        raise UserError("must be a time such as 90s, 60m or 2h", where=argument(name), value=text)
    return seconds


def in_words(seconds: float) -> str:
    """A duration in words: ``4.2 s``, ``3 min 05 s``, ``2 h 10 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def duration(seconds: float) -> str:
    """A duration in words, to the second below an hour."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
