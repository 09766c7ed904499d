"""The .npy files of tonic's DVSGesture, and arrays of events that were saved with numpy.

    float or integer array [N, 4]: x, y, polarity, milliseconds
    structured array [N] with fields t (microseconds), x, y and p, in any order

Which of the two it is, its type tells. Polarities may be 0 and 1, or -1 and 1. The sensor is not
in the file. Nothing is unpickled.

Source: tonic/datasets/dvsgesture.py in github.com/neuromorphs/tonic, whose reader multiplies the
last column by 1000 for microseconds.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from spiketicket.errors import UserError
from spiketicket.events._reading import Recording
from spiketicket.events.formats._columns import columns
from spiketicket.events.formats._npy import read_array

TITLE: Final = "numpy array (tonic's DVSGesture)"
SUFFIXES: Final = (".npy",)
MAGIC: Final = b"\x93NUMPY"


def open_recording(path: Path, sensor: tuple[int, int] | None) -> Recording:
    """Read the array.

    Raises:
        UserError: not an array of numbers [N, 4], nor one with fields t, x, y and p.
    """
    where = str(path)
    with path.open("rb") as file:
        array, note = read_array(file, path.stat().st_size, where)
    notes = [note] if note else []
    if array.dtype.names:
        if set(array.dtype.names) != set("txyp") or array.ndim != 1:
            got = f"{array.dtype} {list(array.shape)}"
            raise UserError("must have the fields t, x, y and p, [N]", where=where, value=got)
        t, x, y, p = (array[name] for name in "txyp")
        return Recording(sensor, len(t), columns(t, x, y, p, scale=1, where=where), notes)
    if array.ndim != 2 or array.shape[1] != 4:
        what = "must be an array [N, 4] of x, y, polarity and milliseconds"
        raise UserError(what, where=where, value=list(array.shape))
    x, y, p, t = array.T
    return Recording(sensor, len(t), columns(t, x, y, p, scale=1000, where=where), notes)
