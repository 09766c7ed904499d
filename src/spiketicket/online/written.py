"""What ``live`` has recorded, played in the order in which it came."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from spiketicket.errors import UserError
from spiketicket.events import EVENT, EventArray
from spiketicket.machine.bounded import open_regular
from spiketicket.online.packets import Packet
from spiketicket.online.record import HEADER_BYTES, header

_CHUNK: Final = 1 << 15
_FARTHEST_S: Final = 60.0
"""A pause, or a time far ahead, for which nobody waits: the clock goes on behind it."""
_MOST_COUNT: Final = 1 << 40


def is_written(path: Path) -> bool:
    """Whether a file begins as :class:`.record.Recorder` writes it."""
    if path.suffix.lower() != ".npy" or not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(HEADER_BYTES)
    found = re.search(rb"'shape': \((\d{1,13}),\)", head)
    return found is not None and int(found[1]) < _MOST_COUNT and head == header(int(found[1]))


class Written:
    """A file of events in the order in which they came, late ones and resets too."""

    notes: tuple[str, ...] = ()

    def __init__(self, path: Path, sensor: tuple[int, int] | None, *, speed: float) -> None:
        self.paced = speed != np.inf
        self._path, self._speed = path, speed
        self._closed = threading.Event()
        self.sensor = sensor or self._largest()

    def close(self) -> None:
        """End, also in the middle of a pause."""
        self._closed.set()

    def __iter__(self) -> Iterator[Packet]:
        restart, end = True, None
        anchor: tuple[int, float] | None = None  # a time of the events, and when it is due
        for data in self._chunks():
            if not ((data["x"] < self.sensor[0]) & (data["y"] < self.sensor[1])).all():
                what = "has events outside the sensor"
                value = f"{self.sensor[0]}x{self.sensor[1]}"
                raise UserError(what, where=str(self._path), value=value)
            for part in self._parts(data):
                middle, now = int(np.median(part["t"])), time.perf_counter()
                due = now
                if anchor is not None and self.paced:
                    due = anchor[1] + (middle - anchor[0]) * 1e-6 / self._speed
                if anchor is None or middle < anchor[0] or due - now > _FARTHEST_S:
                    anchor, due = (middle, now), now
                self._wait(due)
                if self._closed.is_set():
                    return
                end = int(part["t"][-1]) + 1
                at = due if self.paced else time.perf_counter()
                yield Packet(data=part, at=at, rate=self._speed, restart=restart)
                restart = False
        if end is None:
            raise UserError("holds no event", where=str(self._path))
        yield Packet(data=np.empty(0, EVENT), at=time.perf_counter(), upto=end, rate=self._speed)

    def _wait(self, due: float) -> None:
        while (left := due - time.perf_counter()) > 0 and not self._closed.is_set():
            time.sleep(min(left, 0.05))

    def _parts(self, data: EventArray) -> Iterator[EventArray]:
        """About a millisecond each, by the middle rate of some; all where nobody waits."""
        size = len(data)
        if self.paced:
            us = np.median(np.abs(np.diff(data["t"]))) if size > 1 else 1
            size = int(np.clip(1000 * self._speed / max(1.0, float(us)), 1, size))
        for start in range(0, len(data), size):
            yield data[start : start + size]

    def _chunks(self) -> Iterator[EventArray]:
        file, _ = open_regular(self._path)
        with file:
            file.seek(HEADER_BYTES)
            while content := file.read(_CHUNK * EVENT.itemsize):
                whole = len(content) // EVENT.itemsize
                yield np.frombuffer(content, EVENT, whole)

    def _largest(self) -> tuple[int, int]:
        width = height = 1
        for data in self._chunks():
            if len(data):
                width = max(width, int(data["x"].max()) + 1)
                height = max(height, int(data["y"].max()) + 1)
        return width, height
