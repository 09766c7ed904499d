"""What a recording of an event camera is: its events and the sensor they were seen by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from spiketicket.errors import UserError

EVENT: Final = np.dtype([("t", "<i8"), ("x", "<u2"), ("y", "<u2"), ("p", "u1")])
"""One event in 13 bytes: microseconds, column, row (0, 0 is top left), 1 for ON or 0 for OFF."""

EventArray = NDArray[np.void]
"""An array of :data:`EVENT`, [N]."""

BLOCK: Final = 1 << 16
"""Events that are looked at together: whole columns of a large recording would not fit twice."""

LARGEST_SENSOR: Final = 1 << 16


@dataclass(frozen=True, eq=False)
class Events:
    """A recording, or a part of one.

    ``data`` is an array of :data:`EVENT` [N], in order of time, N may be 0 for a part of a
    recording; ``width`` and ``height`` are the sensor's, in pixels. ``notes`` says what a user
    should know about how the file was read: bytes left out, events dropped, events put in order.

    Raises UserError when ``data`` has another type or shape, when an event lies outside the
    sensor, when a polarity is neither 0 nor 1, and when time runs backwards.
    """

    data: EventArray
    width: int
    height: int
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_sensor((self.width, self.height), where="Events")
        if self.data.dtype != EVENT or self.data.ndim != 1:
            got = f"{self.data.dtype} {list(self.data.shape)}"
            raise UserError(f"must be an array of {EVENT} [N]", where="Events.data", value=got)
        latest: int | None = None
        for start, block in blocks(self.data):
            self._check(start, block, latest)
            latest = int(block["t"][-1])

    def __len__(self) -> int:
        return len(self.data)

    @property
    def t(self) -> NDArray[np.int64]:
        """Microseconds, int64 [N], never falling."""
        return self.data["t"]

    @property
    def x(self) -> NDArray[np.uint16]:
        """Columns from the left, uint16 [N]."""
        return self.data["x"]

    @property
    def y(self) -> NDArray[np.uint16]:
        """Rows from the top, uint16 [N]."""
        return self.data["y"]

    @property
    def p(self) -> NDArray[np.uint8]:
        """1 where it became brighter, 0 where darker, uint8 [N]."""
        return self.data["p"]

    @property
    def sensor(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.width, self.height

    @property
    def duration_us(self) -> int:
        """Microseconds from the first event to the last; 0 without events."""
        return int(self.data["t"][-1]) - int(self.data["t"][0]) if len(self.data) else 0

    def span(self, start_us: int, stop_us: int) -> Events:
        """The events with ``start_us`` <= t < ``stop_us``, which may be none; copies nothing."""
        first, last = np.searchsorted(self.data["t"], [start_us, stop_us])
        return Events(self.data[first : max(first, last)], self.width, self.height, self.notes)

    def _check(self, start: int, block: EventArray, latest: int | None) -> None:
        wrong: tuple[tuple[str, Any, str], ...] = (
            ("x", lambda x: x >= self.width, f"must be < {self.width}, the sensor's width"),
            ("y", lambda y: y >= self.height, f"must be < {self.height}, the sensor's height"),
            ("p", lambda p: p > 1, "must be 0 or 1"),
        )
        for name, outside, what in wrong:
            column = np.ascontiguousarray(block[name])
            if outside(column.max()):
                index = int(np.argmax(outside(column)))
                where = f"Events.data[{start + index}].{name}"
                raise UserError(what, where=where, value=int(column[index]))
        t = np.ascontiguousarray(block["t"])
        falls = t[1:] < t[:-1]
        if latest is not None and t[0] < latest:
            raise _backwards(start, int(t[0]))
        if falls.any():
            index = int(np.argmax(falls)) + 1
            raise _backwards(start + index, int(t[index]))


def blocks(data: EventArray, size: int = BLOCK) -> Iterator[tuple[int, EventArray]]:
    """Each block of at most ``size`` events with the index that it starts at."""
    for start in range(0, len(data), size):
        yield start, data[start : start + size]


def check_sensor(sensor: tuple[Any, Any], *, where: str) -> None:
    """Width and height must be whole numbers from 1 to 65536, else UserError."""
    for name, size in zip(("width", "height"), sensor, strict=True):
        if isinstance(size, bool) or not isinstance(size, int) or not 0 < size <= LARGEST_SENSOR:
            what = f"the sensor's {name} must be a whole number from 1 to {LARGEST_SENSOR}"
            raise UserError(what, where=where, value=size)


def _backwards(index: int, t: int) -> UserError:
    where, what = f"Events.data[{index}].t", "runs backwards: it is before the event ahead of it"
    return UserError(what, where=where, value=t, remedy="Sort the events by t")


TimeUnit = Literal["s", "ms", "us", "ns"]
"""What times in a file are counted in."""
