"""The numpy .npy format, without pickle and without believing its header."""

from __future__ import annotations

import math
from io import BufferedIOBase
from typing import Any, Final

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from spiketicket.errors import UserError

_MOST_ROW: Final = 1 << 12
"""Bytes of a row; padding between the fields can make it any."""


class NpyRows:
    """The array in a file of ``size`` bytes, read a few rows at a time.

    One that is cut off is read as far as it goes along its first axis, which ``note`` tells.

    Raises:
        UserError: no .npy, a type that is not of numbers, or an array in Fortran order that is
            cut off.
    """

    def __init__(self, file: BufferedIOBase, size: int, where: str) -> None:
        try:
            version = npy.read_magic(file)
            read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[version]
            self.shape, fortran, self.dtype = read(file)
        # numpy raises errors of many types on damaged headers, and warns of some.
        except Exception as error:
            raise UserError(f"has no header of a .npy file: {error}", where=where) from error
        kinds = [self.dtype[name] for name in self.dtype.names or ()] or [self.dtype]
        if not all(kind.kind in "biuf" and kind.shape == () for kind in kinds):
            raise UserError("must hold numbers", where=where, value=str(self.dtype))
        row = math.prod(self.shape[1:]) * self.dtype.itemsize
        if not self.shape or min(self.shape) < 0 or not 0 < row <= _MOST_ROW:
            raise UserError("must be an array of events", where=where, value=list(self.shape))
        self._file, self._where, self._row = file, where, row
        self._start = file.tell()
        here = max(size - self._start, 0)
        self.count = min(self.shape[0], here // row)
        """Rows that are there."""
        self._columns = math.prod(self.shape[1:]) if fortran and len(self.shape) > 1 else 0
        self._done = 0
        self.note = ""
        if self.count < self.shape[0]:
            if self._columns:
                what = f"is cut off: {self.shape[0] * row} bytes are expected behind the header"
                raise UserError(what, where=where, value=here)
            rest = here - self.count * row
            rows = f"{self.count} of {self.shape[0]} rows are there"
            self.note = f"cut off: {rows}, {rest} bytes left out"

    def take(self, most: int) -> NDArray[Any]:
        """The next rows, at most ``most``, [n, ...]; an array in Fortran order has two axes."""
        first, rows = self._done, min(most, self.count - self._done)
        self._done += rows
        if not self._columns:
            return self._numbers(rows * self._row).reshape(rows, *self.shape[1:])
        size = self.dtype.itemsize
        columns = []
        for column in range(self._columns):
            self._file.seek(self._start + (column * self.count + first) * size)
            columns.append(self._numbers(rows * size))
        return np.stack(columns, axis=1)

    def _numbers(self, size: int) -> NDArray[Any]:
        values = np.empty(size, np.uint8)
        window = values.data
        got = 0
        while got < size and (count := self._file.readinto(window[got:])):
            got += count
        if got < size:
            raise UserError("ends before its size says", where=self._where, value=got)
        return values.view(self.dtype)
