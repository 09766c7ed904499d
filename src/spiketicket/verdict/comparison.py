"""A ticket minus one other stage: the paired difference of their test accuracies, and its interval.

All numbers are test accuracies in percent, and differences in percentage points. Seed i of the
ticket is paired with seed i of the other stage.

**Difference.** d = mean over seeds of (ticket - other), each rounded to 9 decimals, so that
differences that are equal on paper are equal here.

**Interval.** d - h to d + h, within -100 and 100, with h = sqrt(a**2 + b**2) of

* a, with two seeds or more: Student's half width t sd / sqrt(S) over the S seeds' differences,
  which is what other seeds would give;
* b, where it is known which test samples each net got right: 100 times the half width of the paired
  per-sample normal interval (:func:`spiketicket.verdict.intervals.paired_sample_half_width`: for
  each sample the difference is averaged over seeds, and half an observation is added to each cell),
  which is what other test samples would give.

Both are needed: nets that all find the same samples hard agree over seeds and say nothing about
other samples, and two seeds that happen to agree say nothing about other seeds. Simulated with 100,
360 and 10,000 test samples, little and much spread over seeds, and samples that are hard for all or
for one (``tests/verdict/test_coverage.py``), the 95 % interval holds the true difference in 0.95 to
1.00 of all cases with two, three and five seeds; the larger of the two instead of both fell to
0.93. With one seed b is all there is, and the interval holds it in 0.14 to 0.96.

With one seed, or seeds whose differences are all equal, and without the per-sample results, there
is no interval. There is one test, this interval, and no p value beside it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from spiketicket.errors import UserError
from spiketicket.verdict import intervals

__all__ = ["Basis", "Comparison", "StageScores", "compare", "strongest"]

Basis = Literal["seeds", "samples", "both"]


@dataclass(frozen=True, eq=False)
class StageScores:
    """Test results of one stage, an entry per seed.

    Args:
        accuracy: test accuracy of each seed, in percent.
        correct: for each seed which test samples were right, bool [N] in the order of the test
            set; None where that is not known.

    Raises UserError when the two contradict each other or make no sense.
    """

    accuracy: Sequence[float]
    correct: Sequence[NDArray[np.bool_]] | None = None

    def __post_init__(self) -> None:
        accuracy = tuple(float(value) for value in self.accuracy)
        if not accuracy or not all(0 <= value <= 100 for value in accuracy):
            raise UserError("accuracy must be one percentage or more", value=accuracy)
        object.__setattr__(self, "accuracy", accuracy)
        if self.correct is None:
            return
        correct = tuple(np.asarray(seed) for seed in self.correct)
        if len(correct) != len(accuracy):
            raise UserError("correct must have an array per seed", value=len(correct))
        for seed, percent in zip(correct, accuracy, strict=True):
            if seed.dtype != np.bool_ or seed.ndim != 1 or seed.shape != correct[0].shape:
                raise UserError("correct must be bool [N], N the same for every seed")
            # A reader may have rounded the percentage to two decimals.
            if seed.size == 0 or abs(100 * seed.mean() - percent) > 0.01:
                raise UserError("accuracy must be the share of correct samples", value=percent)
        object.__setattr__(self, "correct", correct)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Ticket minus one other stage, in percentage points."""

    control: str
    """The other stage."""
    title: str
    """The same in words."""
    of: str
    """The stage it is subtracted from, in words."""
    trained: bool
    """Whether the other stage was trained: the strongest of those is shown beside the ticket."""
    ticket_accuracy: float
    """Mean over seeds, in percent."""
    control_accuracy: float
    difference: float
    low: float | None
    """Ends of the interval; None where there is none."""
    high: float | None
    seeds: int
    samples: int | None
    """Test samples, where it is known which were right."""
    basis: Basis | None
    """What the interval's width comes from: seeds, test samples, or both."""

    @property
    def least(self) -> float:
        """``low``, and minus infinity without an interval."""
        return -math.inf if self.low is None else self.low

    @property
    def most(self) -> float:
        """``high``, and infinity without an interval."""
        return math.inf if self.high is None else self.high

    def points(self, label: str = "") -> str:
        """``+0.20 points (-0.30 to +0.70)``, with ``label`` before the interval."""
        ends = "no interval" if self.low is None else f"{label}{self.low:+.2f} to {self.high:+.2f}"
        return f"{self.difference:+.2f} points ({ends})"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def compare(
    name: str,
    ticket: StageScores,
    control: StageScores,
    confidence: float,
    *,
    title: str = "",
    of: str = "ticket",
    trained: bool = True,
) -> Comparison:
    """One comparison, by the rules of this module; raises UserError when the stages differ."""
    seeds = len(ticket.accuracy)
    if len(control.accuracy) != seeds:
        raise UserError(
            "must have as many seeds as the ticket", where=name, value=len(control.accuracy)
        )
    pairs_of_percent = zip(ticket.accuracy, control.accuracy, strict=True)
    differences = [round(t - c, 9) for t, c in pairs_of_percent]
    over_seeds = intervals.t_half_width(differences, confidence) if seeds > 1 else 0.0
    over_samples, samples = 0.0, None
    if ticket.correct is not None and control.correct is not None:
        samples, others = ticket.correct[0].size, control.correct[0].size
        if others != samples:
            raise UserError(
                "must have as many test samples as the ticket", where=name, value=others
            )
        over_samples = 100 * intervals.paired_sample_half_width(
            np.stack(ticket.correct), np.stack(control.correct), confidence
        )
    half, difference = math.hypot(over_seeds, over_samples), intervals.mean(differences)
    known = half > 0
    return Comparison(
        control=name,
        title=title or name.replace("_", " "),
        of=of,
        trained=trained,
        ticket_accuracy=intervals.mean(ticket.accuracy),
        control_accuracy=intervals.mean(control.accuracy),
        difference=difference,
        low=max(-100.0, difference - half) if known else None,
        high=min(100.0, difference + half) if known else None,
        seeds=seeds,
        samples=samples,
        basis=_basis(over_seeds, over_samples),
    )


def _basis(over_seeds: float, over_samples: float) -> Basis | None:
    if over_seeds and over_samples:
        return "both"
    return "seeds" if over_seeds else "samples" if over_samples else None


def strongest(rows: Iterable[tuple[str, float, bool | None]]) -> str | None:
    """The control that a table with room for one shows: of the trained ones beside the dense net
    the one with the highest mean accuracy; None where there is none.

    ``rows`` are (control, mean accuracy, whether it is trained); None for the last where the file
    does not say, as those of version 0.2: there ``random_frozen`` is the one that is not.
    """
    found = {
        name: accuracy
        for name, accuracy, trained in rows
        if name != "dense" and (name != "random_frozen" if trained is None else trained)
    }
    return max(found, key=lambda name: found[name], default=None)
