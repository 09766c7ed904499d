"""The .dat files of ATIS and Prophesee sensors with CD (contrast detection) events.

    % lines of text: "% Version 2", "% Width 304", "% Height 240", each optional
    two bytes: the type of the events (0 or 12 is CD) and their size (8)
    events, little-endian: uint32 microseconds, uint32 word

Bits of the word, version 2: x 0-13, y 14-27, polarity 28-31 (0 is OFF). Version 0 and 1:
x 0-8, y 9-16, polarity 17. The clock wraps after 71 minutes.

Source: "DAT File Format", docs.prophesee.ai, and Prophesee's load_atis_data.m for version < 2.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from spiketicket.errors import UserError
from spiketicket.events.formats._header import agreed_sensor, text_lines
from spiketicket.events.reading import Recording, Unwrap, read_chunks
from spiketicket.events.stores import Columns

TITLE: Final = "ATIS and Prophesee .dat"
SUFFIXES: Final = (".dat",)
MAGIC: Final = b"%"

_RECORD: Final = np.dtype([("t", "<u4"), ("word", "<u4")])
_CD_TYPES: Final = (0, 12)


class _Layout(NamedTuple):
    x_bits: int
    y_bits: int


_LAYOUTS: Final = {0: _Layout(9, 8), 1: _Layout(9, 8), 2: _Layout(14, 14)}


def open_recording(path: Path, sensor: tuple[int, int] | None) -> Recording:
    """Read the header.

    Raises:
        UserError: a header without end, another version, events of another type or size, or a
            size of the sensor other than ``sensor``.
    """
    lines, start = text_lines(path, b"%")
    with path.open("rb") as file:
        file.seek(start)
        kind = file.read(2)
    if len(kind) < 2:
        raise UserError("ends in its header", where=str(path))
    if kind[0] not in _CD_TYPES or kind[1] != _RECORD.itemsize:
        what = "must hold CD events (type 0 or 12) of 8 bytes"
        raise UserError(what, where=str(path), value=f"type {kind[0]}, {kind[1]} bytes")
    known = {key: _number(lines, key) for key in ("Version", "Width", "Height")}
    version = known["Version"] or 0
    if version not in _LAYOUTS:
        raise UserError("must be of version 0, 1 or 2", where=str(path), value=version)
    width, height = known["Width"], known["Height"]
    stated = (width, height) if width and height else None
    notes: list[str] = []
    most = (path.stat().st_size - start - 2) // _RECORD.itemsize
    blocks = _blocks(path, start + 2, _LAYOUTS[version], notes)
    return Recording(
        sensor=agreed_sensor(stated, sensor, path), most=most, blocks=blocks, notes=notes
    )


def _number(lines: list[str], key: str) -> int | None:
    found = (re.match(rf"%\s*{key}\s+(\d{{1,5}})\s*$", line, re.IGNORECASE) for line in lines)
    return next((int(match[1]) for match in found if match), None)


def _blocks(path: Path, start: int, layout: _Layout, notes: list[str]) -> Iterator[Columns]:
    unwrap = Unwrap(32)
    x_mask, y_mask = (1 << layout.x_bits) - 1, (1 << layout.y_bits) - 1
    p_shift = layout.x_bits + layout.y_bits
    p_mask = 0xF if p_shift == 28 else 1
    for raw in read_chunks(path, start, _RECORD, notes):
        if not len(raw):
            continue
        word = raw["word"].astype(np.uint32)
        yield Columns(
            unwrap(raw["t"].astype(np.int64)),
            (word & x_mask).astype(np.uint16),
            ((word >> layout.x_bits) & y_mask).astype(np.uint16),
            ((word >> p_shift) & p_mask) != 0,
        )
