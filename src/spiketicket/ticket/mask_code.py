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
gaps would be the plain form. A large random mask costs at most 4.3 % more than its entropy (at 62 %
of zeros); at 50, 80, 90 and 95 % it is 0.0, 2.3, 1.4 and 1.0 %.

So that a small file cannot ask for any amount of memory, a coded mask is filled with zero bytes up
to one byte for every ``MAX_ENTRIES_A_BYTE`` entries, which counts from about 99.3 % zeros on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spiketicket.ticket import codec
from spiketicket.ticket.codec import DAMAGED, TicketError

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_ENTRIES_A_BYTE = 128
_PLAIN, _KEPT, _DROPPED = 0, 1, 2
_HEADER_BYTES = 2
_CHUNK = 1 << 15  # entries or bits at a time; the working arrays then fit in a core's cache


def encode_mask(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The bytes of a mask, uint8 [any length]; ``mask`` is bool of any shape, C order."""
    flat = mask.reshape(-1)
    kept = int(np.count_nonzero(flat))
    code, rarer = (_KEPT, flat) if 2 * kept <= flat.size else (_DROPPED, ~flat)
    gaps = _gaps(rarer, min(kept, flat.size - kept))
    k, unary_bits = _best_parameter(gaps)
    if _bytes(unary_bits) + _bytes(gaps.size * k) < _bytes(flat.size):
        parts = _pack_gaps(gaps, k, unary_bits)
    else:
        code, k, parts = _PLAIN, 0, [codec.pack_bits(flat)]
    coded = np.concatenate([np.array([code, k], np.uint8), *parts])
    fill = _least_bytes(flat.size) - coded.size
    return np.concatenate([coded, np.zeros(fill, np.uint8)]) if fill > 0 else coded


def decode_mask(coded: codec.Array, size: int, kept: int, where: str) -> NDArray[np.bool_]:
    """The mask, bool [size]; ``kept`` is how many are true, which the caller read elsewhere.

    Needs memory for ``size`` entries, which is at most ``MAX_ENTRIES_A_BYTE`` times ``coded``, and
    little besides.

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
    if code not in (_KEPT, _DROPPED) or not 1 <= k <= size.bit_length():
        raise TicketError("has no known code", where=where, value=[code, k], remedy=DAMAGED)
    count = kept if code == _KEPT else size - kept
    mask = np.full(size, code == _DROPPED)
    _mark(mask, code == _KEPT, body, count=count, k=k, where=where)
    return mask


def _gaps(coded: NDArray[np.bool_], count: int) -> NDArray[np.uint32]:
    """Entries passed over before each of the ``count`` true ones, uint32 [count].

    No gap reaches 2**32, see ``MAX_WEIGHTS``.
    """
    gaps, done, last = np.empty(count, np.uint32), 0, -1
    for start in range(0, coded.size, _CHUNK):
        places = np.flatnonzero(coded[start : start + _CHUNK])
        if places.size:
            places += start
            gaps[done : done + places.size] = np.diff(places, prepend=last) - 1
            done, last = done + places.size, int(places[-1])
    return gaps


def _best_parameter(gaps: NDArray[np.uint32]) -> tuple[int, int]:
    """The k >= 1 that needs the fewest bits, and how many of them are unary.

    The bits are ``n (1 + k) + sum(gap >> k)``, which is convex in k: each step adds n and takes
    ``sum(ceil((gap >> k) / 2))``, which only shrinks. So the first rise ends the search.
    """
    k, left = 1, gaps >> np.uint32(1)
    highs = int(left.sum(dtype=np.int64))
    while True:
        left >>= np.uint32(1)
        less = int(left.sum(dtype=np.int64))
        if gaps.size + less >= highs:
            return k, gaps.size + highs
        k, highs = k + 1, less


def _pack_gaps(gaps: NDArray[np.uint32], k: int, unary_bits: int) -> list[NDArray[np.uint8]]:
    """The k planes of low bits of all gaps, and their high parts in unary."""
    planes = np.empty((k, gaps.size), np.uint8)
    unary, end = np.zeros(unary_bits, np.uint8), 0
    for start in range(0, gaps.size, _CHUNK):
        part = gaps[start : start + _CHUNK]
        for j in range(k):
            plane = planes[j, start : start + _CHUNK]
            np.bitwise_and(part >> np.uint32(j), 1, out=plane, casting="unsafe")
        steps = part >> np.uint32(k)
        steps += np.uint32(1)
        ends = np.cumsum(steps, dtype=np.int64)
        ends += end
        end = int(ends[-1])
        ends -= 1
        unary[ends] = 1
    return [np.packbits(planes), np.packbits(unary)]


def _mark(
    mask: NDArray[np.bool_], value: bool, body: NDArray[np.uint8], *, count: int, k: int, where: str
) -> None:
    """Set the entries of ``mask`` that the ``count`` gaps in ``body`` lead to."""
    low_bytes, size = _bytes(count * k), mask.size
    unary = body[low_bytes:]
    if count * k > 8 * body.size or _ones(unary) != count:
        raise TicketError(f"must hold {count} gaps", where=where, remedy=DAMAGED)
    used = _used_bits(unary)
    _check_fill(unary[_bytes(used) :], body.size + _HEADER_BYTES, size, where)
    low = codec.unpack_bits(body[:low_bytes], count * k, where).view(np.uint8).reshape(k, count)
    # In Python's numbers, because with a forged k this need not fit 64 bits.
    if (used - count) << k >= size:
        raise TicketError(f"leads past its {size} weights", where=where, remedy=DAMAGED)
    done = lows = 0
    numbers = np.arange(_CHUNK)
    for start in range(0, _bytes(used), _CHUNK // 8):
        places = np.flatnonzero(np.unpackbits(unary[start : start + _CHUNK // 8]).view(np.bool_))
        part = low[:, done : done + places.size]
        steps = part[0].astype(np.uint8 if k <= 8 else np.uint16 if k <= 16 else np.uint64)
        for j in range(1, k):
            np.bitwise_or(steps, part[j].astype(steps.dtype) << steps.dtype.type(j), out=steps)
        # Before end t lie t ones, which count once, and zeros, which count 2**k each.
        counted = numbers[: places.size]
        places -= counted
        places += 8 * start - done
        places <<= k
        places += counted
        places += np.cumsum(steps, dtype=np.int64)
        places += done + lows
        if places.size and int(places[-1]) >= size:
            raise TicketError(f"leads past its {size} weights", where=where, remedy=DAMAGED)
        mask[places] = value
        done += places.size
        lows += int(steps.sum(dtype=np.int64))


def _ones(packed: NDArray[np.uint8]) -> int:
    """How many bits are set."""
    return int(np.bitwise_count(packed).sum(dtype=np.int64))


def _used_bits(packed: NDArray[np.uint8]) -> int:
    """How many bits there are up to the last that is set."""
    if not packed.any():
        return 0
    last = packed.size - 1 - int(np.argmax(packed[::-1] != 0))
    lowest = int(packed[last]) & -int(packed[last])
    return 8 * (last + 1) - (lowest.bit_length() - 1)


def _check_fill(rest: NDArray[np.uint8], total: int, size: int, where: str) -> None:
    """Nothing may follow the coded bits, but for the zero bytes that make up the least length."""
    if rest.size and (rest.any() or total > max(_HEADER_BYTES, _least_bytes(size))):
        raise TicketError("holds more than its mask", where=where, remedy=DAMAGED)


def _least_bytes(size: int) -> int:
    return -(-size // MAX_ENTRIES_A_BYTE)


def _bytes(bits: int) -> int:
    return (bits + 7) // 8
