"""Ternary weights as bytes of distances between those that are kept (see ``runtime/``)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Signs = NDArray[np.int8]
_END = 128


def encode_layer(signs: Signs, pad: int) -> tuple[bytes, bool]:
    """Lists of a layer on spikes, signs int8 ``[cout, cin, kh, kw]``.

    For each output channel and kernel column, of which number ``pad``, that needs no shift, comes
    first: the list of -1, then that of +1. A list is its count (255: the count follows in two
    bytes) and the distances between the indices ``ky * cin + c``, in bytes, or in half bytes where
    that makes the layer smaller by a fifth at least: it takes longer to read. Returns the lists
    and whether they are in half bytes.
    """
    order = [pad, *(kx for kx in range(signs.shape[3]) if kx != pad)]
    columns = signs[..., order].transpose(0, 3, 2, 1).reshape(len(signs), signs.shape[3], -1)
    lists = [
        np.flatnonzero(column == sign)
        for channel in columns
        for column in channel
        for sign in (-1, 1)
    ]
    wide = b"".join(_count(at) + _gaps(at, 255).tobytes() for at in lists)
    narrow = b"".join(_count(at) + _halves(_gaps(at, 15)) for at in lists)
    return (narrow, True) if len(narrow) < 0.8 * len(wide) else (wide, False)


def _count(at: NDArray[np.intp]) -> bytes:
    count = len(at)
    return bytes([count]) if count < 255 else bytes([255, count & 255, count >> 8])


def _halves(gaps: NDArray[np.uint8]) -> bytes:
    even = np.pad(gaps, (0, len(gaps) % 2))
    return bytes(even[::2] | even[1::2] << 4)


def _gaps(at: NDArray[np.intp], largest: int) -> NDArray[np.uint8]:
    """Distances, the first from -1, as 1..``largest``; a 0 stands for ``largest`` skipped."""
    gaps = np.diff(at, prepend=-1)
    skipped = (gaps - 1) // largest
    out = np.zeros(len(at) + int(skipped.sum()), np.uint8)
    out[np.cumsum(skipped + 1) - 1] = gaps - skipped * largest
    return out


def encode_rows(signs: Signs) -> bytes:
    """Lists in C order, signs int8 ``[rows, ...]``: distance, plus 128 for -1; 128 ends a row."""
    return b"".join(_row(row.ravel()) for row in signs)


def _row(row: Signs) -> bytes:
    at = np.flatnonzero(row)
    coded = _gaps(at, 127)
    coded[coded > 0] |= np.where(row[at] < 0, np.uint8(128), np.uint8(0))
    return coded.tobytes() + bytes([_END])
