"""The events that are kept of a file, in its own order until they are sorted by time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spiketicket.events import order as _order
from spiketicket.events.types import EVENT, EventArray
from spiketicket.machine.bounded import max_memory, need_memory

_SORT_BLOCK: Final = 1 << 16


class Columns(NamedTuple):
    """Some events in the order of the file: each an array [n], ``t`` int64, the others any type."""

    t: NDArray[np.int64]
    x: NDArray[Any]
    y: NDArray[Any]
    p: NDArray[Any]


class Order:
    """Looks at times in the order of the file: how many come late, and by how much."""

    def __init__(self) -> None:
        self.count = 0
        self.late = 0
        self.latest_by = 0
        self.first = 0
        """The lowest time."""
        self.latest = 0
        """The highest time so far."""

    def add(self, t: NDArray[np.int64]) -> None:
        """The next times, [n] with n > 0."""
        latest = self.latest if self.count else int(t[0])
        lowest = int(t[0])
        if lowest < latest or (t[1:] < t[:-1]).any():
            behind = np.maximum(np.maximum.accumulate(t), latest) - t
            self.late += int(np.count_nonzero(behind))
            self.latest_by = max(self.latest_by, int(behind.max()))
            lowest = int(t.min())
        self.first = min(self.first, lowest) if self.count else lowest
        self.latest = max(latest, int(t.max()))
        self.count += len(t)

    @property
    def far(self) -> bool:
        """Whether an event is so late that the clock may have been reset."""
        return self.latest_by > _order.FAR * (self.latest - self.first)


class Room:
    """Counts the events that are kept of a file, of which memory allows so many."""

    def __init__(self, where: str) -> None:
        self.most = max_memory() // EVENT.itemsize
        self._kept = 0
        self._where = where

    def check(self, count: int) -> None:
        """UserError where ``count`` events more do not fit."""
        if self._kept + count > self.most:
            needed = (self._kept + count) * EVENT.itemsize
            remedy = "Read parts of it with spiketicket.events.read_spans;"
            need_memory(needed, "its events", self._where, remedy)

    def take(self, count: int) -> None:
        """Use so many bytes of what is left."""
        self.check(count)
        self._kept += count


class Store:
    """Events of one span in the order of the file, in an array that grows as needed."""

    def __init__(self, most: int, room: Room) -> None:
        self.data: EventArray = np.empty(min(most, room.most), EVENT)
        self.order = Order()
        self._room = room

    def add(self, block: Columns) -> None:
        """The next events, [n] with n > 0."""
        start = self.order.count
        stop = start + len(block.t)
        self._room.take(len(block.t))
        if stop > len(self.data):
            size = max(stop, min(2 * len(self.data), self._room.most))
            self.data.resize(size, refcheck=False)
        part = self.data[start:stop]
        for name, column in zip(block._fields, block, strict=True):
            part[name] = column
        self.order.add(block.t)

    def trim(self) -> EventArray:
        """The events alone, without room for more."""
        self.data.resize(self.order.count, refcheck=False)
        return self.data

    def cut(self, starts: Sequence[int]) -> list[Store]:
        """A store for each stretch of the events, which begin at 0 and at ``starts``."""
        self.trim()
        stretches = []
        for start, stop in zip((0, *starts), (*starts, len(self.data)), strict=True):
            part = Store(0, self._room)
            part.data = self.data[start:stop].copy()
            part.order.add(part.data["t"])
            stretches.append(part)
        return stretches


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
