"""Thresholds on whole numbers that give the spikes of the float32 neuron.

With decay 1/2 and a reset to 0 the membrane n steps after a reset is, in real numbers,

    u = A * W + B * g,   W = sum of 2^-j * sum_(t-j),   g = 2 - 2^(1-n)

with A = a * alpha and B = a * bias + b of the channel: a spike is a question about W alone. Float32
answers it differently only where W is nearer to the threshold than all of its rounding errors
together. That neighbourhood is the *band* below a threshold: a sum above the threshold spikes, one
below the band does not, and in the band the C code repeats the float32 arithmetic. Where no
sum that can occur lies in the band, it is empty, and there is no float in the C code at all.
Bounds are those of N. Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., chapter 3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from spiketicket.export.c.chain import Affine, Layer

F32 = NDArray[np.float32]
_UNIT = 2.0**-24
"""Largest relative error of one float32 operation."""
_SLACK = 1.001
"""Covers products of errors, and the rounding of this file's own float64 arithmetic."""
_TINY = 2.0**-126
_MOST_FRACTION = 12
_BYTE = 255
_MOST_PLANES = 31
_SUM_BITS = 29


@dataclass(frozen=True, eq=False, kw_only=True)
class PlaneThresholds:
    """Thresholds of a layer on spikes, whose sums count the ``minus`` weights of -1 from 0 up.

    ``thresholds`` and ``bands`` are ``[channels, levels]``; ``never`` is a threshold no sum
    reaches. A membrane has ``planes`` + 1 bits before the point and up to ``fraction`` after it.
    """

    planes: int
    fraction: int
    thresholds: NDArray[np.int64]
    bands: NDArray[np.int64]
    minus: NDArray[np.int64]
    turned: NDArray[np.bool_]
    """Channels whose scale is negative: their signs are stored turned."""

    @property
    def never(self) -> int:
        """A number with one bit more than any sum."""
        return 1 << (self.planes + 1 + self.fraction)


@dataclass(frozen=True, eq=False, kw_only=True)
class PixelThresholds:
    """Thresholds of the first layer, on sums of ``table`` [channels, 256] of its pixels."""

    table: NDArray[np.int64]
    thresholds: NDArray[np.int64]
    band: int
    turned: NDArray[np.bool_]


@dataclass(frozen=True)
class _Channel:
    """The scale A, the shift B, and the float32 neuron's error over A, of one output channel."""

    scale: Fraction
    shift: Fraction
    error: float
    constant: float
    """``z`` where the scale is 0."""


def plane_thresholds(layer: Layer, steps: int) -> PlaneThresholds:
    """Thresholds of a layer on spikes; ``steps`` is T."""
    channels = [
        _channel(layer, o, float(np.count_nonzero(signs)), 0.0)
        for o, signs in enumerate(layer.signs)
    ]
    turned = np.array([channel.scale < 0 for channel in channels])
    signs = np.where(turned[:, None, None, None], -layer.signs, layer.signs)
    kept, minus = ((s.reshape(len(s), -1)).sum(1) for s in (signs != 0, signs < 0))
    planes = max(3, int(kept.max()).bit_length())
    fraction = min(steps - 1, _MOST_FRACTION, _MOST_PLANES - 1 - planes) if layer.memory else 0
    while True:
        made = _planes(layer, channels, minus, (planes, fraction, steps if layer.memory else 1))
        if made[1].max() <= _BYTE or fraction == 0:
            break
        fraction -= 1  # fewer bits, coarser units: a narrow band is stored in bytes
    return PlaneThresholds(
        planes=planes,
        fraction=fraction,
        thresholds=made[0],
        bands=made[1],
        minus=minus,
        turned=turned,
    )


def _planes(
    layer: Layer, channels: list[_Channel], minus: NDArray[np.int64], bits: tuple[int, int, int]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    planes, fraction, levels = bits
    thresholds, bands = (np.zeros((len(channels), levels), np.int64) for _ in range(2))
    never = 1 << (planes + 1 + fraction)
    for o, channel in enumerate(channels):
        for level in range(levels):
            used, g = min(level, fraction), 2 - Fraction(1, 2**level)
            largest = (1 << (planes + bool(layer.memory) + used)) - 1
            centre = _threshold(channel, layer.v_threshold, level)
            if not isinstance(centre, Fraction):
                low = high = 0 if centre else never
            else:
                at, error = centre + int(minus[o]) * g, Fraction(channel.error)
                # Where bits are cut off, a membrane lies up to one unit above its number.
                cut = int(level > fraction)
                high = math.ceil((at + error) * 2**used)
                low = math.ceil((at - error) * 2**used) - cut
            high = min(max(high, 0), never)
            low = min(max(low, 0), high)
            if low > largest:
                low = high = never
            thresholds[o, level], bands[o, level] = high, high - low
    return thresholds, bands


def _threshold(channel: _Channel, v_threshold: float, level: int) -> Fraction | bool:
    """W at the threshold, ``level`` + 1 steps after a reset; or always (True), never (False)."""
    g = 2 - Fraction(1, 2**level)
    if channel.scale:
        at = (Fraction(v_threshold) - channel.shift * g) / channel.scale
        return at if channel.scale > 0 else -at
    u, z = np.float32(0), np.float32(channel.constant)
    for _ in range(level + 1):
        u = np.float32(u * np.float32(0.5)) + z
    return bool(u >= np.float32(v_threshold))


def _channel(layer: Layer, o: int, largest: float, error: float) -> _Channel:
    """Of sums of at most ``largest`` with that absolute error of their own."""
    affine = layer.affine
    alpha = affine.alpha
    bias, a, b = (_of(array, o, default) for array, default in _parts(affine))
    scale = Fraction(alpha) * Fraction(a)
    shift = Fraction(bias) * Fraction(a) + Fraction(b)
    size = abs(alpha) * largest
    error = abs(alpha) * error + (size + abs(alpha) * error) * _UNIT
    if affine.bias is not None:
        size += abs(bias)
        error += (size + error) * _UNIT
    if affine.a is not None:
        size, error = abs(a) * size, abs(a) * error
        error += (size + error) * _UNIT
        size += abs(b)
        error += (size + error) * _UNIT
    if layer.memory:
        # Halving is exact; adding the input is not. Sizes and errors at most double in all.
        error = 2 * (error + 2 * (size + error) * _UNIT)
    error = (error + 8 * _TINY) * _SLACK
    with np.errstate(all="ignore"):
        constant = float(np.float32(np.float32(a) * np.float32(bias)) + np.float32(b))
    return _Channel(scale, shift, error / abs(float(scale)) if scale else 0.0, constant)


def _parts(affine: Affine) -> tuple[tuple[F32 | None, float], ...]:
    return (affine.bias, 0.0), (affine.a, 1.0), (affine.b, 0.0)


def _of(array: F32 | None, o: int, default: float) -> float:
    return default if array is None else float(array[o])


def pixel_thresholds(layer: Layer, lut: F32, steps: int) -> PixelThresholds:
    """Thresholds of the first layer on bytes that ``lut`` [channels, 256] stands for."""
    peak = np.abs(lut.astype(np.float64)).max(1)
    reach = np.abs(layer.signs.astype(np.float64)).sum((2, 3)) @ peak
    kept = np.count_nonzero(layer.signs.reshape(len(layer.signs), -1), axis=1)
    most = max(float(reach.max()), float(peak.max()))
    exact = _exact_scale(lut, most, steps if layer.memory else 1)
    scale = exact if exact is not None else _scale(most)
    table = np.rint(lut.astype(np.float64) * float(2**scale)).astype(np.int64)
    levels = steps if layer.memory else 1
    low, high = (np.zeros((len(kept), levels), np.int64) for _ in range(2))
    turned = np.zeros(len(kept), np.bool_)
    for o, count in enumerate(kept):
        # The layer's own float32 sum is off by so much; none where all its sums are exact.
        own = 0.0 if exact is not None else float(count * reach[o]) * _UNIT * _SLACK
        channel = _channel(layer, o, float(reach[o]), own)
        turned[o] = channel.scale < 0
        for level in range(levels):
            centre = _threshold(channel, layer.v_threshold, level)
            unit = 2 ** (levels - 1 - level) if exact is not None else 1
            # Rounding of the table's values, doubled by the membrane, and of its halving.
            spread = 0 if exact is not None else int(count) + 2
            low[o, level], high[o, level] = _pixel_bounds(centre, channel, scale, (unit, spread))
    return PixelThresholds(table=table, thresholds=low, band=int((high - low).max()), turned=turned)


_ALWAYS, _NEVER = -(2**31), 2**31 - 1


def _pixel_bounds(
    centre: Fraction | bool, channel: _Channel, scale: int, grid: tuple[int, int]
) -> tuple[int, int]:
    """The band's two ends in units of the table; sums are multiples of ``unit``."""
    unit, spread = grid
    if not isinstance(centre, Fraction):
        end = _ALWAYS if centre else _NEVER
        return end, end
    error, factor = Fraction(channel.error), Fraction(2) ** scale
    low = math.ceil(((centre - error) * factor - spread) / unit) * unit
    high = math.ceil(((centre + error) * factor + spread) / unit) * unit
    if high <= -(2**30):
        return _ALWAYS, _ALWAYS
    if low >= 2**30:
        return _NEVER, _NEVER
    return max(low, -(2**30)), max(high, -(2**30))


def _scale(reach: float) -> int:
    """Bits after the point so that a membrane of twice ``reach`` fits a 32-bit integer."""
    return _SUM_BITS - math.frexp(max(reach, 2.0**-100))[1]


def _exact_scale(lut: F32, reach: float, levels: int) -> int | None:
    """The scale at which table, float32 sums and halved membranes are whole, or None."""
    for bits in range(13):
        whole = lut.astype(np.float64) * float(2**bits)
        if (whole == np.rint(whole)).all():
            scale = bits + levels - 1
            fits = reach * float(2**bits) < 2**24 and reach * float(2**scale) < 2**_SUM_BITS
            return scale if fits else None
    return None
