"""Filters that take events away before framing. All are off unless asked for.

Each is a function of the recording alone: nothing is drawn, and polarity plays no part.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from spiketicket.errors import UserError
from spiketicket.events.types import EventArray, Events

_BLOCK = 1 << 18
_NEIGHBOURS = tuple((dy, dx) for dy in (0, -1, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0))


def filtered(events: Events, hot_pixel: float | None, denoise_us: int | None) -> Events:
    """Hot pixels first, since they would vouch for noise beside them; then the denoising."""
    if hot_pixel is not None:
        events = remove_hot_pixels(events, hot_pixel)
    if denoise_us is not None:
        events = denoise(events, denoise_us)
    return events


def remove_hot_pixels(events: Events, factor: float) -> Events:
    """Without the pixels that fire far more often than the others do.

    A pixel is removed, with all its events, when it has more than ``factor`` times the median
    number of events of a pixel, the median being taken over the pixels with any event. So at
    least half of the pixels stay. ``notes`` says how many pixels and events went.

    Raises:
        UserError: ``factor`` is less than 1.
    """
    if not factor >= 1:
        what = "must be at least 1: the median pixel is not hot"
        raise UserError(what, where="hot_pixel", value=factor)
    if not len(events):
        return events
    pixel = events.y.astype(np.intp)
    pixel *= events.width
    pixel += events.x
    counts = np.bincount(pixel)
    hot = counts > factor * np.median(counts[counts > 0])
    name = "hot pixel" if hot.sum() == 1 else "hot pixels"
    return _kept(events, ~hot[pixel], f"{int(hot.sum())} {name}")


def denoise(events: Events, dt_us: int) -> Events:
    """Without background activity: events that nothing near them in space and time announced.

    An event is kept when an event before it in the recording, at most ``dt_us`` microseconds
    earlier (the same microsecond counts), lies on its own pixel or on one of the 8 around it. An
    event that is itself removed still announces others. The rule is that of T. Delbruck,
    "Frame-free dynamic digital vision" (2008), but for the own pixel, which it leaves out.
    ``notes`` says how many events went.

    Costs half a microsecond to one microsecond an event on one core.

    Raises:
        UserError: ``dt_us`` is negative.
    """
    if dt_us < 0:
        raise UserError("must not be negative", where="denoise_us", value=dt_us)
    kept = np.empty(len(events), bool)
    for back, start, stop in _blocks(events.t, dt_us):
        kept[start:stop] = _announced(events.data[back:stop], events.width, dt_us)[start - back :]
    return _kept(events, kept, "noise")


def _blocks(t: NDArray[np.int64], dt_us: int) -> Iterator[tuple[int, int, int]]:
    """(back, start, stop): events start to stop are decided by events back to stop.

    A block is no shorter than what it looks back on, so that however long ``dt_us`` is, at most
    three times the recording's events are sorted.
    """
    start = 0
    while start < len(t):
        earliest = max(int(t[start]) - dt_us, np.iinfo(np.int64).min)
        back = int(np.searchsorted(t[:start], earliest))
        stop = min(len(t), start + max(_BLOCK, start - back))
        yield back, start, stop
        start = stop


def _announced(data: EventArray, width: int, dt_us: int) -> NDArray[np.bool_]:
    """Which events an earlier one of the array announces, bool [n].

    The events are sorted by (pixel, index). The last event on another pixel before event i is
    then the one just below the place of (that pixel, i), which a binary search finds. Each
    neighbour is asked only about the events that none before it vouched for.
    """
    count, stride = len(data), width + 1  # a column of nothing between rows: none runs over
    pixel = (data["y"].astype(np.int64) + 1) * stride + data["x"] + 1
    order = np.argsort(pixel, kind="stable")
    pixel = pixel[order]
    key = pixel * count + order
    # As unsigned numbers the differences of any two int64 in order are exact.
    t = data["t"][order].view(np.uint64)
    near = np.uint64(dt_us)
    announced = np.zeros(count, bool)
    announced[1:] = (pixel[1:] == pixel[:-1]) & (t[1:] - t[:-1] <= near)
    open_ = np.flatnonzero(~announced)
    for dy, dx in _NEIGHBOURS:
        offset = dy * stride + dx
        before = np.searchsorted(key, key[open_] + offset * count) - 1
        found = before >= 0
        found &= pixel[before] == pixel[open_] + offset
        found &= t[open_] - t[before] <= near
        announced[open_[found]] = True
        open_ = open_[~found]
    result = np.empty(count, bool)
    result[order] = announced
    return result


def _kept(events: Events, kept: NDArray[np.bool_], what: str) -> Events:
    lost = len(kept) - int(np.count_nonzero(kept))
    if not lost:
        return events
    note = f"{what} removed: {lost} of {len(kept)} events"
    return Events(events.data[kept], events.width, events.height, (*events.notes, note))
