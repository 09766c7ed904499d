"""Events that come over the network, as AER in UDP: see :mod:`.aer`."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

import numpy as np

from spiketicket.errors import UserError
from spiketicket.events import EVENT
from spiketicket.events.reading import Unwrap
from spiketicket.online.aer import decode
from spiketicket.online.packets import Packet

_LARGEST: Final = 65_535
_ROOM: Final = 1 << 23
"""Bytes that the system is asked to hold while nobody takes them."""
_TICK_S: Final = 0.01
_PATIENCE_US: Final = 5_000
"""Where nothing comes, windows are taken to have ended so much later than by the clock."""


class Udp:
    """A port that is listened on, until it is closed.

    Args:
        url: ``udp://HOST:PORT``; without a host it is 127.0.0.1: nobody else is listened to.
        sensor: width and height; events outside are left out, and counted.

    Raises:
        UserError: no such address, or a port that is in use or not allowed.
    """

    paced = True

    def __init__(self, url: str, sensor: tuple[int, int]) -> None:
        host, port = _address(url)
        self.sensor = sensor
        self._closed = threading.Event()
        self._outside = self._broken = 0
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        try:
            with contextlib.suppress(OSError):
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _ROOM)
            self._socket.bind((host, port))
            self._socket.settimeout(_TICK_S)
        except (OSError, OverflowError) as error:
            self._socket.close()
            why = getattr(error, "strerror", None) or str(error)
            raise UserError(
                f"cannot be listened on: {why}",
                where=url,
                remedy="Choose another port, or end the program that listens there",
            ) from error
        self.port: int = self._socket.getsockname()[1]
        """The port, also where 0 was asked for."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What was left out."""
        size = f"{self.sensor[0]}x{self.sensor[1]}"
        told = (
            (self._outside, f"events outside the sensor of {size} were left out"),
            (self._broken, "packets had bytes that make no event; these were left out"),
        )
        return tuple(f"{count:,} {what}" for count, what in told if count)

    def close(self) -> None:
        """Listen no more."""
        self._closed.set()

    def __iter__(self) -> Iterator[Packet]:
        unwrap, began = Unwrap(32), time.perf_counter()
        latest: tuple[int, float] | None = None  # of the events' clock, and when it was so
        with self._socket:
            while not self._closed.is_set():
                payload = self._received()
                now = time.perf_counter()
                if payload is None:
                    if latest is not None:
                        upto = latest[0] + int(1e6 * (now - latest[1])) - _PATIENCE_US
                        if upto > latest[0]:
                            yield Packet(data=np.empty(0, EVENT), at=now, upto=upto)
                    continue
                data, timed, rest = decode(payload, int(1e6 * (now - began)))
                self._broken += bool(rest)
                if timed:
                    data["t"] = unwrap(data["t"].copy())
                inside = (data["x"] < self.sensor[0]) & (data["y"] < self.sensor[1])
                if not inside.all():
                    self._outside += int(np.count_nonzero(~inside))
                    data = data[inside]
                if len(data):
                    latest = int(data["t"][-1]), now
                    yield Packet(data=data, at=now)

    def _received(self) -> bytes | None:
        try:
            return self._socket.recv(_LARGEST)
        except TimeoutError:
            return None


def _address(url: str) -> tuple[str, int]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit("udp:"), None
    if port is None or parts.path or parts.query or parts.fragment or parts.username is not None:
        what = "must have the form udp://HOST:PORT, the port from 0 to 65535"
        raise UserError(what, where="SOURCE", value=url)
    return parts.hostname or "127.0.0.1", port
