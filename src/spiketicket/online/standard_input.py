"""Events from standard input: lines of text ``t x y p``, or what ``live`` has recorded.

Lines are microseconds, column, row, and polarity (1 or 0, or -1), between spaces or commas, as
AEStream's ``output stdout`` writes them. A line that is none is left out, and counted.
"""

from __future__ import annotations

import io
import os
import select
import threading
import time
from collections.abc import Iterator
from typing import Final

import numpy as np

from spiketicket.errors import UserError
from spiketicket.events import EVENT, EventArray
from spiketicket.online.packets import Packet
from spiketicket.online.record import HEADER_BYTES, is_ours

_CHUNK: Final = 1 << 16
_LONGEST: Final = 200
"""Bytes of a line; nobody needs more, and a stream without an end of line ends there."""


class StandardInput:
    """Events from a file descriptor, until it ends.

    Args:
        file: the descriptor.
        sensor: width and height; events outside are left out, and counted.
    """

    paced = True

    def __init__(self, file: int, sensor: tuple[int, int]) -> None:
        self.sensor, self._file = sensor, file
        self._closed = threading.Event()
        self._broken = self._outside = 0
        self._skipping = False

    @property
    def notes(self) -> tuple[str, ...]:
        """What was left out."""
        size = f"{self.sensor[0]}x{self.sensor[1]}"
        told = (
            (self._broken, "lines or parts of one that are no event were left out"),
            (self._outside, f"events outside the sensor of {size} were left out"),
        )
        return tuple(f"{count:,} {what}" for count, what in told if count)

    def close(self) -> None:
        """Take no more."""
        self._closed.set()

    def __iter__(self) -> Iterator[Packet]:
        pending, binary = b"", None
        seen = False
        while not self._closed.is_set():
            if not select.select([self._file], [], [], 0.05)[0]:
                continue
            more = os.read(self._file, _CHUNK)
            pending += more
            if binary is None and (len(pending) >= HEADER_BYTES or not more or b"\n" in pending):
                binary = is_ours(pending)
                pending = pending[HEADER_BYTES:] if binary else pending
            if binary is not None:
                data, pending = self._binary(pending) if binary else self._text(pending, not more)
                data = self._inside(data)
                if len(data):
                    seen = True
                    yield Packet(data=data, at=time.perf_counter())
            if not more:
                self._broken += bool(pending)
                break
        if not seen and not self._closed.is_set():
            what = "no event comes from standard input"
            raise UserError(what, where="-", remedy="Pipe in lines of microseconds, x, y, polarity")

    @staticmethod
    def _binary(pending: bytes) -> tuple[EventArray, bytes]:
        whole = len(pending) // EVENT.itemsize
        return np.frombuffer(pending, EVENT, whole).copy(), pending[whole * EVENT.itemsize :]

    def _text(self, pending: bytes, last: bool) -> tuple[EventArray, bytes]:
        if self._skipping:
            behind = pending.find(b"\n") + 1
            self._skipping = not behind
            pending = pending[behind:] if behind else b""
        cut = len(pending) if last else pending.rfind(b"\n") + 1
        rows = [row for line in io.BytesIO(pending[:cut]) if (row := self._row(line))]
        rest = pending[cut:]
        if len(rest) > _LONGEST:
            self._broken, rest, self._skipping = self._broken + 1, b"", True
        return np.array(rows, EVENT), rest

    def _row(self, line: bytes) -> tuple[int, int, int, int] | None:
        parts = line.replace(b",", b" ").split()
        if not parts:
            return None
        try:
            t, x, y, p = map(int, parts)
        except ValueError:
            self._broken += 1
            return None
        if not (abs(t) < 1 << 62 and 0 <= x < 1 << 16 and 0 <= y < 1 << 16 and -1 <= p <= 1):
            self._broken += 1
            return None
        return t, x, y, int(p > 0)

    def _inside(self, data: EventArray) -> EventArray:
        if not len(data):
            return data
        inside = (data["x"] < self.sensor[0]) & (data["y"] < self.sensor[1]) & (data["p"] < 2)
        self._outside += int(np.count_nonzero(~inside))
        return data[inside]
