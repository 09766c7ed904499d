"""Whether the events of a file are in order of time: clocks that are reset, and plain disorder.

Sensors and drivers write some events late, by little: those are sorted. What is *far* behind, by
more than a tenth of the recording's duration, is something else:

- A run of at least 1 in 100 of the events that are all far behind the latest one before them is a
  clock that was reset: a new scene begins there.
- Where more than half of the events are far behind the latest one before them, even between
  resets, the file is not in order of time at all: its columns may be exchanged.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

FAR: Final = 0.1
"""Of the duration."""
SHARE: Final = 0.01
"""Of the events: fewer are single events with a wrong time."""
MOST_FAR: Final = 0.5
"""Of the events: more are disorder."""
_MOST_RESETS: Final = round(1 / SHARE)


def least(count: int) -> int:
    """Events that a stretch between resets must have in a file of ``count``."""
    return max(2, int(count * SHARE))


def resets(t: NDArray[np.int64]) -> list[int] | None:
    """Where the clock is reset in times [n > 0] in the order of the file: indices, sorted.

    None: most events are out of order, wherever the file is cut.
    """
    far_us = FAR * (int(t.max()) - int(t.min()))
    starts = [0]
    behind = 0
    while True:
        part = t[starts[-1] :]
        far = np.maximum.accumulate(part) - part > far_us
        found = first_run(far, least(len(t)))
        if found is None or len(starts) > _MOST_RESETS:
            behind += int(np.count_nonzero(far))
            break
        behind += int(np.count_nonzero(far[:found]))
        starts.append(starts[-1] + found)
    return None if behind > MOST_FAR * len(t) else starts[1:]


def first_run(flags: NDArray[np.bool_], length: int) -> int | None:
    """Where the first ``length`` or more flags in a row begin that are all set."""
    edges = np.flatnonzero(np.diff(flags, prepend=False, append=False))
    begins, ends = edges[::2], edges[1::2]
    long = np.flatnonzero(ends - begins >= length)
    return int(begins[long[0]]) if len(long) else None
