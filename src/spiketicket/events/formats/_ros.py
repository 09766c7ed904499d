"""Messages of ROS 2 that hold events, in CDR (the common data representation), and their events.

A message begins with 4 bytes, of which the lowest bit of the second says that it is little-endian.
Numbers lie at multiples of their size, counted from behind those bytes. A string is its length with
a zero byte (uint32), then its bytes; a sequence its length (uint32), then its items.

    event_camera_msgs/EventPacket   header, uint32 height, width, uint64 seq, time_base (ns),
                                    string encoding, bool is_bigendian, uint8[] events
    dvs_msgs/EventArray             header, uint32 height, width, Event[]: uint16 x, y,
                                    int32 s, uint32 ns, bool polarity; each begins at 4 bytes

Encodings of packets, little-endian unless ``is_bigendian``:

    evt3, evt2      words of Prophesee's sensors, see ``_evt``; the clock is the sensor's
    mono            8 bytes: uint32 ns behind time_base, x 16 bits, y 15 bits, polarity 1 bit
    libcaer         8 bytes: uint32 word (valid 0, polarity 1, y 2-16, x 17-31), int32
                    microseconds behind time_base, which wrap after 2^31
    libcaer_cmp     words as of EVT 3.0, with other numbers of types and x and y exchanged; times
                    are microseconds behind time_base

Only the two types' own layouts are known here: nothing that a bag says about types is used.

Source: the .msg files and decoders in github.com/ros-event-camera (event_camera_msgs,
event_camera_codecs) and github.com/uzh-rpg/rpg_dvs_ros; OMG, DDS-XTYPES 1.3, section 7.4.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from spiketicket.events.formats._evt import BLOCK, Decoder, Evt2, Evt3
from spiketicket.events.stores import Columns

_DVS_EVENT: Final = np.dtype(
    {
        "names": ["x", "y", "s", "ns", "p"],
        "formats": ["u2", "u2", "i4", "u4", "u1"],
        "offsets": [0, 2, 4, 8, 12],
        "itemsize": 16,
    }
)
_WRAP_US: Final = 1 << 31


class MalformedError(Exception):
    """A message is not of its type; the text says why."""


@dataclass(frozen=True, kw_only=True)
class Packet:
    """A message: its sensor, its number (-1 where it has none), encoding and events."""

    sensor: tuple[int, int]
    seq: int
    encoding: str
    time_base: int
    order: str
    """Of bytes: "<" or ">"."""
    events: bytes


class _Cdr:
    """Reads the fields of a message one after the other, within its bounds."""

    def __init__(self, data: bytes) -> None:
        if len(data) < 4 or data[0] != 0 or data[1] > 1:
            raise MalformedError("does not begin as CDR does")
        self.order = "<" if data[1] else ">"
        self._data = data
        self._at = 4

    def number(self, form: str) -> int:
        size = struct.calcsize(form)
        self.align(size)
        return int(struct.unpack(self.order + form, self.take(size))[0])

    def align(self, size: int) -> None:
        self._at += (4 - self._at) % size

    def take(self, size: int) -> bytes:
        end = self._at + size
        if end > len(self._data):
            raise MalformedError(f"ends after {len(self._data)} bytes, of at least {end}")
        part = self._data[self._at : end]
        self._at = end
        return part

    def text(self) -> str:
        return self.take(self.number("I")).rstrip(b"\0").decode("utf-8", "replace")

    def header(self) -> None:
        self.number("i")
        self.number("I")
        self.text()


def event_packet(data: bytes) -> Packet:
    """An ``EventPacket``. MalformedError: it is none."""
    cdr = _Cdr(data)
    cdr.header()
    height, width = cdr.number("I"), cdr.number("I")
    seq, time_base = cdr.number("Q"), cdr.number("Q")
    encoding = cdr.text()
    order = ">" if cdr.number("B") else "<"
    return Packet(
        sensor=(width, height),
        seq=seq,
        encoding=encoding,
        time_base=time_base,
        order=order,
        events=cdr.take(cdr.number("I")),
    )


def event_array(data: bytes) -> Packet:
    """An ``EventArray`` of dvs_msgs, padded to whole records. MalformedError: it is none."""
    cdr = _Cdr(data)
    cdr.header()
    height, width = cdr.number("I"), cdr.number("I")
    count = cdr.number("I")
    size = max(count * _DVS_EVENT.itemsize - 3, 0)
    return Packet(
        sensor=(width, height),
        seq=-1,
        encoding="dvs",
        time_base=0,
        order=cdr.order,
        events=cdr.take(size) + bytes(3 if count else 0),
    )


READERS: Final[dict[str, Callable[[bytes], Packet]]] = {
    "event_camera_msgs/msg/EventPacket": event_packet,
    "event_array_msgs/msg/EventArray": event_packet,
    "dvs_msgs/msg/EventArray": event_array,
    "prophesee_event_msgs/msg/EventArray": event_array,
}
"""Type of a topic -> what reads its messages; the second is the first's former name."""


class Events:
    """Turns packets of one encoding into events; ``lost`` bytes made no whole one."""

    RECORD: Any = np.dtype("<u8")

    def __init__(self) -> None:
        self.lost = 0

    def __call__(self, packet: Packet) -> list[Columns]:
        """The events of the next packet."""
        record = self.RECORD.newbyteorder(packet.order)
        whole = len(packet.events) // record.itemsize
        self.lost += len(packet.events) - whole * record.itemsize
        records = np.frombuffer(packet.events, record, whole).astype(self.RECORD, copy=False)
        return self._columns(records, packet) if whole else []

    def notes(self) -> list[str]:
        """What a user should know."""
        return [f"{self.lost} bytes that make no whole event are left out"] if self.lost else []

    def _columns(self, records: NDArray[Any], packet: Packet) -> list[Columns]:
        raise NotImplementedError


class _Words(Events):
    def __init__(self, decode: Decoder) -> None:
        super().__init__()
        self.RECORD = decode.WORD
        self._decode = decode

    def _columns(self, records: NDArray[Any], packet: Packet) -> list[Columns]:  # noqa: ARG002
        starts = range(0, len(records), BLOCK)
        return [self._decode(records[start : start + BLOCK]) for start in starts]

    def notes(self) -> list[str]:
        return [*super().notes(), *self._decode.notes()]


class _Mono(Events):
    def _columns(self, records: NDArray[Any], packet: Packet) -> list[Columns]:
        base_us, rest = divmod(packet.time_base, 1000)
        t = (records & 0xFFFF_FFFF).astype(np.int64)
        t += rest
        t //= 1000
        t += base_us
        x, y = (records >> 32).astype(np.uint16), ((records >> 48) & 0x7FFF).astype(np.uint16)
        return [Columns(t, x, y, (records >> 63).astype(np.uint8))]


class _Libcaer(Events):
    RECORD = np.dtype([("word", "<u4"), ("t", "<u4")])

    def _columns(self, records: NDArray[Any], packet: Packet) -> list[Columns]:
        t = (records["t"] & 0x7FFF_FFFF).astype(np.int64)
        wraps = t[:-1] - t[1:] > _WRAP_US // 2
        if wraps.any():
            t[1:] += np.cumsum(wraps) * _WRAP_US
        t += packet.time_base // 1000
        word = records["word"]
        x, y = (word >> 17).astype(np.uint16), ((word >> 2) & 0x7FFF).astype(np.uint16)
        return [Columns(t, x, y, ((word >> 1) & 1).astype(np.uint8))]


class _LibcaerCmp(Events):
    RECORD = np.dtype("<u2")
    KINDS: Final = np.array([8, 6, 0, 2, 3, 5, *(9 for _ in range(10))], np.uint16) << 12
    """Of each type that of EVT 3.0: upper and lower time, x, y, base of y, vector; 9 is none."""

    def __init__(self) -> None:
        super().__init__()
        self._decode = Evt3()

    def _columns(self, records: NDArray[Any], packet: Packet) -> list[Columns]:
        words = self.KINDS[records >> 12] | (records & 0xFFF)
        self._decode.restart()
        start = self.KINDS[:2]  # a packet begins at time 0
        words = np.concatenate((start, words)).astype("<u2")
        blocks = [self._decode(words[at : at + BLOCK]) for at in range(0, len(words), BLOCK)]
        base = packet.time_base // 1000
        return [Columns(block.t + base, block.y, block.x, block.p) for block in blocks]

    def notes(self) -> list[str]:
        return [*super().notes(), *self._decode.notes()]


class _Dvs(Events):
    RECORD = _DVS_EVENT

    def _columns(self, records: NDArray[Any], packet: Packet) -> list[Columns]:  # noqa: ARG002
        t = records["s"].astype(np.int64) * 1_000_000 + records["ns"] // 1000
        return [Columns(t, records["x"].copy(), records["y"].copy(), records["p"] != 0)]


ENCODINGS: Final[dict[str, Callable[[], Events]]] = {
    "evt3": lambda: _Words(Evt3()),
    "evt2": lambda: _Words(Evt2()),
    "mono": _Mono,
    "libcaer": _Libcaer,
    "libcaer_cmp": _LibcaerCmp,
    "dvs": _Dvs,
}
