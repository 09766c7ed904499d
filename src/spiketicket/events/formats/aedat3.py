"""AEDAT 3.1 files of cAER, among them the recordings of DVS128 Gesture.

    lines of text, the first "#!AER-DAT3.1", "#Source 1: DVS128", the last "#!END-HEADER"
    packets: 28 bytes of header, little-endian: int16 type, int16 source, int32 size of an event,
    offset of its time, overflow, capacity, number, valid; then the events

Packets of type 1 hold polarity events of 8 bytes: a word (valid 0, polarity 1, y 2-16, x 17-31)
and the lower 31 bits of the microseconds, the overflow of the packet being those above. (0, 0) is
top left. Events that are not marked valid are left out and counted, packets of other types
(special, frame, IMU, ...) are stepped over, and so are a packet's places behind its last event.

Where a packet cannot be right, the file cannot be followed beyond it: the events before it are
read, and the bytes from there on are counted.

Source: "AEDAT 3.1", docs.inivation.com; libcaer's events/packet header.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from spiketicket.errors import UserError
from spiketicket.events.formats._header import agreed_sensor, named_sensor, text_lines
from spiketicket.events.reading import CHUNK, Recording
from spiketicket.events.stores import Columns

TITLE: Final = "AEDAT 3.1"
SUFFIXES: Final = (".aedat",)
MAGIC: Final = b"#!AER-DAT3"

_LAST_LINE: Final = "#!END-HEADER"
_HEADER: Final = struct.Struct("<hhiiiiii")
_RECORD: Final = np.dtype([("word", "<u4"), ("t", "<u4")])
_POLARITY: Final = 1
_BYTES: Final = CHUNK * _RECORD.itemsize


def open_recording(path: Path, sensor: tuple[int, int] | None) -> Recording:
    """Read the header.

    Raises:
        UserError: version 3.0, a header without end, or another sensor than ``sensor``.
    """
    lines, start = text_lines(path, b"#", _LAST_LINE)
    if not lines or not lines[0].startswith("#!AER-DAT3.1"):
        what, value = "must be AEDAT 3.1", lines[0] if lines else ""
        raise UserError(what, where=str(path), value=value, remedy="Convert it with DV or jAER")
    if _LAST_LINE not in lines[-1]:
        raise UserError(f"has no line {_LAST_LINE}", where=str(path))
    found = named_sensor(line for line in lines if line.startswith("#Source"))
    notes: list[str] = []
    most = (path.stat().st_size - start) // _RECORD.itemsize
    blocks = _blocks(path, start, notes)
    return Recording(
        sensor=agreed_sensor(found and found[1], sensor, path),
        most=most,
        blocks=blocks,
        notes=notes,
    )


def _blocks(path: Path, start: int, notes: list[str]) -> Iterator[Columns]:
    invalid = 0
    with path.open("rb", buffering=1 << 18) as file:
        file.seek(start)
        packets = _Packets(file, path.stat().st_size - start)
        for overflow, raw in packets.polarity():
            word = raw["word"].astype(np.uint32)
            t = raw["t"].astype(np.int64)
            if overflow:
                t += overflow << 31
            marked = word & 1 != 0
            if not marked.all():
                invalid += len(marked) - int(np.count_nonzero(marked))
                word, t = word[marked], t[marked]
            x, y = (word >> 17).astype(np.uint16), (word >> 2) & 0x7FFF
            yield Columns(t, x, y.astype(np.uint16), ((word >> 1) & 1).astype(np.uint8))
    if packets.damage:
        notes.append(packets.damage)
    if invalid:
        notes.append(f"{invalid} events that the camera marked invalid are left out")


class _Packets:
    """Walks over the packets of a file; the polarity events of small ones are put together."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.damage = ""
        self._file = file
        self._left = size
        """Bytes of the file behind those that were walked over."""
        self._overflow = 0
        self._gathered = bytearray()

    def polarity(self) -> Iterator[tuple[int, NDArray[np.void]]]:
        """Some events at a time, with the overflow that they share."""
        while self._left:
            header = self._next()
            if header is None:
                break
            overflow, wanted, room = header
            if wanted and overflow != self._overflow:
                if self._gathered:
                    yield self._take()
                self._overflow = overflow
            here = self._file.tell()
            whole = min(wanted, self._left - self._left % _RECORD.itemsize)
            while whole:
                piece = self._file.read(min(whole, _BYTES))
                whole -= len(piece) or whole
                self._gathered += piece
                if len(self._gathered) >= _BYTES:
                    yield self._take()
            self._step_over(here, wanted, room)
        if self._gathered:
            yield self._take()

    def _next(self) -> tuple[int, int, int] | None:
        """Overflow, bytes of polarity events, and bytes of a packet; None behind the last."""
        header = self._file.read(_HEADER.size)
        if len(header) == _HEADER.size:
            kind, _, size, offset, overflow, capacity, number, valid = _HEADER.unpack(header)
            sound = kind >= 0 and size > 0 and overflow >= 0 and capacity >= number >= valid >= 0
            polarity = kind == _POLARITY
            if sound and (not polarity or (size, offset) == (_RECORD.itemsize, 4)):
                self._left -= _HEADER.size
                return overflow, number * size if polarity else 0, capacity * size
        self.damage = f"{self._left} bytes at the end, which begin no packet, are left out"
        return None

    def _step_over(self, here: int, wanted: int, room: int) -> None:
        if room > self._left:
            lost = self._left - min(wanted, self._left - self._left % _RECORD.itemsize)
            if lost or wanted > self._left:
                self.damage = f"the last packet is cut off, {lost} bytes of it are left out"
            self._left = 0
        else:
            self._left -= room
            if room != wanted:
                self._file.seek(here + room)

    def _take(self) -> tuple[int, NDArray[np.void]]:
        gathered, self._gathered = self._gathered, bytearray()
        return self._overflow, np.frombuffer(gathered, _RECORD)
