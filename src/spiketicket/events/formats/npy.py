"""The .npy files of tonic's DVSGesture, and arrays of events that were saved with numpy.

    float or integer array [N, 4]: x, y, polarity, milliseconds
    structured array [N] with fields t (microseconds), x, y and p, in any order

Another unit of the times must be named: see ``_columns``.

Which of the two it is, its type tells. Polarities may be 0 and 1, or -1 and 1. The sensor is not
in the file. Nothing is unpickled.

Source: tonic/datasets/dvsgesture.py in github.com/neuromorphs/tonic, whose reader multiplies the
last column by 1000 for microseconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from spiketicket.errors import UserError
from spiketicket.events.formats._columns import Plain
from spiketicket.events.formats._npy import NpyRows
from spiketicket.events.reading import CHUNK, Recording
from spiketicket.events.stores import Columns
from spiketicket.events.types import TimeUnit
from spiketicket.machine.bounded import open_regular

TITLE: Final = "numpy array (tonic's DVSGesture)"
SUFFIXES: Final = (".npy",)
MAGIC: Final = b"\x93NUMPY"


def open_recording(path: Path, sensor: tuple[int, int] | None) -> Recording:
    """Read the array's header.

    Raises:
        UserError: not an array of numbers [N, 4], nor one with fields t, x, y and p.
    """
    where = str(path)
    file, size = open_regular(path)
    with file:
        rows = NpyRows(file, size, where)
    usual: TimeUnit = "us"
    if rows.dtype.names:
        if set(rows.dtype.names) != set("txyp") or len(rows.shape) != 1:
            got = f"{rows.dtype} {list(rows.shape)}"
            raise UserError("must have the fields t, x, y and p, [N]", where=where, value=got)
    elif len(rows.shape) != 2 or rows.shape[1] != 4:
        what = "must be an array [N, 4] of x, y, polarity and milliseconds"
        raise UserError(what, where=where, value=list(rows.shape))
    else:
        usual = "ms"
    plain = Plain(where, usual)
    notes = [rows.note] if rows.note else []
    return Recording(
        sensor=sensor, most=rows.count, blocks=_blocks(path, plain), notes=notes, plain=plain
    )


def _blocks(path: Path, plain: Plain) -> Iterator[Columns]:
    file, size = open_regular(path)
    with file:
        rows = NpyRows(file, size, str(path))
        while len(part := rows.take(CHUNK)):
            if part.dtype.names:
                yield plain.block(*(part[name] for name in "txyp"))
            else:
                x, y, p, t = part.T
                yield plain.block(t, x, y, p)
