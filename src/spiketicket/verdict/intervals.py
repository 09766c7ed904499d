"""Intervals for a few seeds and many test samples. Needs no PyTorch.

``confidence`` is the two-sided coverage, such as 0.95. Bad arguments raise UserError.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from spiketicket.errors import UserError

__all__ = [
    "Estimate",
    "detectable",
    "holm",
    "mean",
    "paired_sample_half_width",
    "sd",
    "t_half_width",
    "t_interval",
    "tail_p",
    "wilson_interval",
]


@dataclass(frozen=True)
class Estimate:
    """A value with its confidence interval, in the unit of the input."""

    value: float
    low: float
    high: float


def mean(values: Sequence[float]) -> float:
    """Arithmetic mean of at least one value, rounded once."""
    return math.fsum(_finite(values, least=1)) / len(values)


def sd(values: Sequence[float]) -> float:
    """Standard deviation of a sample: the sum of squares over n - 1, so at least two values.

    Equal values give exactly 0.
    """
    checked = _finite(values, least=2)
    if len(set(checked)) == 1:
        return 0.0
    centre = mean(checked)
    return math.sqrt(math.fsum((v - centre) ** 2 for v in checked) / (len(checked) - 1))


def t_half_width(values: Sequence[float], confidence: float) -> float:
    """Half the width of :func:`t_interval`."""
    spread = sd(values)
    quantile = float(special.stdtrit(len(values) - 1, (1 + _coverage(confidence)) / 2))
    return quantile * spread / math.sqrt(len(values))


def t_interval(values: Sequence[float], confidence: float) -> Estimate:
    """Mean of at least two values and Student's interval, mean -+ t sd / sqrt(n).

    Student, "The probable error of a mean", Biometrika 6, 1908. It takes the values for normal
    and says nothing about what they have in common, such as the test set.
    """
    centre, half = mean(values), t_half_width(values, confidence)
    return Estimate(centre, centre - half, centre + half)


def tail_p(distance: float, half_width: float, confidence: float, df: float) -> float:
    """Two-sided p value that a value lies nowhere beyond a bound, from its interval.

    ``distance`` is that of the value from the bound, on the side that is tested (negative: on the
    other side), ``half_width`` the interval's at ``confidence``. The interval is Student's of
    ``df`` degrees of freedom, or the normal one where ``df`` is infinite. p is at most
    1 - confidence exactly where the interval does not reach the bound.
    """
    if half_width <= 0:
        return 0.0 if distance > 0 else 1.0
    statistic = distance / (half_width / _quantile((1 + _coverage(confidence)) / 2, df))
    tail = special.ndtr(-statistic) if math.isinf(df) else special.stdtr(df, -statistic)
    return min(1.0, 2 * float(tail))


def detectable(half_width: float, confidence: float, df: float, tests: int = 1) -> float:
    """The difference that is found with 80 % power, in the unit of ``half_width``.

    (q(1 - alpha / 2) + q(0.8)) standard errors, with the quantiles of Student's distribution or
    the normal one as in :func:`tail_p`, and alpha = (1 - confidence) / tests, which is what the
    first step of :func:`holm` asks of the smallest of so many p values.
    """
    error = half_width / _quantile((1 + _coverage(confidence)) / 2, df)
    alpha = (1 - confidence) / max(1, tests)
    return error * (_quantile(1 - alpha / 2, df) + _quantile(0.8, df))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p values, in the order given: at most alpha where the claim survives at alpha.

    S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of
    Statistics 6, 1979: the k-th smallest of m times (m - k + 1), never below a smaller one's.
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, so_far = [1.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        so_far = max(so_far, min(1.0, (len(order) - rank) * p_values[i]))
        adjusted[i] = so_far
    return adjusted


def _quantile(p: float, df: float) -> float:
    return float(special.ndtri(p)) if math.isinf(df) else float(special.stdtrit(df, p))


def wilson_interval(successes: int, total: int, confidence: float) -> Estimate:
    """Fraction of successes and Wilson's score interval, within [0, 1].

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference",
    Journal of the American Statistical Association 22, 1927. Sound for 0, for all, and for few.
    """
    if not 0 <= successes <= total or total < 1:
        raise UserError(
            "successes must be from 0 to a total of 1 or more", value=(successes, total)
        )
    p, z2 = successes / total, _normal_quantile(confidence) ** 2
    centre = (p + z2 / (2 * total)) / (1 + z2 / total)
    half = math.sqrt(z2 * (p * (1 - p) / total + z2 / (4 * total**2))) / (1 + z2 / total)
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == total else min(1.0, centre + half)
    return Estimate(p, low, high)


def paired_sample_half_width(a: ArrayLike, b: ArrayLike, confidence: float) -> float:
    """Half the width of the normal interval of mean(a) - mean(b), a fraction of at most 1.

    ``a`` and ``b`` are bool [N], or [S, N] for S seeds on the same N samples. With d[i] the
    difference at sample i averaged over seeds, half an observation is added to each of the four
    cells (both right, both wrong, a alone, b alone), which makes n = N + 2 and gives

        z sqrt((sum d**2 + 1) / n - (sum d / n)**2) / sqrt(n)

    A. Agresti and Y. Min, "Simple improved confidence intervals for comparing matched
    proportions", Statistics in Medicine 24, 2005. Never 0, not even when a equals b. Averaging
    over seeds first keeps S nets on one sample from counting as S samples.
    """
    first, second = _correct(a, b)
    differences = first.astype(np.float64) - second.astype(np.float64)
    d = differences.reshape(-1, differences.shape[-1]).mean(0)
    n = d.size + 2
    variance = (math.fsum(d * d) + 1) / n - (math.fsum(d) / n) ** 2
    return min(1.0, _normal_quantile(confidence) * math.sqrt(variance / n))


def _correct(a: ArrayLike, b: ArrayLike) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    first, second = np.asarray(a), np.asarray(b)
    if first.dtype != np.bool_ or second.dtype != np.bool_:
        raise UserError("per-sample results must be bool", value=(first.dtype, second.dtype))
    if first.shape != second.shape or first.size == 0:
        shapes = (first.shape, second.shape)
        raise UserError("per-sample results must be of the same samples", value=shapes)
    return first, second


def _normal_quantile(confidence: float) -> float:
    return float(special.ndtri((1 + _coverage(confidence)) / 2))


def _coverage(confidence: float) -> float:
    if not 0 < confidence < 1:
        raise UserError("confidence must be between 0 and 1", value=confidence)
    return confidence


def _finite(values: Sequence[float], least: int) -> Sequence[float]:
    if len(values) < least or not all(math.isfinite(value) for value in values):
        raise UserError(f"needs {least} or more finite values", value=list(values))
    return values
