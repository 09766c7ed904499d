"""Archives of arrays that a stranger may have written: small, packed and unpacked."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from spiketicket.errors import UserError
from spiketicket.machine.bounded import read_regular

MAX_SAMPLE: Final = 8_000_000
"""Bytes of a ``sample.npz``; a real one has less than 200 kB."""
MAX_UNPACKED: Final = 1 << 28


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of a ``sample.npz``.

    Raises:
        UserError: it is larger than any sample is, or damaged.
        OSError: it cannot be read.
    """
    try:
        return arrays_in(read_regular(path, MAX_SAMPLE))
    except UserError:
        raise
    except ValueError as error:
        raise UserError(
            f"is damaged: {error}", where=str(path), remedy=f"Delete {path} to compute it again"
        ) from error


def arrays_in(content: bytes) -> dict[str, NDArray[Any]]:
    """The arrays of an .npz of a small size, packed and unpacked.

    Raises:
        ValueError: it is no such file, or would be larger.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if sum(member.file_size for member in archive.infolist()) > MAX_UNPACKED:
                raise ValueError("is larger than any sample")
        with np.load(io.BytesIO(content), allow_pickle=False) as found:
            return {name: found[name] for name in found.files}
    # zipfile and numpy raise errors of many types on damaged files.
    except Exception as error:
        raise ValueError(str(error) or type(error).__name__) from error
