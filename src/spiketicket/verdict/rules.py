"""Whether a ticket wins: the rules, in full, so that they can be recomputed by hand.

A ticket is compared with each of its controls by difference and interval, see
:mod:`spiketicket.verdict.comparison`; ``low`` and ``high`` are an interval's ends. The controls are
all stages of role ``control`` that the run trains for this ticket, of a ladder those of its rung,
among them

* ``dense``, the dense net of the same condition, trained;
* ``random_trained``, a random mask of the same density whose weights are trained;
* ``random_frozen``, such a mask on the frozen random weights.

The **floor** is what a net that learned nothing reaches: ``random_frozen``, and of a ladder, whose
frozen control trains the rest of the net, the most frequent class of the test set.

**Outcome**, the first of these that holds.

1. ``unproven``: a control is missing, there is none beside the dense net, or a comparison has no
   interval.
2. ``too_small``: the budget of a trained control was, or its learning rate was not tuned; see
   :mod:`spiketicket.verdict.budget`. It comes before winning, tying and losing alike.
3. ``loses``: high(ticket - dense) < -margin, or high(ticket - floor) <= 0.
4. ``wins``: low(ticket - dense) >= -margin, and low(ticket - control) > 0 for **every** control
   beside the dense net, and low(dense - floor) > 0: a dense net that learned nothing is nothing to
   match.
5. ``ties``: everything else: the interval of ticket - dense holds -margin and the question is
   undecided; or there is nothing to match; or the ticket is not inferior to the dense net, but a
   control is not shown to be worse than the ticket, so that what the two share explains the
   accuracy (if the control is better: high < 0) or may explain it.

With **one seed** there is no verdict: what would be ``wins``, ``ties`` or ``loses`` is ``ahead``,
``level`` or ``behind``, and the verdict says so (:mod:`spiketicket.verdict.outcomes`).

A win asks for all comparisons at once, so more controls never make it easier, and no correction for
their number is needed. The interval is the only test.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from spiketicket.errors import UserError
from spiketicket.verdict.budget import Budget, listed, shortcomings
from spiketicket.verdict.comparison import Comparison, StageScores, compare
from spiketicket.verdict.outcomes import ONE_SEED, Outcome, in_words, with_seeds

__all__ = ["Comparison", "Control", "Outcome", "StageScores", "Verdict", "compare", "judge"]

_TITLES: Final = {
    "dense": "the dense net",
    "random_trained": "a random mask of the same density with trained weights",
    "random_frozen": "a random mask on the frozen random weights",
    "constant": "the most frequent class of the test set",
}


@dataclass(frozen=True, kw_only=True)
class Control:
    """What a ticket is judged against."""

    scores: StageScores
    budget: Budget | None = None
    """How well it was trained; None of one that trains nothing."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the controls say about a ticket; the module's docstring holds the rules."""

    outcome: Outcome
    sentences: tuple[str, ...]
    """The outcome in words with its numbers, then how far it can be trusted."""
    comparisons: tuple[Comparison, ...]
    floor: tuple[Comparison, ...]
    """The ticket and the dense net, each minus the floor; empty where there is none."""
    beside: tuple[Comparison, ...]
    """The ticket minus what is shown and judges nothing."""
    budgets: Mapping[str, Budget]
    """Of every trained control, by its name."""
    margin: float
    """Percentage points below the dense net that still count as level with it."""
    confidence: float
    seeds: int

    @property
    def sentence(self) -> str:
        """All sentences as one text."""
        return " ".join(self.sentences)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; ``comparisons`` by the control's name, ``floor`` by what is
        compared with it.
        """
        return {
            "outcome": self.outcome,
            "sentences": list(self.sentences),
            "comparisons": {c.control: c.to_dict() for c in self.comparisons},
            "floor": {c.of: c.to_dict() for c in self.floor},
            "beside": {c.control: c.to_dict() for c in self.beside},
            "budget": {name: b.to_dict(self.margin) for name, b in self.budgets.items()},
            "margin": self.margin,
            "confidence": self.confidence,
            "seeds": self.seeds,
        }


@dataclass(frozen=True, kw_only=True)
class _Found:
    """What the rules look at."""

    missing: tuple[str, ...]
    pairs: Mapping[str, Comparison]
    floor: Mapping[str, Comparison]
    budgets: Mapping[str, Budget]
    margin: float
    level: str
    """What an interval is called."""


def judge(
    ticket: StageScores,
    controls: Mapping[str, Control | None],
    *,
    floor: tuple[str, StageScores] | None,
    margin: float,
    confidence: float,
    name: str = "ticket",
    title: str = "",
    beside: Mapping[str, StageScores] | None = None,
) -> Verdict:
    """Apply the rules of this module.

    Args:
        ticket: the scores that are judged.
        controls: by name; None for one that the verdict needs and the run does not have.
        floor: name and scores of what a net reaches that learned nothing.
        margin: in percentage points.
        confidence: the two-sided coverage.
        name: the ticket's stage.
        title: how sentences begin, where several tickets are judged.
        beside: what is shown beside the ticket and judges nothing.

    Raises UserError when the stages differ in seeds or samples, or margin or confidence are out of
    range.
    """
    if not 0 <= margin < math.inf:
        raise UserError("margin must be 0 or more percentage points", value=margin)
    if not 0 < confidence < 1:
        raise UserError("confidence must be between 0 and 1", value=confidence)

    def minus(other: str, scores: StageScores, *, trained: bool = True) -> Comparison:
        words, of = _TITLES.get(other, ""), name.replace("_", " ")
        return compare(other, ticket, scores, confidence, title=words, of=of, trained=trained)

    there = {other: control for other, control in controls.items() if control is not None}
    found = _Found(
        missing=tuple(_titled(n) for n, control in controls.items() if control is None),
        pairs={n: minus(n, c.scores, trained=c.budget is not None) for n, c in there.items()},
        floor={}
        if floor is None
        else _above(floor, minus(*floor, trained=False), there, confidence),
        budgets={n: c.budget for n, c in there.items() if c.budget is not None},
        margin=margin,
        level=f"{100 * confidence:g} % interval ",
    )
    seeds = len(ticket.accuracy)
    outcome, reason = _outcome(found)
    outcome = cast("Outcome", with_seeds(outcome, seeds))
    return Verdict(
        outcome=outcome,
        sentences=(_said(title, outcome, reason), *_reservations(found, seeds)),
        comparisons=tuple(found.pairs.values()),
        floor=tuple(found.floor.values()),
        beside=tuple(minus(other, scores) for other, scores in (beside or {}).items()),
        budgets=found.budgets,
        margin=margin,
        confidence=confidence,
        seeds=seeds,
    )


def _above(
    floor: tuple[str, StageScores],
    ticket: Comparison,
    there: Mapping[str, Control],
    confidence: float,
) -> dict[str, Comparison]:
    """The ticket and the dense net minus the floor."""
    other, scores = floor
    found = {"ticket": ticket}
    if "dense" in there:
        title = _titled(other)
        found["dense"] = compare(
            other, there["dense"].scores, scores, confidence, title=title, of="dense", trained=False
        )
    return found


def _outcome(found: _Found) -> tuple[Outcome, str]:
    if reason := _unproven(found):
        return "unproven", reason
    dense, margin = found.pairs["dense"], found.margin
    against = (
        f"{dense.ticket_accuracy:.2f} % against the dense net's {dense.control_accuracy:.2f} %, "
        f"a difference of {dense.points(found.level)}"
    )
    named = {_titled(name): budget for name, budget in found.budgets.items()}
    if short := shortcomings(named, margin):
        return "too_small", f"{'; '.join(short)}. As trained, {against}."
    if reason := _lost(found, against):
        return "loses", reason
    if reason := _tied(found, against):
        return "ties", reason
    best = max(_rivals(found), key=lambda c: c.control_accuracy)
    return "wins", (
        f"{against}, not below it by more than {margin:.2f} points, and better than every control; "
        f"the strongest is {best.title}, a difference of {best.points()}."
    )


def _lost(found: _Found, against: str) -> str:
    """Why a ticket loses; "" where it does not."""
    ticket = found.floor["ticket"]
    if ticket.most <= 0:
        return (
            f"with {ticket.ticket_accuracy:.2f} % the ticket is not above {ticket.title}, "
            f"a difference of {ticket.points()}."
        )
    if found.pairs["dense"].most < -found.margin:
        return f"{against}, below the margin of {found.margin:.2f} points."
    return ""


def _tied(found: _Found, against: str) -> str:
    """Why a ticket that does not lose does not win; "" where it does."""
    learned, margin = found.floor["dense"], found.margin
    if learned.least <= 0:
        return (
            f"{against}, but the dense net itself is not shown to be above {learned.title} "
            f"({learned.points()}): there is nothing to match."
        )
    if found.pairs["dense"].least < -margin:
        return (
            f"{against}; the interval holds both sides of the margin of {margin:.2f} points, so it "
            "is undecided whether the ticket is as good."
        )
    even = [c for c in _rivals(found) if c.least <= 0]
    if not even:
        return ""
    shown = listed([f"{c.title}, {c.points()}" for c in even])
    explains = "explains" if any(c.most < 0 for c in even) else "may explain"
    return (
        f"{against}, not below it by more than {margin:.2f} points, but not shown to be better "
        f"than {shown}: what they share {explains} the accuracy."
    )


def _rivals(found: _Found) -> list[Comparison]:
    return [c for name, c in found.pairs.items() if name != "dense"]


def _unproven(found: _Found) -> str:
    if found.missing:
        return f"the ticket was not compared with {listed(found.missing)}."
    if "dense" not in found.pairs or "ticket" not in found.floor:
        return "the ticket was not compared with the dense net and what learns nothing."
    if len(found.pairs) == 1:
        return "the ticket has no control beside the dense net."
    bare = [c.title for c in found.pairs.values() if c.basis is None]
    learned = found.floor["dense"]
    bare += [f"{learned.title}, of the dense net"] if learned.basis is None else []
    if not bare:
        return ""
    one = found.pairs["dense"].seeds == 1
    why = "there is one seed" if one else "the seeds' differences are all equal"
    return (
        f"{why} and the results of the single test samples are not known, so there is no interval "
        f"for the comparison with {listed(bare)}."
    )


def _reservations(found: _Found, seeds: int) -> list[str]:
    said = [ONE_SEED] if seeds == 1 else []
    if seeds > 1 and any(c.basis == "seeds" for c in found.pairs.values()):
        said.append("The interval covers other seeds, and not other test samples.")
    return said


def _said(title: str, outcome: Outcome, reason: str) -> str:
    word = in_words(outcome)
    if title:
        return f"{title}{',' if ' ' in word else ''} {word}: {reason}"
    return f"{word[:1].upper()}{word[1:]}: {reason}"


def _titled(name: str) -> str:
    return _TITLES.get(name, name.replace("_", " "))
