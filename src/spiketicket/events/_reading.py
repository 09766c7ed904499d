"""From the blocks that a format's file yields to the events of a recording.

What is done to real files, the same for every format, each told by a note:

- A clock that wraps is followed (:class:`Unwrap`).
- Events that come late are put in order of time by a stable sort: sensors and the drivers that
  merge their streams write them. That costs memory only where blocks overlap in time.
- Events outside the sensor are left out as long as they are few (at most 1 in 100: bits that
  flipped); more than that means that the sensor is another one, which is an error.
- Bytes that do not make a whole event at the end are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spiketicket.errors import UserError
from spiketicket.events._types import EVENT, EventArray, Events

CHUNK: Final = 1 << 15
"""Events decoded together: what is computed of them stays in the processor's cache."""

MOST_OUTSIDE: Final = 0.01
"""Fraction of the events that may lie outside the sensor."""

_SORT_BLOCK: Final = 1 << 16

Span = tuple[int, int]
"""From the first microsecond to the one behind the last."""


class Columns(NamedTuple):
    """Some events in the order of the file: each an array [n], ``t`` int64, the others any type."""

    t: NDArray[np.int64]
    x: NDArray[Any]
    y: NDArray[Any]
    p: NDArray[Any]


@dataclass
class Recording:
    """A file that was opened.

    ``sensor`` is None where the file does not say. ``most`` is the number of events that the file
    can hold at most, 0 where that is not known. ``notes`` may grow while ``blocks`` are taken.
    """

    sensor: tuple[int, int] | None
    most: int
    blocks: Iterator[Columns]
    notes: list[str] = field(default_factory=list)


def gather(recording: Recording, path: Path, spans: Sequence[Span] | None) -> list[Events]:
    """All events, as a list of one; or those of each span, where a span may have none.

    Raises:
        UserError: the file has no event, or too many outside the sensor.
    """
    stores = [_Store(recording.most if spans is None else 0) for _ in spans or (None,)]
    seen = outside = 0
    largest = (0, 0)
    for block in recording.blocks:
        if not len(block.t):
            continue
        seen += len(block.t)
        here = int(block.x.max()), int(block.y.max())
        if recording.sensor is None:
            largest = max(largest[0], here[0]), max(largest[1], here[1])
        elif here[0] >= recording.sensor[0] or here[1] >= recording.sensor[1]:
            inside = (block.x < recording.sensor[0]) & (block.y < recording.sensor[1])
            outside += len(inside) - int(np.count_nonzero(inside))
            block = Columns(*(column[inside] for column in block))
        _share(block, stores, spans)
    notes = list(recording.notes)
    if not seen:
        raise UserError(_with("holds no event", notes), where=str(path))
    width, height = recording.sensor or (largest[0] + 1, largest[1] + 1)
    if recording.sensor is None:
        notes.append(f"the file names no sensor: {width}x{height} is of its largest addresses")
    if outside:
        notes.append(_outside(outside, seen, (width, height), path))
    return [Events(*_finish(store, (width, height), notes)) for store in stores]


def read_chunks(
    path: Path, start: int, record: np.dtype[Any], notes: list[str]
) -> Iterator[NDArray[Any]]:
    """The records of a file from byte ``start``, each chunk valid until the next is taken."""
    chunk = np.empty(CHUNK, record)
    window = chunk.view(np.uint8).data
    with path.open("rb") as file:
        file.seek(start)
        while size := _fill(file, window):
            whole, rest = divmod(size, record.itemsize)
            if rest:
                notes.append(f"{rest} bytes at the end, less than one event, are left out")
            yield chunk[:whole]


class Unwrap:
    """Follows a clock of ``bits`` bits: a fall of more than half its range is a wrap.

    A smaller fall is an event that comes late, and a rise is a gap, of whatever size.
    """

    def __init__(self, bits: int) -> None:
        self._period = 1 << bits
        self._offset = 0
        self._last: int | None = None

    def __call__(self, t: NDArray[np.int64]) -> NDArray[np.int64]:
        """The next times, int64 [n] with n > 0, which it may change in place."""
        half = self._period // 2
        if self._last is not None and self._last - int(t[0]) > half:
            self._offset += self._period
        self._last = int(t[-1])
        wraps = t[:-1] - t[1:] > half
        if wraps.any():
            t[1:] += np.cumsum(wraps) * self._period
        if self._offset:
            t += self._offset
        self._offset += int(np.count_nonzero(wraps)) * self._period
        return t


class _Store:
    """Events of one span, in an array that grows as needed."""

    def __init__(self, most: int) -> None:
        self.data: EventArray = np.empty(most, EVENT)
        self.count = 0
        self.late = 0
        self.latest_by = 0
        self._latest: int | None = None

    def add(self, block: Columns) -> None:
        stop = self.count + len(block.t)
        if stop > len(self.data):
            self.data.resize(max(stop, 2 * len(self.data)), refcheck=False)
        part = self.data[self.count : stop]
        for name, column in zip(block._fields, block, strict=True):
            part[name] = column
        self.count = stop
        self._check_order(block.t)

    def _check_order(self, t: NDArray[np.int64]) -> None:
        latest = int(t[0]) if self._latest is None else self._latest
        if int(t[0]) < latest or (t[1:] < t[:-1]).any():
            behind = np.maximum(np.maximum.accumulate(t), latest) - t
            self.late += int(np.count_nonzero(behind))
            self.latest_by = max(self.latest_by, int(behind.max()))
        self._latest = max(latest, int(t.max()))


def _share(block: Columns, stores: Sequence[_Store], spans: Sequence[Span] | None) -> None:
    if not len(block.t):
        return
    if spans is None:
        stores[0].add(block)
        return
    first, last = int(block.t.min()), int(block.t.max())
    for store, (start, stop) in zip(stores, spans, strict=True):
        if start <= first and last < stop:
            store.add(block)
        elif start <= last and first < stop:
            inside = (block.t >= start) & (block.t < stop)
            if inside.any():
                store.add(Columns(*(column[inside] for column in block)))


def _finish(
    store: _Store, sensor: tuple[int, int], notes: list[str]
) -> tuple[EventArray, int, int, tuple[str, ...]]:
    store.data.resize(store.count, refcheck=False)
    told = list(notes)
    if store.late:
        sort_by_time(store.data)
        what = f"{store.late} events came late, by up to {store.latest_by} us"
        told.append(f"{what}: all are put in order of time")
    return store.data, *sensor, tuple(told)


def sort_by_time(data: EventArray) -> None:
    """Sort events [N] by ``t`` in place, those of one time kept as they are.

    Only blocks that overlap in time are sorted together, so that a few late events cost little.
    """
    starts = range(0, len(data), _SORT_BLOCK)
    times = [data["t"][start : start + _SORT_BLOCK] for start in starts]
    highest = np.maximum.accumulate([int(t.max()) for t in times])
    lowest = np.minimum.accumulate([int(t.min()) for t in reversed(times)])[::-1]
    begin = 0
    for index, start in enumerate(starts):
        if index + 1 < len(starts) and highest[index] > lowest[index + 1]:
            continue
        part = data[begin : start + _SORT_BLOCK]
        begin = start + _SORT_BLOCK
        order = np.argsort(part["t"], kind="stable")
        for name in EVENT.names or ():
            part[name] = part[name][order]


def _outside(outside: int, seen: int, sensor: tuple[int, int], path: Path) -> str:
    what = f"{outside} of {seen} events lie outside the sensor of {sensor[0]}x{sensor[1]}"
    if outside > MOST_OUTSIDE * seen:
        raise UserError(what, where=str(path), remedy="Give the sensor that it was recorded with")
    return f"{what} and are left out"


def _with(what: str, notes: Sequence[str]) -> str:
    return f"{what} ({'; '.join(notes)})" if notes else what


def _fill(file: Any, window: memoryview) -> int:
    """Read until the window is full or the file ends: how many bytes there are."""
    size = 0
    while size < len(window) and (got := file.readinto(window[size:])):
        size += got
    return size
