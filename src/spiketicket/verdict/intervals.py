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
    "mean",
    "paired_sample_half_width",
    "sd",
    "t_half_width",
    "t_interval",
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
