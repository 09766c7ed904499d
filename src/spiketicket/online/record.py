"""What came in, written as it came in: a ``.npy`` file of t, x, y and p that numpy reads too.

Events are in the order in which they came, late ones and those of a clock that was reset too. A
file whose writer was ended has the number of events of its last full second.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import numpy as np

from spiketicket.errors import UserError, argument
from spiketicket.events import EVENT, EventArray

HEADER_BYTES: Final = 192
_BEGIN: Final = b"\x93NUMPY\x01\x00"


def header(count: int) -> bytes:
    """The head of a file of so many events: of HEADER_BYTES, however many they are."""
    about = f"{{'descr': {EVENT.descr}, 'fortran_order': False, 'shape': ({count},), }}"
    words = about.encode("ascii").ljust(HEADER_BYTES - len(_BEGIN) - 3) + b"\n"
    return _BEGIN + len(words).to_bytes(2, "little") + words


def is_ours(content: bytes) -> bool:
    """Whether a stream begins as :class:`Recorder` writes it."""
    return content[: len(_BEGIN)] == _BEGIN and str(EVENT.descr).encode() in content[:HEADER_BYTES]


class Recorder:
    """A file that events are added to.

    Raises:
        UserError: a file that is there already, or another name than ``.npy``.
    """

    def __init__(self, path: Path) -> None:
        if path.suffix.lower() != ".npy":
            what = "a recording of what came in is named .npy"
            raise UserError(what, where=argument("record"), value=str(path))
        try:
            self._file = path.open("xb")
        except FileExistsError:
            what, remedy = "is there already", "Give another name; nothing is overwritten"
            raise UserError(what, where=str(path), remedy=remedy) from None
        self._file.write(header(0))
        self.count = 0
        self._told = time.monotonic()

    def add(self, data: EventArray) -> None:
        """Write some events."""
        self._file.write(np.ascontiguousarray(data).tobytes())
        self.count += len(data)
        if time.monotonic() - self._told >= 1:
            self._tell()

    def close(self) -> None:
        """Write how many there are."""
        if not self._file.closed:
            self._tell()
            self._file.close()

    def _tell(self) -> None:
        self._file.seek(0)
        self._file.write(header(self.count))
        self._file.seek(0, 2)
        self._file.flush()
        self._told = time.monotonic()
