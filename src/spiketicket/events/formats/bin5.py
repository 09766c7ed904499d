"""The 5-byte events of N-MNIST and N-Caltech101, which have no header.

    byte 0          x
    byte 1          y
    byte 2, bit 7   polarity, 1 is ON
    the other 23    microseconds, big-endian

The clock wraps after 8.4 s. An event in row 240, which those sensors do not have, is a mark that
the time is 8,192 us later from there on, as in the data sets' own reader.

Source: G. Orchard et al., "Converting Static Image Datasets to Spiking Neuromorphic Datasets Using
Saccades" (2015), and its reader, github.com/gorchard/event-Python.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from spiketicket.events.reading import Recording, Unwrap, read_chunks
from spiketicket.events.stores import Columns

TITLE: Final = "5-byte events (N-MNIST, N-Caltech101)"
SUFFIXES: Final = (".bin",)
MAGIC: Final = b""

_RECORD: Final = np.dtype([("x", "u1"), ("word", ">u4")])
_MARK: Final = 240
_MARK_US: Final = 1 << 13


def open_recording(path: Path, sensor: tuple[int, int] | None) -> Recording:
    """Open a file; it does not tell its sensor."""
    notes: list[str] = []
    marks = sensor is None or sensor[1] <= _MARK
    most = path.stat().st_size // _RECORD.itemsize
    return Recording(sensor=sensor, most=most, blocks=_blocks(path, marks, notes), notes=notes)


def _blocks(path: Path, marks: bool, notes: list[str]) -> Iterator[Columns]:
    unwrap = Unwrap(23)
    marked = 0
    for raw in read_chunks(path, 0, _RECORD, notes):
        if not len(raw):
            continue
        word = raw["word"].astype("<u4")
        block = Columns(
            unwrap((word & 0x7FFFFF).astype(np.int64)),
            raw["x"].copy(),
            (word >> 24).astype(np.uint8),
            ((word >> 23) & 1).astype(np.uint8),
        )
        here = block.y == _MARK if marks else None
        if here is not None and (marked or here.any()):
            times = block.t + (marked + np.cumsum(here)) * _MARK_US
            marked += int(np.count_nonzero(here))
            block = Columns(*(column[~here] for column in block._replace(t=times)))
        yield block
    if marked:
        notes.append(f"{marked} marks (row {_MARK}) move the time behind them by {_MARK_US} us")
