"""From the blocks that a format's file yields to the events of a recording.

What is done to real files, the same for every format, each told by a note:

- A clock that wraps is followed (:class:`Unwrap`).
- Events that come late are put in order of time by a stable sort: sensors and the drivers that
  merge their streams write them. That costs memory only where blocks overlap in time. A clock that
  is reset and a file in no order are errors: :mod:`spiketicket.events.order` tells them apart.
- Events of one polarity only are told.
- Events outside the sensor are left out as long as they are few (at most 1 in 100: bits that
  flipped); more than that means that the sensor is another one, which is an error.
- Bytes that do not make a whole event at the end are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from spiketicket.errors import UserError
from spiketicket.events.stores import Columns, Order, Room, Store, sort_by_time
from spiketicket.events.types import Events

if TYPE_CHECKING:
    from spiketicket.events.formats._columns import Plain

CHUNK: Final = 1 << 15
"""Events decoded together: what is computed of them stays in the processor's cache."""

MOST_OUTSIDE: Final = 0.01
"""Fraction of the events that may lie outside the sensor."""


Span = tuple[int, int]
"""From the first microsecond to the one behind the last."""


NO_SENSOR: Final = "the file names no sensor"
"""Begins the note of a recording whose sensor is that of its largest addresses."""


@dataclass(kw_only=True)
class Recording:
    """A file that was opened.

    ``sensor`` is None where the file does not say. ``most`` is the number of events that the file
    can hold at most, 0 where that is not known. ``notes`` may grow while ``blocks`` are taken.
    ``plain`` is what turns its numbers into events where the format has no unit of time.
    """

    sensor: tuple[int, int] | None
    most: int
    blocks: Iterator[Columns]
    notes: list[str] = field(default_factory=list)
    plain: Plain | None = None


@dataclass
class Gathered:
    """The stores of a file's events, in the order of the file, and what is known of the whole.

    ``order`` is that of all events, also of those in no span.
    """

    stores: list[Store]
    order: Order
    sensor: tuple[int, int]
    notes: list[str]

    def events(self) -> list[Events]:
        """The events of each store, in order of time."""
        return [_finish(store, self.sensor, self.notes) for store in self.stores]


def gather(recording: Recording, path: Path, spans: Sequence[Span] | None) -> Gathered:
    """All events, in one store; or those of each span, where a span may have none.

    Raises:
        UserError: the file has no event, too many outside the sensor, or all at one time; or the
            events do not fit into the memory that may be used.
    """
    room = Room(str(path))
    if recording.plain is not None and spans is None:
        room.check(recording.most)
    most = recording.most if spans is None else 0
    stores = [Store(most, room) for _ in spans or (None,)]
    seen = Seen(order=stores[0].order if spans is None else Order())
    for block in recording.blocks:
        kept = seen.inside(block, recording.sensor)
        if spans is not None and len(kept.t):
            seen.order.add(kept.t)
        _share(kept, stores, spans)
    notes = [*recording.notes, *(recording.plain.notes() if recording.plain else ())]
    if not seen.count:
        raise UserError(_with("holds no event", notes), where=str(path))
    width, height = recording.sensor or (seen.largest[0] + 1, seen.largest[1] + 1)
    if recording.sensor is None:
        notes.append(f"{NO_SENSOR}: {width}x{height} is of its largest addresses")
    if seen.outside:
        notes.append(outside_note(seen, (width, height), path))
    order = seen.order
    if order.count > 1:
        if order.first == order.latest:
            raise _no_duration(order, recording, path)
        if seen.on != seen.off:
            notes.append(f"all {order.count} events are {'ON' if seen.on else 'OFF'}")
    return Gathered(stores, order, (width, height), notes)


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


@dataclass(kw_only=True)
class Seen:
    """What is known of a file's events so far."""

    order: Order = field(default_factory=Order)
    count: int = 0
    outside: int = 0
    largest: tuple[int, int] = (0, 0)
    on: bool = False
    off: bool = False

    def inside(self, block: Columns, sensor: tuple[int, int] | None) -> Columns:
        """The events of a block that lie inside the sensor."""
        if not len(block.t):
            return block
        self.count += len(block.t)
        here = int(block.x.max()), int(block.y.max())
        if sensor is None:
            self.largest = max(self.largest[0], here[0]), max(self.largest[1], here[1])
        elif here[0] >= sensor[0] or here[1] >= sensor[1]:
            inside = (block.x < sensor[0]) & (block.y < sensor[1])
            self.outside += len(inside) - int(np.count_nonzero(inside))
            block = Columns(*(column[inside] for column in block))
        if not (self.on and self.off):
            self.on |= bool(block.p.any())
            self.off |= not block.p.all()
        return block


def _share(block: Columns, stores: Sequence[Store], spans: Sequence[Span] | None) -> None:
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


def _finish(store: Store, sensor: tuple[int, int], notes: Sequence[str]) -> Events:
    data, order = store.trim(), store.order
    told = list(notes)
    if order.late:
        sort_by_time(data)
        what = f"{order.late} events came late, by up to {order.latest_by} us"
        told.append(f"{what}: all are put in order of time")
    return Events(data, *sensor, tuple(told))


def outside_note(seen: Seen, sensor: tuple[int, int], path: Path) -> str:
    """The note about events outside the sensor.

    Raises:
        UserError: they are too many.
    """
    size = f"{sensor[0]}x{sensor[1]}"
    what = f"{seen.outside} of {seen.count} events lie outside the sensor of {size}"
    if seen.outside > MOST_OUTSIDE * seen.count:
        raise UserError(what, where=str(path), remedy="Give the sensor that it was recorded with")
    return f"{what} and are left out"


def _no_duration(order: Order, recording: Recording, path: Path) -> UserError:
    what = f"all {order.count} events have one time, so that nothing can be framed by it"
    remedy = recording.plain.remedy if recording.plain else "Record it again: its clock stood still"
    return UserError(what, where=str(path), value=f"{order.first} us", remedy=remedy)


def _with(what: str, notes: Sequence[str]) -> str:
    return f"{what} ({'; '.join(notes)})" if notes else what


def _fill(file: Any, window: memoryview) -> int:
    """Read until the window is full or the file ends: how many bytes there are."""
    size = 0
    while size < len(window) and (got := file.readinto(window[size:])):
        size += got
    return size
