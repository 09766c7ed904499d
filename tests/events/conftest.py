"""Encoders of the formats of event recordings, from their descriptions: no code of src is used.

An encoder takes a list of events, (t, x, y, p) with (0, 0) top left and times in microseconds.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Sequence
from types import SimpleNamespace

import camera_files
import numpy as np
import pytest

Event = tuple[int, int, int, int]
WIDTH = HEIGHT = 128


def bin5(events: Sequence[Event]) -> bytes:
    out = b""
    for t, x, y, p in events:
        out += bytes([x, y]) + struct.pack(">I", (p << 23) | (t % (1 << 23)))[1:]
    return out


def dat(
    events: Sequence[Event], version: int | None = 2, kind: int = 12, size: bool = True
) -> bytes:
    head = b"% Data file containing CD events.\n"
    if version is not None:
        head += b"%% Version %d\n" % version
    head += b"% Date 2020-09-14 14:18:29\n"
    if size:
        head += b"% Width 128\n% Height 128\n"
    body = bytes([kind, 8])
    for t, x, y, p in events:
        word = x | y << 14 | p << 28 if version == 2 else x | y << 9 | p << 17
        body += struct.pack("<II", t % (1 << 32), word)
    return head + body


CHIPS = {
    "DVS128": (b"ch.unizh.ini.jaer.chip.retina.DVS128", 128, 128),
    "DAVIS240": (b"eu.seebetter.ini.chips.davis.DAVIS240C", 240, 180),
    "DAVIS346": (b"eu.seebetter.ini.chips.davis.Davis346red", 346, 260),
}


def signed32(t: int) -> int:
    return (t + (1 << 31)) % (1 << 32) - (1 << 31)


def aedat2_word(chip: str, event: Event) -> bytes:
    t, x, y, p = event
    _, width, height = CHIPS[chip]
    right, bottom = width - 1 - x, height - 1 - y
    if chip == "DVS128":
        address = bottom << 8 | right << 1 | (1 - p)
    else:
        address = bottom << 22 | right << 12 | p << 11
    return struct.pack(">Ii", address, signed32(t))


def aedat2_head(chip: str | None = "DVS128") -> bytes:
    head = b"#!AER-DAT2.0\r\n# This is a raw AE data file - do not edit\r\n"
    head += b"# Data format is int32 address, int32 timestamp (8 bytes total)\r\n"
    return head + (b"# AEChip: " + CHIPS[chip][0] + b"\r\n" if chip else b"")


def aedat2(events: Sequence[Event], chip: str = "DVS128") -> bytes:
    return aedat2_head(chip) + b"".join(aedat2_word(chip, event) for event in events)


def aedat3_head(source: bytes = b"DVS128") -> bytes:
    head = b"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: " + source + b"\r\n"
    return head + b"#Start-Time: 2016-05-18 11:25:18 (TZ+0200)\r\n#!END-HEADER\r\n"


def aedat3_packet(
    events: Sequence[Event],
    overflow: int = 0,
    invalid: Sequence[int] = (),
    room: int = 0,
) -> bytes:
    """A polarity packet; events at the indices ``invalid`` lack the mark, ``room`` more fit in."""
    number = len(events)
    head = (1, 1, 8, 4, overflow, number + room, number, number - len(invalid))
    out = struct.pack("<hhiiiiii", *head)
    for index, (t, x, y, p) in enumerate(events):
        word = x << 17 | y << 2 | p << 1 | (index not in invalid)
        out += struct.pack("<Ii", word, t - (overflow << 31))
    return out + b"\xff" * 8 * room


def aedat3_other(kind: int = 3, size: int = 36, number: int = 2) -> bytes:
    head = struct.pack("<hhiiiiii", kind, 1, size, 4, 0, number, number, number)
    return head + bytes(range(size)) * number


def aedat3(events: Sequence[Event], packet: int = 7) -> bytes:
    out = aedat3_head() + aedat3_other(0, 8, 1)
    overflows = sorted({t >> 31 for t, *_ in events})
    for overflow in overflows:
        mine = [event for event in events if event[0] >> 31 == overflow]
        for start in range(0, len(mine), packet):
            out += aedat3_packet(mine[start : start + packet], overflow) + aedat3_other()
    return out


def _flat_header(info: bytes) -> bytes:
    """The table IOHeader: compression none, no data table, and the XML of the streams."""
    vtable = struct.pack("<HHHHH", 10, 20, 4, 12, 8) + b"\0\0"
    table = struct.pack("<iiIq", 12, 0, 12, -1)
    body = struct.pack("<I", 20) + b"IOHE" + vtable + table
    body += struct.pack("<I", len(info)) + info + b"\0" * (4 - len(info) % 4)
    return struct.pack("<I", len(body)) + body


def _flat_events(events: Sequence[Event]) -> bytes:
    vtable = struct.pack("<HHH", 6, 8, 4) + b"\0\0"
    table = struct.pack("<iI", 8, 4)
    body = struct.pack("<I", 16) + b"EVTS" + vtable + table + struct.pack("<I", len(events))
    body += b"".join(struct.pack("<qhhB3x", t, x, y, p) for t, x, y, p in events)
    return struct.pack("<I", len(body)) + body


def aedat4(events: Sequence[Event], packet: int = 7, streams: int = 1) -> bytes:
    nodes = b"".join(
        b'<node name="%d" path="/mainloop/Recorder/outInfo/%d/">'
        b'<attr key="compression" type="string">NONE</attr>'
        b'<attr key="typeIdentifier" type="string">EVTS</attr>'
        b'<node name="info" path="/mainloop/Recorder/outInfo/%d/info/">'
        b'<attr key="sizeX" type="int">128</attr><attr key="sizeY" type="int">128</attr>'
        b"</node></node>" % (number, number, number)
        for number in range(streams)
    )
    info = b'<dv version="2.0"><node name="outInfo" path="/mainloop/Recorder/outInfo/">'
    out = b"#!AER-DAT4.0\r\n" + _flat_header(info + nodes + b"</node></dv>")
    for start in range(0, len(events), packet):
        for number in range(streams):
            flat = _flat_events(events[start : start + packet])
            out += struct.pack("<ii", number, len(flat)) + flat
    return out


def npy_tonic(events: Sequence[Event]) -> bytes:
    rows = np.array([(x, y, p, t / 1000) for t, x, y, p in events], np.float64).reshape(-1, 4)
    file = io.BytesIO()
    np.save(file, rows)
    return file.getvalue()


def npy_fields(events: Sequence[Event]) -> bytes:
    kind = [("x", "<i2"), ("y", "<i2"), ("t", "<u8"), ("p", "?")]
    file = io.BytesIO()
    np.save(file, np.array([(x, y, t, p) for t, x, y, p in events], kind))
    return file.getvalue()


def npz(events: Sequence[Event], packed: bool = True) -> bytes:
    t, x, y, p = (np.array(column, np.int64) for column in zip(*events, strict=True))
    file = io.BytesIO()
    save = np.savez_compressed if packed else np.savez
    save(file, t=t, x=x.astype(np.uint16), y=y.astype(np.uint16), p=p.astype(bool))
    return file.getvalue()


FORMATS: dict[str, tuple[str, Callable[[Sequence[Event]], bytes]]] = {
    "bin5": (".bin", bin5),
    "dat": (".dat", dat),
    "aedat2": (".aedat", aedat2),
    "aedat3": (".aedat", aedat3),
    "aedat4": (".aedat4", aedat4),
    "npy_tonic": (".npy", npy_tonic),
    "npy_fields": (".npy", npy_fields),
    "npz": (".npz", npz),
    **camera_files.FORMATS,
}


@pytest.fixture(scope="session")
def encode() -> SimpleNamespace:
    """The encoders by name, and ``formats``: name -> (suffix, encoder)."""
    public = {name: value for name, value in globals().items() if not name.startswith("_")}
    return SimpleNamespace(**public, formats=FORMATS)
