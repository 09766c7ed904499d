"""Recordings that are played: at their own speed, at another, or as fast as answers come."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from spiketicket.events import EVENT, Chunks, EventArray, TimeUnit, iter_chunks
from spiketicket.events.published import is_transposed
from spiketicket.online.packets import Packet

TICK_US: Final = 1000
"""A recording that is played at its own speed comes in packets of this duration."""
_NONE: Final = np.empty(0, EVENT)


class Recordings:
    """Files, one after the other; each is a recording of its own."""

    def __init__(
        self,
        files: Sequence[Path],
        *,
        speed: float,
        loop: bool = False,
        sensor: tuple[int, int] | None = None,
        time_unit: TimeUnit | None = None,
        topic: str | None = None,
        dataset: str = "",
    ) -> None:
        self._files, self._speed, self._loop = list(files), speed, loop
        self._given = {"sensor": sensor, "time_unit": time_unit, "topic": topic}
        self._dataset = dataset
        self._closed = threading.Event()
        self._notes: dict[str, None] = {}
        self._first: Chunks | None = self._open(self._files[0])
        self.sensor = self._size(self._first)
        self.paced = speed != np.inf

    @property
    def notes(self) -> tuple[str, ...]:
        """Of all files so far, each once."""
        return tuple(self._notes)

    def close(self) -> None:
        """End, also in the middle of a pause."""
        self._closed.set()

    def __iter__(self) -> Iterator[Packet]:
        while not self._closed.is_set():
            for file in self._files:
                chunks, self._first = self._first or self._open(file), None
                yield from self._played(chunks)
                if self._closed.is_set():
                    return
            if not self._loop:
                return

    def _open(self, file: Path) -> Chunks:
        return iter_chunks(file, **self._given)  # type: ignore[arg-type]  # as there

    def _turned(self, chunks: Chunks) -> bool:
        return is_transposed(self._dataset, chunks.path)

    def _size(self, chunks: Chunks) -> tuple[int, int]:
        width, height = chunks.sensor
        return (height, width) if self._turned(chunks) else (width, height)

    def _played(self, chunks: Chunks) -> Iterator[Packet]:
        size = self._size(chunks)
        if size != self.sensor:
            from spiketicket.errors import UserError

            what = f"has a sensor of {size[0]}x{size[1]}, the files before it another"
            value = f"{self.sensor[0]}x{self.sensor[1]}"
            raise UserError(what, where=str(chunks.path), value=value, remedy="Play it alone")
        turned, restart = self._turned(chunks), True
        pace = Pace(self._speed, self._closed)
        for events in chunks:
            data = events.data
            if turned:
                data = data.copy()
                data["x"], data["y"] = events.y, events.x
            for packet in pace.packets(data, restart=restart):
                yield packet
                if self._closed.is_set():
                    return
            restart = False
        self._notes.update(dict.fromkeys(chunks.notes))
        if pace.end is not None:
            yield Packet(data=_NONE, at=time.perf_counter(), upto=pace.end, rate=self._speed)


class Pace:
    """Packets of a recording, each when it is due: its own time apart from the first event's."""

    def __init__(self, speed: float, stop: threading.Event) -> None:
        self._speed, self._stop = speed, stop
        self._began = 0.0
        self._next = 0
        self._t0 = 0
        self.end: int | None = None
        """The microsecond behind the last event."""

    def packets(self, data: EventArray, *, restart: bool) -> Iterator[Packet]:
        """The events of a chunk, in order of time, which begins no earlier than the one before
        ended; else, and where told, the clock starts anew.
        """
        first, last = int(data["t"][0]), int(data["t"][-1])
        if self.end is None or restart or first < self.end - 1:
            self._began, self._t0, self._next = time.perf_counter(), first, first
        self.end = last + 1
        if self._speed == np.inf:
            now = time.perf_counter()
            yield Packet(data=data, at=now, upto=last, rate=np.inf, restart=restart)
            return
        cut = 0
        while cut < len(data):
            stop = self._next + TICK_US
            index = int(np.searchsorted(data["t"], stop))
            if index == len(data) and last + 1 < stop:
                stop = last + 1  # the rest of this time comes with the next chunk
            part, cut = data[cut:index], index
            self._wait(self._due(stop))
            at = self._due(int(part["t"][-1])) if len(part) else self._due(stop)
            yield Packet(data=part, at=at, upto=stop, rate=self._speed, restart=restart)
            restart, self._next = False, stop
            if self._stop.is_set():
                return

    def _due(self, t_us: int) -> float:
        return self._began + (t_us - self._t0) * 1e-6 / self._speed

    def _wait(self, due: float) -> None:
        while (left := due - time.perf_counter()) > 0 and not self._stop.is_set():
            time.sleep(min(left, 0.05))
