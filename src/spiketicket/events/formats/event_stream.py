"""Event Stream files (.es) of the neuromorphic camera tools Loris, sepia and event_stream.

    "Event Stream"   12 bytes
    version          3 bytes: 2, any, any
    type             1 byte: 0 generic, 1 DVS, 2 ATIS, 4 colour
    width, height    uint16 each, little-endian, but of the generic type
    events           each begins with a byte of its time since the last one

DVS: 0xff adds 127 us, 0xfe nothing; any other byte begins an event of 5 bytes: time since the last
in bits 1-7, polarity in bit 0, then x and y, uint16 each. ATIS: 0xfc to 0xff add 63 us times the
lower two bits; any other byte has the time in bits 2-7, polarity in bit 1, and in bit 0 whether it
is a measurement of brightness, which is left out. y counts from the bottom and is turned here.
Generic files hold no events of a camera.

Source: "The Event Stream File Format", github.com/neuromorphic-paris/event_stream.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spiketicket.errors import UserError
from spiketicket.events.formats._header import agreed_sensor
from spiketicket.events.reading import Recording, read_chunks
from spiketicket.events.stores import Columns
from spiketicket.machine.bounded import open_regular

TITLE: Final = "Event Stream"
SUFFIXES: Final = (".es",)
MAGIC: Final = b"Event Stream"

_VERSION: Final = 2
_HEAD: Final = 20
_EVENT: Final = 5
_OTHER: Final = {0: "generic", 3: "asynchronous ATIS", 4: "colour"}


class _Kind(NamedTuple):
    """What first bytes mean: times of those that begin no event (0 to 255), shifts of the rest."""

    pauses: dict[int, int]
    time_shift: int
    p_shift: int
    measures: bool


_KINDS: Final = {
    1: _Kind({0xFE: 0, 0xFF: 127}, 1, 0, measures=False),
    2: _Kind({0xFC + n: 63 * n for n in range(4)}, 2, 1, measures=True),
}


def open_recording(path: Path, sensor: tuple[int, int] | None) -> Recording:
    """Read the header.

    Raises:
        UserError: another version or type, a header that is cut off, or another sensor than
            ``sensor``.
    """
    file, size = open_regular(path)
    with file:
        head = file.read(_HEAD)
    where = str(path)
    if len(head) > len(MAGIC) and head[len(MAGIC)] != _VERSION:
        raise UserError(f"must be of version {_VERSION}", where=where, value=head[len(MAGIC)])
    kind = head[15] if len(head) > 15 else None
    if kind is not None and kind not in _KINDS:
        what = "must hold events of a DVS or an ATIS"
        raise UserError(what, where=where, value=f"type {kind}, {_OTHER.get(kind, 'unknown')}")
    if kind is None or len(head) < _HEAD:
        raise UserError("ends in its header", where=where)
    stated = (int.from_bytes(head[16:18], "little"), int.from_bytes(head[18:20], "little"))
    agreed_sensor(stated, sensor, path)
    notes: list[str] = []
    blocks = _blocks(path, _KINDS[kind], stated[1], notes)
    return Recording(sensor=stated, most=(size - _HEAD) // _EVENT, blocks=blocks, notes=notes)


def _blocks(path: Path, kind: _Kind, height: int, notes: list[str]) -> Iterator[Columns]:
    paused = np.zeros(256, np.int64)
    begins = np.full(256, _EVENT, np.int64)
    for byte, time in kind.pauses.items():
        paused[byte], begins[byte] = time, 1
    now, measured, left = 0, 0, b""
    for raw in read_chunks(path, _HEAD, np.dtype("u1"), notes):
        part = np.frombuffer(left + raw.tobytes(), np.uint8)
        starts, end = _starts(begins[part])
        left = part[end:].tobytes()
        first = part[starts]
        is_event = begins[first] == _EVENT
        passed = np.where(is_event, first >> kind.time_shift, paused[first])
        times = now + np.cumsum(passed, dtype=np.int64)
        now = int(times[-1]) if len(times) else now
        if kind.measures:
            crossing = is_event & (first & 1 == 1)
            measured += int(np.count_nonzero(crossing))
            is_event &= ~crossing
        at = starts[is_event]
        x = part[at + 1].astype(np.int64) | part[at + 2].astype(np.int64) << 8
        y = height - 1 - (part[at + 3].astype(np.int64) | part[at + 4].astype(np.int64) << 8)
        # Below the sensor is outside of it, which 65535 is in any case.
        y[y < 0] = 0xFFFF
        yield Columns(times[is_event], x, y, (part[at] >> kind.p_shift) & 1)
    if left:
        notes.append(f"{len(left)} bytes at the end, less than one event, are left out")
    if measured:
        notes.append(f"{measured} measurements of brightness are left out")


def _starts(steps: NDArray[np.int64]) -> tuple[NDArray[np.intp], int]:
    """Where whole records begin, and the byte behind the last of them.

    ``steps`` [n] is the length of a record that would begin at each byte. Which bytes do follows
    from the first one; the jumps are doubled in each round, 2, 4, 8 records at a time.
    """
    size = len(steps)
    jump = np.minimum(np.arange(size) + steps, size + 1)
    jump = np.concatenate((jump, [size, size + 1]))  # behind the last byte, and beyond
    found = np.zeros(1, np.intp)
    while found[-1] < size:
        found = np.concatenate((found, jump[found]))
        jump = jump[jump]
    whole = np.unique(found)
    end = int(whole[whole <= size][-1])
    return whole[whole < end], end
