"""The .npz files of SpikingJelly: arrays t (microseconds), x, y and p [N], packed or not.

Another unit of the times must be named: see ``_columns``. Polarities may be 0 and 1, or -1 and 1.
The sensor is not in the file. Nothing is unpickled. A zip file has its table of contents at its
end: one that is cut off cannot be read at all.

Source: spikingjelly/datasets in github.com/fangwei123456/spikingjelly.
"""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Iterator
from io import BufferedIOBase
from pathlib import Path
from typing import BinaryIO, Final, cast

from spiketicket.errors import UserError
from spiketicket.events.formats._columns import Plain
from spiketicket.events.formats._npy import NpyRows
from spiketicket.events.reading import CHUNK, Recording
from spiketicket.events.stores import Columns
from spiketicket.machine.bounded import open_regular

TITLE: Final = "numpy archive (SpikingJelly)"
SUFFIXES: Final = (".npz",)
MAGIC: Final = b"PK\x03\x04"

_MOST_TABLE: Final = 1 << 20
"""Bytes of a zip file's table of contents, of which zipfile makes many times as many."""


class _Bounded:
    """A file for zipfile, of which nothing is read that is larger than what is read here."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek, self.tell, self.close = file.seek, file.tell, file.close
        self.seekable = file.seekable

    def read(self, size: int = -1) -> bytes:
        content = self._file.read(size if 0 <= size <= _MOST_TABLE else _MOST_TABLE + 1)
        if len(content) > _MOST_TABLE:
            raise zipfile.BadZipFile("its table of contents is too large")
        return content


def open_recording(path: Path, sensor: tuple[int, int] | None) -> Recording:
    """Read the headers of the four arrays.

    Raises:
        UserError: not a whole zip file, an array is missing, or they differ in length.
    """
    where = str(path)
    with _opened(path) as arrays:
        lengths = {name: rows.count for name, (rows, _) in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise UserError("t, x, y and p must have one length", where=where, value=lengths)
    plain = Plain(where)
    return Recording(sensor=sensor, most=lengths["t"], blocks=_blocks(path, plain), plain=plain)


def _blocks(path: Path, plain: Plain) -> Iterator[Columns]:
    with _opened(path) as arrays:
        left = arrays["t"][0].count
        while left:
            yield plain.block(*(rows.take(CHUNK) for rows, _ in arrays.values()))
            left -= min(left, CHUNK)
        for name, (rows, file) in arrays.items():
            # The checksum is compared where the file ends.
            if rows.note or file.read(1):
                what = f"the array {name} has another size than it says"
                raise UserError(what, where=str(path))


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[dict[str, tuple[NpyRows, BufferedIOBase]]]:
    """The arrays t, x, y and p, in that order, each with the file that it is read from."""
    where = str(path)
    try:
        with contextlib.ExitStack() as stack:
            file = stack.enter_context(open_regular(path)[0])
            archive = stack.enter_context(zipfile.ZipFile(cast("BinaryIO", _Bounded(file))))
            found = {}
            for name in "txyp":
                inside, size = _member(archive, name, where)
                stack.enter_context(inside)
                found[name] = NpyRows(inside, size, f"{where}: {name}"), inside
                _check_array(found[name][0], name, where)
            yield found
    except (UserError, OSError):
        raise
    # zipfile raises errors of many types on damaged files.
    except Exception as error:
        raise UserError(f"is not a whole .npz file: {error}", where=where) from error


def _member(archive: zipfile.ZipFile, name: str, where: str) -> tuple[BufferedIOBase, int]:
    members = {member.filename: member for member in archive.infolist()}
    if f"{name}.npy" not in members:
        known = sorted(member.removesuffix(".npy") for member in members)
        what = "must hold the arrays t, x, y and p"
        raise UserError(what, where=where, value=known)
    member = members[f"{name}.npy"]
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise UserError("is packed in a way that numpy does not write", where=where)
    return cast("BufferedIOBase", archive.open(member)), member.file_size


def _check_array(rows: NpyRows, name: str, where: str) -> None:
    if rows.note:
        raise UserError(f"the array {name} has another size than it says", where=where)
    if len(rows.shape) != 1 or rows.dtype.names:
        got = f"{rows.dtype} {list(rows.shape)}"
        raise UserError(f"{name} must be an array [N]", where=where, value=got)
