"""What is to be told of how files were read: thousands of them may have the same to say."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable

Notes = list[tuple[str, str]]
"""Names of files, and what is to be told of them."""


def alike(notes: Iterable[tuple[str, str]]) -> list[str]:
    """A line for each kind of note; notes that differ in numbers only are of one kind."""
    kinds: dict[str, list[str]] = defaultdict(list)
    for name, note in notes:
        kinds[re.sub(r"\d+", "#", note)].append(f"{name}: {note}")
    return [
        f"{first} (and {len(more)} more alike)" if more else first
        for first, *more in kinds.values()
    ]
