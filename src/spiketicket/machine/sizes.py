"""The size of a file in words: one number wherever it is told, the one that ``ls -l`` prints."""

from __future__ import annotations


def file_size(count: float) -> str:
    """``14,678 bytes``; not rounded to a unit, so that it can be compared."""
    whole = round(count)
    return f"{whole:,} byte{'s' * (whole != 1)}"
