"""AEDAT 2.0 files of jAER, from DVS128 and DAVIS sensors.

    # lines of text, the first "#!AER-DAT2.0"; "# AEChip: ..." names the sensor
    events, big-endian: uint32 address, int32 microseconds

Bits of an address, DVS128: polarity 0 (0 is ON), x 1-7, y 8-14, 15 an external event. DAVIS:
polarity 11 (1 is ON), x 12-21, y 22-30, 10 an external event, 31 a picture (APS) or motion (IMU)
sample. Both count x from the right and y from the bottom, and are turned here as jAER shows
them: (0, 0) is top left. External events and samples are not events of the sensor and are left
out. The clock wraps after 71 minutes.

A header without an AEChip line is read as a DVS128's, or as a DAVIS's when ``sensor`` is of its
size. SpikingJelly reads CIFAR10-DVS with x and y exchanged; a data set's own reader may do so.

Source: "AEDAT 2.0", docs.inivation.com; the extractors of DVS128 and DavisBaseCamera in
github.com/SensorsINI/jaer for directions and polarity.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from spiketicket.errors import UserError
from spiketicket.events.formats._header import SIZES, agreed_sensor, named_sensor, text_lines
from spiketicket.events.reading import Recording, Unwrap, read_chunks
from spiketicket.events.stores import Columns

TITLE: Final = "AEDAT 2.0"
SUFFIXES: Final = (".aedat", ".dat")
MAGIC: Final = b"#!AER-DAT2"

_RECORD: Final = np.dtype([("address", ">u4"), ("t", ">i4")])
_LAST_LINE: Final = "End Of ASCII Header"


@dataclass(frozen=True, kw_only=True)
class _Layout:
    """How an address is put together; ``other`` are the bits of what is no event."""

    x_shift: int
    x_mask: int
    y_shift: int
    y_mask: int
    p_shift: int
    p_flip: int
    other: int


_LAYOUTS: Final = {
    "dvs": _Layout(
        x_shift=1,
        x_mask=0x7F,
        y_shift=8,
        y_mask=0x7F,
        p_shift=0,
        p_flip=1,
        other=0x8000_8000,
    ),
    "davis": _Layout(
        x_shift=12,
        x_mask=0x3FF,
        y_shift=22,
        y_mask=0x1FF,
        p_shift=11,
        p_flip=0,
        other=0x8000_0400,
    ),
}
_DVS_UNUSED: Final = 0x7FFF_0000


def open_recording(path: Path, sensor: tuple[int, int] | None) -> Recording:
    """Read the header.

    Raises:
        UserError: a sensor that is not known, or another than ``sensor``.
    """
    lines, start = text_lines(path, b"#", _LAST_LINE)
    notes: list[str] = []
    family, size = _chip(lines, path, sensor, notes)
    most = (path.stat().st_size - start) // _RECORD.itemsize
    if notes and family == "dvs":
        _check_dvs(path, start)
    blocks = _blocks(path, start, _LAYOUTS[family], size, notes)
    return Recording(sensor=size, most=most, blocks=blocks, notes=notes)


def _chip(
    lines: list[str], path: Path, sensor: tuple[int, int] | None, notes: list[str]
) -> tuple[str, tuple[int, int]]:
    named = [line.split(":", 1)[1].strip() for line in lines if line.startswith("# AEChip:")]
    found = named_sensor(named)
    if found is not None and not (found[0] == "dvs" and found[1] != SIZES["128"]):
        agreed_sensor(found[1], sensor, path)
        return found
    if named:
        what = "is of a chip whose addresses are not known; known are DVS128 and DAVIS 128 to 640"
        raise UserError(what, where=str(path), value=named[0])
    size = sensor or SIZES["128"]
    if size not in SIZES.values():
        what = "names no chip, and the sensor must be one of " + _listed()
        raise UserError(what, where=str(path), value=list(size))
    family = "dvs" if size == SIZES["128"] else "davis"
    notes.append(f"the header names no chip: read as {family.upper()} of {size[0]}x{size[1]}")
    return family, size


def _check_dvs(path: Path, start: int) -> None:
    """Whether a file that names no chip can be a DVS128's: the first events tell."""
    first = next(read_chunks(path, start, _RECORD, []), None)
    if first is not None and len(first):
        unused = first["address"] & _DVS_UNUSED != 0
        if np.count_nonzero(unused) * 2 > len(unused):
            what = "names no chip, and its addresses are not a DVS128's"
            remedy = f"Give the sensor's size as sensor=(width, height): {_listed()}"
            raise UserError(what, where=str(path), remedy=remedy)


def _listed() -> str:
    return ", ".join(f"{width}x{height}" for width, height in SIZES.values())


def _blocks(
    path: Path, start: int, layout: _Layout, size: tuple[int, int], notes: list[str]
) -> Iterator[Columns]:
    unwrap = Unwrap(32)
    skipped = 0
    right, bottom = np.uint16(size[0] - 1), np.uint16(size[1] - 1)
    for raw in read_chunks(path, start, _RECORD, notes):
        if not len(raw):
            continue
        address = raw["address"].astype(np.uint32)
        t = unwrap(raw["t"].astype(np.int64))
        other = (address & layout.other) != 0
        if other.any():
            skipped += int(np.count_nonzero(other))
            address, t = address[~other], t[~other]
        x = ((address >> layout.x_shift) & layout.x_mask).astype(np.uint16)
        y = ((address >> layout.y_shift) & layout.y_mask).astype(np.uint16)
        p = ((address >> layout.p_shift) & 1).astype(np.uint8)
        # An address outside the sensor wraps below zero here, to far outside.
        yield Columns(t, right - x, bottom - y, p ^ layout.p_flip)
    if skipped:
        notes.append(f"{skipped} external events and samples (APS, IMU) are left out")
