"""What a person sees while decisions are given, in characters: events, classes, rates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from spiketicket.errors import cut, plain
from spiketicket.events import EventArray

SHADES: Final = " .:+#@"
"""From no event to many."""
_BAR: Final = 20
_NAME: Final = 14
_MOST_CLASSES: Final = 16


def picture(data: EventArray, sensor: tuple[int, int], columns: int, rows: int) -> list[str]:
    """The events of a window, counted in cells that are twice as high as wide."""
    width, height = sensor
    columns = min(columns, 2 * width, 2 * rows * width // height)
    rows = max(1, min(rows, columns * height // (2 * width)))
    place = (data["y"].astype(np.int64) * rows // height) * columns
    place += data["x"].astype(np.int64) * columns // width
    counts = np.bincount(place, minlength=rows * columns).reshape(rows, columns)
    most = max(1, int(np.percentile(counts[counts > 0], 95))) if counts.any() else 1
    last = len(SHADES) - 1
    shade = np.minimum(-(-counts * last // most), last)
    return ["".join(SHADES[value] for value in row) for row in shade]


def bars(logits: Sequence[float], names: Sequence[str], best: int) -> list[str]:
    """A bar for each class by its share (softmax); the one that is told is marked."""
    powers = np.exp(np.asarray(logits, np.float64) - max(logits))
    shares = powers / powers.sum()
    order = range(len(names))
    if len(names) > _MOST_CLASSES:
        largest = np.argsort(-shares, kind="stable")[:_MOST_CLASSES].tolist()
        order = sorted({*largest[: _MOST_CLASSES - 1], best})  # type: ignore[assignment]
    return [
        f"{'>' if index == best else ' '} {cut(plain(names[index]), _NAME):{_NAME}} "
        f"{'=' * round(_BAR * shares[index]):{_BAR}} {shares[index]:4.0%}"
        for index in order
    ]


def rates(told: Mapping[str, Any], decisions_per_s: float, events_per_s: float) -> list[str]:
    """Counts and times, from a summary of the session."""
    found = [
        f"decisions/s {decisions_per_s:10,.1f}    events/s {events_per_s:14,.0f}",
        f"decisions   {told['decisions']:10,}    dropped windows {told['dropped_windows']:7,}",
    ]
    if told["decisions"]:
        for key, words in (("latency_us", "from last event"), ("wait_us", "from window's end")):
            times = "  ".join(f"{k} {v / 1000:.2f}" for k, v in told[key].items())
            found.append(f"ms {words:17} {times}")
    lost = f"late events {told['late_events']:,}  clock resets {told['clock_resets']:,}"
    found.append(f"{lost}  silent windows {told['silent_windows']:,}")
    return found


def beside(left: Sequence[str], right: Sequence[str], columns: int) -> list[str]:
    """Two texts side by side, each line cut to the columns there are."""
    width = max((len(line) for line in left), default=0)
    count = max(len(left), len(right))
    lines = [
        f"{left[i] if i < len(left) else '':{width}}  {right[i] if i < len(right) else ''}"
        for i in range(count)
    ]
    return [line.rstrip()[:columns] for line in lines]
