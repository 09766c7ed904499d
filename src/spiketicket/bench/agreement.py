"""Whether a peer computes what the ticket's PyTorch model computes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spiketicket.bench.job import Array
from spiketicket.bench.peers import Arithmetic

_TOLERANCE = 1e-4
"""Of the largest logit: far less than one spike more or less, far more than float32 rounding."""
_LEAST_EQUAL = {"exact": 0.9, "float32": 0.5, "reduced": 0.0}
_LEAST_CORRELATION = 0.5


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Two sets of logits compared, [N, classes] each."""

    images: int
    equal: float
    """Fraction of images whose logits all agree within 1e-4 of the largest logit."""
    same_class: float
    """Fraction of images whose first class is the same, or as good as the model's first: whole
    numbers of spikes and binary weights give many equal logits."""
    correlation: float
    """Of the logits less each class's mean over the images."""
    largest: float
    """Largest absolute difference."""

    def passes(self, arithmetic: Arithmetic) -> bool:
        """Whether it is the same network.

        A spike at the threshold may fall either way where sums are rounded in another order, and
        changes an image's logits; with fewer bits all of them change.
        """
        return self.equal >= _LEAST_EQUAL[arithmetic] and self.correlation >= _LEAST_CORRELATION


def compared(found: Array, expected: Array) -> Agreement:
    """Compare a peer's logits with the model's, float32 [N, classes]."""
    if found.shape != expected.shape or not np.isfinite(found).all():
        return Agreement(
            images=len(expected), equal=0.0, same_class=0.0, correlation=0.0, largest=float("inf")
        )
    difference = np.abs(found - expected)
    tolerance = _TOLERANCE * max(float(np.abs(expected).max()), 1e-30)
    chosen = np.take_along_axis(expected, found.argmax(axis=1)[:, None], axis=1)[:, 0]
    return Agreement(
        images=len(expected),
        equal=float((difference.max(axis=1) <= tolerance).mean()),
        same_class=float((chosen >= expected.max(axis=1) - tolerance).mean()),
        correlation=_correlation(found, expected),
        largest=float(difference.max()),
    )


def _correlation(found: Array, expected: Array) -> float:
    if np.array_equal(found, expected):
        return 1.0
    x, y = (part - part.mean(axis=0) if len(part) > 1 else part for part in (found, expected))
    size = float(np.linalg.norm(x)) * float(np.linalg.norm(y))
    return float((x * y).sum()) / size if size else 0.0
