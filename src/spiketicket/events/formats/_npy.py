"""The numpy .npy format, without pickle and without believing its header."""

from __future__ import annotations

import math
from io import BufferedIOBase
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from spiketicket.errors import UserError


def read_array(file: BufferedIOBase, size: int, where: str) -> tuple[NDArray[Any], str]:
    """The array in a file of ``size`` bytes, and a note, empty unless it is cut off.

    One that is cut off is read as far as it goes along its first axis.

    Raises:
        UserError: no .npy, a type that is not of numbers, or an array in Fortran order that is
            cut off.
    """
    try:
        version = npy.read_magic(file)
        read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[version]
        shape, fortran, dtype = read(file)
    # numpy raises errors of many types on damaged headers, and warns of some.
    except Exception as error:
        raise UserError(f"has no header of a .npy file: {error}", where=where) from error
    kinds = [dtype[name] for name in dtype.names] if dtype.names else [dtype]
    if not all(kind.kind in "biuf" and kind.shape == () for kind in kinds):
        raise UserError("must hold numbers", where=where, value=str(dtype))
    if not shape or min(shape) < 0 or 0 in shape[1:]:
        raise UserError("must be an array of events", where=where, value=list(shape))
    row = math.prod(shape[1:]) * dtype.itemsize
    here = size - file.tell()
    rows = min(shape[0], max(here, 0) // row)
    if rows < shape[0] and fortran and len(shape) > 1:
        what = f"is cut off: {shape[0] * row} bytes are expected behind the header"
        raise UserError(what, where=where, value=here)
    array = np.empty(rows * row, np.uint8)
    window = array.data
    got = 0
    while got < len(window) and (count := file.readinto(window[got : got + (1 << 24)])):
        got += count
    if got < len(window):
        raise UserError("ends before its size says", where=where, value=got)
    note = ""
    if rows < shape[0]:
        note = f"cut off: {rows} of {shape[0]} rows are there, {here - rows * row} bytes left out"
    shaped = array.view(dtype).reshape((rows, *shape[1:]), order="F" if fortran else "C")
    return shaped, note
