"""A picture of events in a terminal: a character shows two pixels, one above the other."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from spiketicket.events.fit import reduced_counts

_HALVES: Final = (" ", "▀", "▄", "█")
_RESET: Final = "\x1b[0m"
_ON: Final = (25, 33, 39, 45)
_OFF: Final = (88, 124, 160, 196)
"""Colours of the 256 of terminals, from few events to many."""


def block_lines(counts: NDArray[Any], columns: int, *, colour: bool) -> list[str]:
    """The lines of counts [2, H, W] (OFF, ON), at most ``columns`` characters wide.

    With ``colour`` each pixel has the colour of the polarity that it has more of, brighter the
    more events; without, a pixel is drawn that has at least a tenth of what full ones have.
    """
    small = reduced_counts(counts, max(1, columns))
    if small.shape[1] % 2:
        small = np.pad(small, ((0, 0), (0, 1), (0, 0)))
    total = small.sum(0)
    full = float(np.quantile(total[total > 0], 0.95)) if total.any() else 1.0
    if not colour:
        seen = total >= max(full / 10, 1)
        cells = seen[0::2] + 2 * seen[1::2].astype(np.int64)
        return ["".join(_HALVES[cell] for cell in row) for row in cells]
    level = np.clip(np.ceil(4 * total / full), 0, 4).astype(np.int64)
    on = small[1] >= small[0]
    shades = np.where(on, np.array([0, *_ON])[level], np.array([0, *_OFF])[level])
    return [
        "".join(_cell(int(a), int(b)) for a, b in zip(high, low, strict=True)) + _RESET
        for high, low in zip(shades[0::2], shades[1::2], strict=True)
    ]


def _cell(high: int, low: int) -> str:
    """Two pixels: that above as the colour of a half block, that below as its ground's."""
    if not (high or low):
        return f"{_RESET} "
    if high and low:
        return f"\x1b[38;5;{high};48;5;{low}m▀"
    return f"{_RESET}\x1b[38;5;{high or low}m{'▀' if high else '▄'}"
