"""Whether a ticket wins: the rules, in full, so that they can be recomputed by hand.

All numbers are test accuracies in percent, and differences in percentage points. Seed i of the
ticket is paired with seed i of each control.

**Difference.** d = mean over seeds of (ticket - control), each rounded to 9 decimals, so that
differences that are equal on paper are equal here.

**Interval.** d - h to d + h, within -100 and 100, where h is the larger of

* with two seeds or more, Student's half width t sd / sqrt(S) over the S seeds' differences;
* where it is known which test samples each net got right, 100 times the half width of the paired
  per-sample normal interval (``statistics.paired_sample_half_width``: for each sample the
  difference is averaged over seeds, and half an observation is added to each cell).

The second is all there is with one seed, which the verdict then says. With more seeds it is a
floor: two or three seeds that happen to agree, or do so exactly, would else give an interval
that is far too narrow, or of no width; the verdict says when the floor was used. With one seed,
or seeds whose differences are all equal, and without the per-sample results, there is no
interval.

**Outcome**, the first of these that holds. ``low`` and ``high`` are an interval's ends.

1. ``unproven``: a control is missing, or a comparison has no interval.
2. ``loses``: high(ticket - dense) < -margin, or high(ticket - random_frozen) <= 0.
3. ``wins``: low(ticket - dense) >= -margin, low(ticket - random_trained) > 0 and
   low(ticket - random_frozen) > 0, and also low(dense - random_frozen) > 0: a dense net that
   learned nothing is nothing to match.
4. ``ties``: everything else: the interval of ticket - dense holds -margin and the question is
   undecided; or the ticket is not shown to be above the frozen floor, as after a budget too small
   to learn anything; or the ticket is not inferior to the dense net, but a random mask of the same
   density with trained weights is not shown to be worse than the ticket, so that sparsity alone
   explains it (if the mask's net is better: high < 0) or may explain it.

The controls are ``dense``, the dense net of the same condition, trained; ``random_trained``, a
random mask of the same density whose weights are trained; ``random_frozen``, such a mask on the
frozen random weights, the floor. McNemar's exact p value is given a seed for information; no
rule uses it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from spiketicket.errors import UserError
from spiketicket.verdict import intervals

__all__ = ["StageScores", "Comparison", "Outcome", "Verdict", "judge"]

Outcome = Literal["wins", "ties", "loses", "unproven"]

_TITLES = {
    "dense": "the dense net",
    "random_trained": "a random mask of the same density with trained weights",
    "random_frozen": "a random mask on the frozen random weights",
}


@dataclass(frozen=True, eq=False)
class StageScores:
    """Test results of one stage, an entry a seed.

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
    """Ticket minus one control, in percentage points."""

    control: str
    """``dense``, ``random_trained`` or ``random_frozen``."""
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
    basis: Literal["seeds", "samples"] | None
    """What the interval's width comes from."""
    mcnemar_p: tuple[float, ...] | None
    """Exact p value of each seed."""

    @property
    def title(self) -> str:
        """The control in words."""
        return _TITLES.get(self.control, self.control.replace("_", " "))


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the controls say about a ticket; the module's docstring holds the rules."""

    outcome: Outcome
    sentences: tuple[str, ...]
    """The outcome in words with its numbers, then how far it can be trusted."""
    comparisons: tuple[Comparison, ...]
    margin: float
    """Percentage points below the dense net that still count as level with it."""
    confidence: float
    seeds: int

    @property
    def sentence(self) -> str:
        """All sentences as one text."""
        return " ".join(self.sentences)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; ``comparisons`` by the control's name."""
        plain = asdict(self)
        plain["sentences"] = list(self.sentences)
        plain["comparisons"] = {
            c.control: {
                **asdict(c),
                "title": c.title,
                "mcnemar_p": c.mcnemar_p and list(c.mcnemar_p),
            }
            for c in self.comparisons
        }
        return plain


def judge(
    ticket: StageScores,
    dense: StageScores | None,
    random_trained: StageScores | None,
    random_frozen: StageScores | None,
    *,
    margin: float,
    confidence: float,
) -> Verdict:
    """Apply the rules of this module.

    ``margin`` is in percentage points, ``confidence`` the two-sided coverage. Raises UserError
    when the stages differ in seeds or samples, or margin or confidence are out of range.
    """
    if not 0 <= margin < math.inf:
        raise UserError("margin must be 0 or more percentage points", value=margin)
    if not 0 < confidence < 1:
        raise UserError("confidence must be between 0 and 1", value=confidence)
    stages = {"dense": dense, "random_trained": random_trained, "random_frozen": random_frozen}
    found = {
        name: compare(name, ticket, stage, confidence)
        for name, stage in stages.items()
        if stage is not None
    }
    missing = [_TITLES[name] for name, stage in stages.items() if stage is None]
    outcome, reason = _unproven(found, missing) or _outcome(found, margin, confidence)
    if outcome == "wins" and dense is not None and random_frozen is not None:
        learned = compare("random_frozen", dense, random_frozen, confidence)
        if _low(learned) <= 0:
            outcome, reason = "ties", _nothing_to_match(learned)
    seeds = len(ticket.accuracy)
    sentences = (reason, *_reservations(list(found.values()), seeds))
    return Verdict(
        outcome=outcome,
        sentences=sentences,
        comparisons=tuple(found.values()),
        margin=margin,
        confidence=confidence,
        seeds=seeds,
    )


def compare(name: str, ticket: StageScores, control: StageScores, confidence: float) -> Comparison:
    """One comparison, by the rules of this module; raises UserError when the stages differ."""
    seeds = len(ticket.accuracy)
    if len(control.accuracy) != seeds:
        raise UserError(
            "must have as many seeds as the ticket", where=name, value=len(control.accuracy)
        )
    pairs_of_percent = zip(ticket.accuracy, control.accuracy, strict=True)
    differences = [round(t - c, 9) for t, c in pairs_of_percent]
    widths: dict[Literal["seeds", "samples"], float] = {}
    samples, p_values = None, None
    if seeds > 1:
        widths["seeds"] = intervals.t_half_width(differences, confidence)
    if ticket.correct is not None and control.correct is not None:
        pairs = list(zip(ticket.correct, control.correct, strict=True))
        samples = pairs[0][0].size
        if pairs[0][1].size != samples:
            raise UserError(
                "must have as many test samples as the ticket", where=name, value=pairs[0][1].size
            )
        p_values = tuple(intervals.mcnemar(a, b) for a, b in pairs)
        widths["samples"] = 100 * intervals.paired_sample_half_width(
            np.stack(ticket.correct), np.stack(control.correct), confidence
        )
    basis = max(widths, key=lambda key: widths[key], default=None)
    difference = intervals.mean(differences)
    half = widths[basis] if basis else 0.0
    known = half > 0
    return Comparison(
        control=name,
        ticket_accuracy=intervals.mean(ticket.accuracy),
        control_accuracy=intervals.mean(control.accuracy),
        difference=difference,
        low=max(-100.0, difference - half) if known else None,
        high=min(100.0, difference + half) if known else None,
        seeds=seeds,
        samples=samples,
        basis=basis if known else None,
        mcnemar_p=p_values,
    )


def _unproven(found: dict[str, Comparison], missing: list[str]) -> tuple[Outcome, str] | None:
    if missing:
        return "unproven", f"Unproven: the ticket was not compared with {_listed(missing)}."
    bare = [c.title for c in found.values() if c.basis is None]
    if bare:
        why = (
            "the seeds' differences are all equal"
            if found["dense"].seeds > 1
            else "there is one seed"
        )
        return "unproven", (
            f"Unproven: {why} and the results of the single test samples are not known, "
            f"so there is no interval for the comparison with {_listed(bare)}."
        )
    return None


def _outcome(found: dict[str, Comparison], margin: float, confidence: float) -> tuple[Outcome, str]:
    dense, trained, frozen = found["dense"], found["random_trained"], found["random_frozen"]
    against_dense = (
        f"{dense.ticket_accuracy:.2f} % against the dense net's {dense.control_accuracy:.2f} %, "
        f"{_points(dense, f'{100 * confidence:g} % interval ')}"
    )
    if _high(frozen) <= 0:
        return "loses", (
            f"Loses: with {frozen.ticket_accuracy:.2f} % the ticket is not above "
            f"{frozen.title}, {_points(frozen)}."
        )
    if _high(dense) < -margin:
        return "loses", f"Loses: {against_dense}, below the margin of {margin:.2f} points."
    if _low(dense) < -margin:
        return "ties", (
            f"Ties: {against_dense}; the interval holds both sides of the margin of "
            f"{margin:.2f} points, so it is undecided whether the ticket is as good."
        )
    if _low(frozen) <= 0:
        return "ties", (
            f"Ties: {against_dense}, but the ticket is not shown to be above {frozen.title} "
            f"({_points(frozen)}): the budget may be too small to tell."
        )
    if _low(trained) <= 0:
        better = _high(trained) < 0
        rival = "does better" if better else "does as well within the uncertainty"
        explains = "explains" if better else "may explain"
        return "ties", (
            f"Ties: {against_dense}, not below it by more than {margin:.2f} points, but "
            f"{trained.title} "
            f"{rival} ({_points(trained)}): sparsity alone {explains} the accuracy."
        )
    return "wins", (
        f"Wins: {against_dense}, not below it by more than {margin:.2f} points, and better than "
        f"{trained.title}, {_points(trained)}."
    )


def _nothing_to_match(learned: Comparison) -> str:
    return (
        f"Ties: the ticket is ahead, but {_TITLES['dense']} itself is not shown to be above "
        f"{learned.title} ({_points(learned)}): the budget is too small to compare with it."
    )


def _reservations(comparisons: list[Comparison], seeds: int) -> list[str]:
    if seeds == 1:
        return [
            "This rests on one seed: the interval covers the choice of test samples, "
            "not that of the seed."
        ]
    floored = [c.title for c in comparisons if c.basis == "samples"]
    if not floored:
        return []
    return [
        f"The {seeds} seeds agree more closely than the number of test samples allows to say, so "
        f"the interval is that of the test samples in the comparison with {_listed(floored)}."
    ]


def _points(comparison: Comparison, label: str = "") -> str:
    return (
        f"a difference of {comparison.difference:+.2f} points "
        f"({label}{_low(comparison):+.2f} to {_high(comparison):+.2f})"
    )


def _low(comparison: Comparison) -> float:
    return -math.inf if comparison.low is None else comparison.low


def _high(comparison: Comparison) -> float:
    return math.inf if comparison.high is None else comparison.high


def _listed(items: Sequence[str]) -> str:
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)
