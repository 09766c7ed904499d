r"""How a mask lies in a ticket file: a plain bitmap, or the gaps between its rarer entries.

A mask of n entries in C order, of which m are kept, is coded as an array of bytes:

    code (1 byte)    0 plain, 1 gaps between kept entries, 2 gaps between dropped ones
    k    (1 byte)    the Rice parameter; 0 in a plain mask
    plain: one bit an entry, most significant bit first, padded with zero bits
    gaps:  the k low bits of every gap, then what is left of every gap

A gap is the number of entries passed over before one of those that are coded: from the start, or
from the one before. Its high part ``gap >> k`` is written in unary, that many zero bits and a one
(Rice, "Some practical universal noiseless coding techniques", JPL 79-22, 1979; Golomb, "Run-length
encodings", IEEE Trans. Inf. Theory 12, 1966). The low bits lie apart, plane by plane, the least
significant first, so that both parts can be read and written as whole arrays. Each part begins at
a byte and is padded with zero bits.

The writer takes the shortest of the plain form and all k >= 1, on the rarer side; with k = 0 the
gaps would be the plain form. A random mask costs at most 4.3 % more than its entropy, at 50, 80, 90
and 95 % of zeros 0.0, 2.4, 1.4 and 1.0 %.

So that a small file cannot ask for any amount of memory, a coded mask is filled with zero bytes up
to one byte for every ``MAX_ENTRIES_A_BYTE`` entries, which counts from about 99.3 % zeros on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spiketicket import _ticket_codec as codec
from spiketicket._ticket_codec import DAMAGED, TicketError

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_ENTRIES_A_BYTE = 128
_PLAIN, _KEPT, _DROPPED = 0, 1, 2
_HEADER_BYTES = 2


def encode_mask(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The bytes of a mask, uint8 [any length]; ``mask`` is bool of any shape, C order."""
    flat = mask.reshape(-1)
    kept = int(np.count_nonzero(flat))
    code, rarer = (_KEPT, flat) if 2 * kept <= flat.size else (_DROPPED, ~flat)
    gaps = _gaps(np.flatnonzero(rarer))
    k, bits = _best_parameter(gaps)
    plain_bytes = _bytes(flat.size)
    if _bytes(bits - gaps.size * k) + _bytes(gaps.size * k) >= plain_bytes:
        parts = [codec.pack_bits(flat)]
        code = k = 0
    else:
        parts = [_pack_low(gaps, k), _pack_unary(gaps >> np.uint32(k))]
    coded = np.concatenate([np.array([code, k], np.uint8), *parts])
    fill = _least_bytes(flat.size) - coded.size
    return np.concatenate([coded, np.zeros(fill, np.uint8)]) if fill > 0 else coded


def decode_mask(coded: codec.Array, size: int, kept: int, where: str) -> NDArray[np.bool_]:
    """The mask, bool [size]; ``kept`` is how many are true, which the caller read elsewhere.

    Needs memory for ``size`` entries, which is at most ``MAX_ENTRIES_A_BYTE`` times ``coded``, and
    64 times ``coded`` besides.

    Raises:
        TicketError: the bytes are not exactly those of a mask of so many entries. ``kept`` is not
            checked where the mask is plain.
    """
    if coded.dtype != np.uint8 or coded.ndim != 1 or coded.size < max(2, _least_bytes(size)):
        what = f"must be at least {max(2, _least_bytes(size))} bytes for {size} weights"
        raise TicketError(what, where=where, value=f"{coded.dtype.name} {coded.shape}")
    code, k = (int(byte) for byte in coded[:_HEADER_BYTES])
    body = coded[_HEADER_BYTES:]
    if (code, k) == (_PLAIN, 0):
        plain, rest = body[: _bytes(size)], body[_bytes(size) :]
        _check_fill(rest, coded.size, size, where)
        return codec.unpack_bits(plain, size, where)
    if code not in (_KEPT, _DROPPED) or not 1 <= k < size.bit_length():
        raise TicketError("has no known code", where=where, value=[code, k], remedy=DAMAGED)
    count = kept if code == _KEPT else size - kept
    positions = _positions(body, count, k, size, where)
    mask = np.full(size, code == _DROPPED)
    mask[positions] = code == _KEPT
    return mask


def _gaps(positions: NDArray[np.int64]) -> NDArray[np.uint32]:
    """Entries passed over before each position; no gap reaches 2**32, see ``MAX_WEIGHTS``."""
    gaps = positions.astype(np.uint32)
    gaps[1:] -= gaps[:-1].copy()
    gaps[1:] -= np.uint32(1)
    return gaps


def _best_parameter(gaps: NDArray[np.uint32]) -> tuple[int, int]:
    """The k >= 1 that needs the fewest bits, and how many.

    The bits are ``n (1 + k) + sum(gap >> k)``, which is convex in k: each step adds n and takes
    ``sum(ceil((gap >> k) / 2))``, which only shrinks. So the first rise ends the search.
    """
    k, left = 1, gaps >> np.uint32(1)
    bits = 2 * gaps.size + int(left.sum(dtype=np.int64))
    while True:
        left = left >> np.uint32(1)
        longer = (2 + k) * gaps.size + int(left.sum(dtype=np.int64))
        if longer >= bits:
            return k, bits
        k, bits = k + 1, longer


def _pack_low(gaps: NDArray[np.uint32], k: int) -> NDArray[np.uint8]:
    """The k low bits of every gap, the plane of the least significant bits first."""
    planes = np.empty((k, gaps.size), np.uint8)
    for j in range(k):
        np.bitwise_and(gaps >> np.uint32(j), 1, out=planes[j], casting="unsafe")
    return np.packbits(planes)


def _pack_unary(numbers: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """So many zero bits and a one bit for each number."""
    ends = np.cumsum(numbers + np.uint32(1), dtype=np.int64)
    bits = np.zeros(int(ends[-1]) if ends.size else 0, np.uint8)
    bits[ends - 1] = 1
    return np.packbits(bits)


def _positions(
    body: NDArray[np.uint8], count: int, k: int, size: int, where: str
) -> NDArray[np.int64]:
    """The ``count`` places that the gaps in ``body`` lead to, rising, all below ``size``."""
    low_bytes = _bytes(count * k)
    unary = np.unpackbits(body[low_bytes:])
    if count * k > 8 * body.size or np.count_nonzero(unary) != count:
        raise TicketError(f"must hold {count} gaps", where=where, remedy=DAMAGED)
    ends = np.flatnonzero(unary)
    used = int(ends[-1]) + 1 if count else 0
    _check_fill(body[low_bytes + _bytes(used) :], body.size + _HEADER_BYTES, size, where)
    # In Python's numbers, because with a forged k this need not fit 64 bits.
    if (used - count) << k >= size:
        raise TicketError(f"leads past its {size} weights", where=where, remedy=DAMAGED)
    low = codec.unpack_bits(body[:low_bytes], count * k, where).view(np.uint8).reshape(k, count)
    # The t-th end is t ones and the sum of t + 1 high parts after the start.
    steps = np.ones(count, np.int64)
    for j in range(k):
        steps += low[j].astype(np.int64) << j
    ends -= np.arange(count)
    ends <<= k
    ends += np.cumsum(steps, out=steps)
    ends -= 1
    if count and int(ends[-1]) >= size:
        raise TicketError(f"leads past its {size} weights", where=where, remedy=DAMAGED)
    return ends


def _check_fill(rest: NDArray[np.uint8], total: int, size: int, where: str) -> None:
    """Nothing may follow the coded bits, but for the zero bytes that make up the least length."""
    if rest.size and (rest.any() or total > max(_HEADER_BYTES, _least_bytes(size))):
        raise TicketError("holds more than its mask", where=where, remedy=DAMAGED)


def _least_bytes(size: int) -> int:
    return -(-size // MAX_ENTRIES_A_BYTE)


def _bytes(bits: int) -> int:
    return (bits + 7) // 8
