"""A recording as characters: where its events are, and when."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from spiketicket.machine import output
from spiketicket.machine.output import shown

_SHADES: Final = " .:-=+*#%@"
_BARS: Final = "▁▂▃▄▅▆▇█"
_WIDEST: Final = 64
"""Columns of the picture, of which each takes one character of a line for two rows."""


def print_recording(title: str, frames: NDArray[Any]) -> None:
    """Print the title's lines, the events of each frame as bars, and all of them by place.

    ``frames`` are counts [T, C, H, W].
    """
    counts = frames.astype(np.int64)
    steps = counts.sum((1, 2, 3))
    output.write(shown(line) for line in title.split("\n"))
    most = int(steps.max(initial=0))
    bars = "".join(_BARS[level] for level in _levels(steps, len(_BARS)))
    output.write([f"time  |{bars}|  {len(steps)} frames, at most {most:,} events in one"])
    places = _reduced(counts.sum((0, 1)))
    rows, columns = places.shape
    output.write([f"+{'-' * columns}+"])
    for row in _levels(places.ravel(), len(_SHADES)).reshape(rows, columns):
        output.write([f"|{''.join(_SHADES[level] for level in row)}|"])
    output.write([f"+{'-' * columns}+"])


def _reduced(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sums over cells that are twice as high as wide, as a character is; [H, W] to fewer."""
    height, width = counts.shape
    side = max(1, -(-width // _WIDEST))
    tall = 2 * side
    padded = np.pad(counts, ((0, -height % tall), (0, -width % side)))
    cells = padded.reshape(-1, tall, padded.shape[1] // side, side)
    return np.asarray(cells.sum((1, 3)), np.int64)


def _levels(values: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """From 0 to ``count`` - 1: 0 for none, and the highest for the most."""
    most = max(int(values.max(initial=0)), 1)
    return -(-values * (count - 1) // most)
