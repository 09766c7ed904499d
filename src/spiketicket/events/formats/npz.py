"""The .npz files of SpikingJelly: arrays t (microseconds), x, y and p [N], packed or not.

Polarities may be 0 and 1, or -1 and 1. The sensor is not in the file. Nothing is unpickled. A zip
file has its table of contents at its end: one that is cut off cannot be read at all.

Source: spikingjelly/datasets in github.com/fangwei123456/spikingjelly.
"""

from __future__ import annotations

import zipfile
from io import BufferedIOBase
from pathlib import Path
from typing import Any, Final, cast

from numpy.typing import NDArray

from spiketicket.errors import UserError
from spiketicket.events._reading import Recording
from spiketicket.events.formats._columns import columns
from spiketicket.events.formats._npy import read_array

TITLE: Final = "numpy archive (SpikingJelly)"
SUFFIXES: Final = (".npz",)
MAGIC: Final = b"PK\x03\x04"

_MOST_PACKED: Final = 1100
"""Deflate cannot make data smaller by more than this factor."""


def open_recording(path: Path, sensor: tuple[int, int] | None) -> Recording:
    """Read the four arrays.

    Raises:
        UserError: not a whole zip file, an array is missing, or they differ in length.
    """
    where, size = str(path), path.stat().st_size
    try:
        with zipfile.ZipFile(path) as archive:
            found = {name: _array(archive, name, size, where) for name in "txyp"}
    except UserError:
        raise
    # zipfile raises errors of many types on damaged files.
    except Exception as error:
        raise UserError(f"is not a whole .npz file: {error}", where=where) from error
    lengths = {name: len(array) for name, array in found.items()}
    if len(set(lengths.values())) > 1:
        raise UserError("t, x, y and p must have one length", where=where, value=lengths)
    t, x, y, p = (found[name] for name in "txyp")
    return Recording(sensor, len(t), columns(t, x, y, p, scale=1, where=where))


def _array(archive: zipfile.ZipFile, name: str, size: int, where: str) -> NDArray[Any]:
    members = {member.filename: member for member in archive.infolist()}
    if f"{name}.npy" not in members:
        known = sorted(member.removesuffix(".npy") for member in members)
        what = "must hold the arrays t, x, y and p"
        raise UserError(what, where=where, value=known)
    member = members[f"{name}.npy"]
    packed = min(member.compress_size, size)
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise UserError("is packed in a way that numpy does not write", where=where)
    if member.file_size > _MOST_PACKED * packed + 1000:
        raise UserError(f"states an impossible size of {name}", where=where, value=member.file_size)
    inside = f"{where}: {name}"
    with archive.open(member) as file:
        array, note = read_array(cast("BufferedIOBase", file), member.file_size, inside)
        # The checksum is compared where the file ends.
        if note or file.read(1):
            raise UserError(f"the array {name} has another size than it says", where=where)
    if array.ndim != 1 or array.dtype.names:
        got = f"{array.dtype} {list(array.shape)}"
        raise UserError(f"{name} must be an array [N]", where=where, value=got)
    return array
