"""Random numbers that are the same bytes on every machine, for ever.

Ticket weights, masks, splits and augmentation all draw from here and never from torch's or
numpy's distributions, whose streams change with version, size and device.

The generator is Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
SC 2011; the test vectors are those of the Random123 library). It is counter based: block ``b`` of
a stream is a function of (seed, path, b) alone, so nothing has to be drawn in order.

    key     = the 64 bits of the seed
    counter = block index (lower 64 bits), BLAKE2s hash of the path (upper 64 bits)

Only integer operations and IEEE 754 add, subtract, multiply, divide and square root are used (no
library logarithm, whose last bit differs between machines).
"""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from spiketicket.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Stream", "philox4x32"]

_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10
_LOW = 0xFFFFFFFF
_CHUNK_BLOCKS = 1 << 13  # a chunk's working arrays then fit in a core's cache
_MAX_COUNT = 1 << 48


def philox4x32(counter: NDArray[np.uint32], key: tuple[int, int]) -> NDArray[np.uint32]:
    """Encrypt counters with ten Philox rounds.

    ``counter`` has shape [4, n], least significant word first; ``key`` is two 32-bit words.
    Returns uint32 [4, n].
    """
    c0, c1, c2, c3 = (row.astype(np.uint64) for row in counter)
    low, half = np.uint64(_LOW), np.uint64(32)
    m0, m1 = (np.uint64(m) for m in _MULTIPLIERS)
    k0, k1 = key
    for _ in range(_ROUNDS):
        c0 *= m0
        c2 *= m1
        c1 ^= c2 >> half
        c1 ^= np.uint64(k0)
        c3 ^= c0 >> half
        c3 ^= np.uint64(k1)
        c0 &= low
        c2 &= low
        c0, c1, c2, c3 = c1, c2, c3, c0
        k0, k1 = (k0 + _KEY_STEPS[0]) & _LOW, (k1 + _KEY_STEPS[1]) & _LOW
    return np.stack((c0, c1, c2, c3)).astype(np.uint32)


class Stream:
    """A source of random numbers named by a seed and a path, e.g. ``Stream(0, "weights", 3)``.

    Every method is a pure function: it starts at the beginning of its own sub-stream, so a second
    call returns the same numbers again, and what one method draws is independent of what another
    draws. Ask ``child`` for further independent numbers. A shorter draw is a prefix of a longer
    one (except ``permutation``).

    ``seed`` is 0 to 2**64 - 1; ``path`` is any mixture of integers and strings, where 1 and "1"
    differ. Raises UserError for anything else.
    """

    __slots__ = ("path", "seed")

    def __init__(self, seed: int, *path: int | str) -> None:
        self.seed = _whole("seed", seed, 0, (1 << 64) - 1)
        self.path: tuple[int | str, ...] = tuple(_path_item(item) for item in path)

    def __repr__(self) -> str:
        return f"Stream({', '.join(repr(item) for item in (self.seed, *self.path))})"

    def child(self, *path: int | str) -> Stream:
        """The independent stream one or more path items further down."""
        return Stream(self.seed, *self.path, *path)

    def bits(self, n: int) -> NDArray[np.uint32]:
        """``n`` uniform 32-bit words, uint32 [n]."""
        return self._words("bits", _count(n))

    def uniform(self, n: int) -> NDArray[np.float32]:
        """``n`` multiples of 2**-24 in [0, 1), float32 [n]."""
        out = np.empty(_count(n), np.float32)
        for start, words in self._chunks("uniform", n):
            words >>= np.uint32(8)
            np.multiply(words, 2.0**-24, out=out[start : start + words.size], casting="unsafe")
        return out

    def uniform_rows(self, ids: NDArray[np.int64], n: int) -> NDArray[np.float32]:
        """``child(i).uniform(n)`` for each whole number of ``ids`` [b], at once; float32 [b, n]."""
        blocks = -(-_count(n) // 4)
        hashes = [_path_hash((*self.path, int(i), "uniform")) for i in ids]
        upper = np.repeat(np.array(hashes, np.uint64), blocks)
        counter = np.zeros((4, upper.size), np.uint32)
        counter[0] = np.tile(np.arange(blocks, dtype=np.uint32), len(hashes))
        counter[2], counter[3] = upper & np.uint64(_LOW), upper >> np.uint64(32)
        words = philox4x32(counter, (self.seed & _LOW, self.seed >> 32))
        rows = words.T.reshape(len(hashes), 4 * blocks)[:, :n] >> np.uint32(8)
        return rows.astype(np.float32) * np.float32(2.0**-24)

    def integers(self, n: int, high: int) -> NDArray[np.int64]:
        """``n`` whole numbers in [0, high), int64 [n], for ``high`` from 1 to 2**32.

        64-bit multiply and shift: no value is likelier than another by more than high / 2**64.
        """
        bound = np.uint64(_whole("high", high, 1, 1 << 32))
        words = self._words("integers", 2 * _count(n)).astype(np.uint64)
        carry = (words[0::2] * bound) >> np.uint64(32)
        return ((words[1::2] * bound + carry) >> np.uint64(32)).astype(np.int64)

    def signs(self, n: int) -> NDArray[np.int8]:
        """``n`` fair signs, -1 or +1, int8 [n]; one random bit each."""
        words = self._words("signs", (_count(n) + 31) // 32).astype("<u4", copy=False)
        signs = np.unpackbits(words.view(np.uint8), bitorder="little", count=n).view(np.int8)
        signs += signs
        signs -= 1
        return signs

    def normal(self, n: int) -> NDArray[np.float32]:
        """``n`` standard normal numbers, float32 [n]; the largest possible size is 6.34.

        The quantile at (word + 1/2) / 2**32, by Wichura's algorithm AS 241 (PPND16, Applied
        Statistics 37, 1988), in double precision and rounded once.
        """
        out = np.empty(_count(n), np.float32)
        for start, words in self._chunks("normal", n):
            centred = words.astype(np.float64)
            centred -= 2.0**31 - 0.5
            centred *= 2.0**-32
            out[start : start + words.size] = _normal_quantile(centred)
        return out

    def permutation(self, n: int) -> NDArray[np.int64]:
        """The numbers 0 to n - 1 in random order, int64 [n]: stable argsort of 64-bit keys."""
        words = self._words("permutation", 2 * _count(n)).astype(np.uint64)
        return np.argsort(words[1::2] << np.uint64(32) | words[0::2], kind="stable")

    def _words(self, method: str, n: int) -> NDArray[np.uint32]:
        out = np.empty(n, np.uint32)
        for start, words in self._chunks(method, n):
            out[start : start + words.size] = words
        return out

    def _chunks(self, method: str, n: int) -> Iterator[tuple[int, NDArray[np.uint32]]]:
        """Yield (position, words) until ``n`` words of the method's sub-stream are given."""
        key = (self.seed & _LOW, self.seed >> 32)
        upper = _path_hash((*self.path, method))
        total = -(-n // 4)
        for first in range(0, total, _CHUNK_BLOCKS):
            block = np.arange(first, min(total, first + _CHUNK_BLOCKS), dtype=np.uint64)
            counter = np.empty((4, block.size), np.uint32)
            counter[0] = block & np.uint64(_LOW)
            counter[1] = block >> np.uint64(32)
            counter[2], counter[3] = upper & _LOW, upper >> 32
            words = philox4x32(counter, key).T.reshape(-1)
            yield 4 * first, words[: n - 4 * first]


def _normal_quantile(q: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standard normal quantile at probability q + 1/2, for |q| <= 1/2 - 2**-33."""
    r = 0.180625 - q * q
    np.maximum(r, 0.0, out=r)
    result = _polynomial(_CENTRE_TOP, r)
    result /= _polynomial(_CENTRE_BOTTOM, r)
    result *= q
    outer = np.flatnonzero(np.abs(q) > 0.425)
    side = q[outer]
    # AS 241 has a third region for r > 5; with 32-bit words r never exceeds 4.79.
    r = np.sqrt(-_log(0.5 - np.abs(side))) - 1.6
    result[outer] = np.copysign(_polynomial(_TAIL_TOP, r) / _polynomial(_TAIL_BOTTOM, r), side)
    return result


def _log(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Natural logarithm of positive numbers from exact and correctly rounded operations only.

    x = m 2**e with m in [sqrt(1/2), sqrt(2)); log m = 2 artanh((m - 1) / (m + 1)) as a series
    whose first neglected term is below 1e-18.
    """
    m, exponent = np.frexp(x)
    small = m < 0.7071067811865476
    m = np.where(small, m + m, m)
    e = (exponent - small).astype(np.float64)
    f = (m - 1.0) / (m + 1.0)
    return e * 0.6931471805599453 + f * _polynomial(_ARTANH, f * f)


def _polynomial(coefficients: tuple[float, ...], x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Horner's rule, constant term first in ``coefficients``."""
    result = x * coefficients[-1]
    for coefficient in coefficients[-2:0:-1]:
        result += coefficient
        result *= x
    result += coefficients[0]
    return result


def _path_hash(path: tuple[int | str, ...]) -> int:
    """64 bits of BLAKE2s over the path; length and type prefixes keep different paths apart."""
    digest = hashlib.blake2s(digest_size=8)
    for item in path:
        text = str(item).encode("utf-8")
        digest.update(b"%c%d:" % (b"s" if isinstance(item, str) else b"i", len(text)))
        digest.update(text)
    return int.from_bytes(digest.digest(), "little")


def _path_item(item: int | str) -> int | str:
    if isinstance(item, str):
        return item
    try:
        return int(operator.index(item))
    except TypeError:
        raise UserError(
            "a stream's path holds whole numbers and strings", where="Stream", value=item
        ) from None


def _count(n: int) -> int:
    return _whole("n", n, 0, _MAX_COUNT)


def _whole(name: str, value: int, least: int, most: int) -> int:
    """``value`` as an int within [least, most], or a UserError."""
    try:
        number = int(operator.index(value))
    except TypeError:
        number = least - 1
    if not least <= number <= most:
        raise UserError(
            f"{name} must be a whole number from {least} to {most}", where="Stream", value=value
        )
    return number


_ARTANH = tuple(2.0 / (2 * k + 1) for k in range(11))
_CENTRE_TOP = (
    3.3871328727963666080e0,
    1.3314166789178437745e2,
    1.9715909503065514427e3,
    1.3731693765509461125e4,
    4.5921953931549871457e4,
    6.7265770927008700853e4,
    3.3430575583588128105e4,
    2.5090809287301226727e3,
)
_CENTRE_BOTTOM = (
    1.0,
    4.2313330701600911252e1,
    6.8718700749205790830e2,
    5.3941960214247511077e3,
    2.1213794301586595867e4,
    3.9307895800092710610e4,
    2.8729085735721942674e4,
    5.2264952788528545610e3,
)
_TAIL_TOP = (
    1.42343711074968357734e0,
    4.63033784615654529590e0,
    5.76949722146069140550e0,
    3.64784832476320460504e0,
    1.27045825245236838258e0,
    2.41780725177450611770e-1,
    2.27238449892691845833e-2,
    7.74545014278341407640e-4,
)
_TAIL_BOTTOM = (
    1.0,
    2.05319162663775882187e0,
    1.67638483018380384940e0,
    6.89767334985100004550e-1,
    1.48103976427480074590e-1,
    1.51986665636164571966e-2,
    5.47593808499534494600e-4,
    1.05075007164441684324e-9,
)


@dataclass(frozen=True, eq=False)
class SampleIds:
    """The ids int64 [b] of a batch's samples, and the epoch, which is None in an evaluation."""

    ids: NDArray[np.int64]
    epoch: int | None = None

    def uniform(self, seed: int, purpose: str, count: int) -> NDArray[np.float32]:
        """``count`` numbers in [0, 1) for each sample, a function of (seed, epoch, id); [b, n]."""
        when = ("test",) if self.epoch is None else (self.epoch,)
        return Stream(seed, purpose, *when).uniform_rows(self.ids, count)


_current: ContextVar[SampleIds | None] = ContextVar("samples", default=None)


@contextmanager
def announced(samples: SampleIds | None) -> Iterator[None]:
    """Say which samples the next forward pass is of."""
    token = _current.set(samples)
    try:
        yield
    finally:
        _current.reset(token)


@contextmanager
def share(rows: slice) -> Iterator[None]:
    """Only these rows of the batch are computed here."""
    known = _current.get()
    with announced(known and replace(known, ids=known.ids[rows])):
        yield


def current(count: int) -> SampleIds | None:
    """Those of the batch of ``count`` that is computed now, or None where nobody said it."""
    known = _current.get()
    return known if known is not None and len(known.ids) == count else None
