r"""Whether the controls were trained enough to be beaten, lost to, or tied with.

A control that would still get better proves nothing, whatever the ticket does beside it. On the
recipe's first seed every trained stage tries several learning rates with half of its epochs, and
then trains with the best of them and all epochs. With

    half   the validation accuracy in percent of the chosen rate after half of the epochs,
    full   that of the stage itself after all of them, same seed,

a control **still rises** if

    full - half > margin,

the verdict's margin in percentage points (rounded to 9 decimals), or if it has fewer than
``LEAST_EPOCHS`` epochs, whose half says nothing. Where a trained control still rises, or where its
learning rate was not tuned, or is at an end of those tried, or was tuned only with a seed that is
not judged, the outcome is ``too_small``: the budget is too small to say. That holds for what would
be a win, a tie or a loss: a random mask that would have caught up, and a dense net that was trained
at a tenth of its best rate, are wrong in either direction.

All trained controls count: the dense net and those of the ticket, of a ladder those of the rung.
A stage that takes the learning rate of another stage counts by that one. A control that trains
nothing has nothing to tune.

The rule is measured on simulated learning curves, acc(E) = a - b exp(-E / tau) in percent, with
a = 95, b = 60, a margin of 2 points, and binomial noise of two validation sets of V samples
(``tests/verdict/test_budget.py``, 20,000 curves each). Share that is said to rise still:

    epochs / tau    true gain    V = 200    V = 1000    V = 5000
    2                 13.95        1.00        1.00        1.00
    4                  7.02        0.95        1.00        1.00
    6                  2.84        0.60        0.76        0.95
    12                 0.15        0.17        0.03        0.00

So a control that has its last points still to gain is caught, and one that is done passes, the
surer the more validation samples there are; with 200 samples, every sixth that is done is called
too small as well. That errs on the side of no verdict.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

__all__ = ["LEAST_EPOCHS", "Budget", "budget_of", "listed", "shortcomings"]

LEAST_EPOCHS: Final = 4
"""With fewer epochs a control is always trained too briefly."""


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What is known of how well a trained stage was trained, on the recipe's first seed."""

    epochs: float
    """Epochs of the stage itself."""
    full: float
    """Validation accuracy in percent after all of them."""
    tuned: bool
    """Whether its learning rate was."""
    half_epochs: float | None = None
    """Epochs of the trials of its learning rate; None where they are not known."""
    half: float | None = None
    """Validation accuracy in percent of the chosen rate after those."""
    edge: bool = False
    """Whether the chosen rate is at an end of those that were tried."""

    def rises(self, margin: float) -> bool:
        """Whether it still gets better, by the rule of this module; False where that is unknown."""
        if self.epochs < LEAST_EPOCHS:
            return True
        return self.half is not None and round(self.full - self.half, 9) > margin

    def too_small(self, margin: float) -> bool:
        """Whether nothing can be said against it."""
        return not self.tuned or self.half is None or self.edge or self.rises(margin)

    def to_dict(self, margin: float) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "rises": self.rises(margin)}


def shortcomings(budgets: Mapping[str, Budget], margin: float) -> list[str]:
    """What is wrong with the budgets of some stages, by the stages' titles: a clause for each kind
    of wrong, with the numbers and what to raise; empty where nothing is.
    """
    brief = [title for title, found in budgets.items() if found.epochs < LEAST_EPOCHS]
    rest = {title: found for title, found in budgets.items() if title not in brief}
    found = []
    if brief:
        most = max(budgets[title].epochs for title in brief)
        found.append(
            f"{listed(brief)} had {_epochs(most)}, fewer than {LEAST_EPOCHS}: raise train.epochs"
        )
    for title, of in rest.items():
        if of.half is not None and of.half_epochs is not None and of.rises(margin):
            found.append(
                f"{title} still rises, from {of.half:.2f} % of the validation samples after "
                f"{_epochs(of.half_epochs)} to {of.full:.2f} % after {of.epochs:g}, by more than "
                f"the margin of {margin:.2f} points: raise train.epochs"
            )
    if ends := [title for title, of in rest.items() if of.edge]:
        found.append(
            f"the best learning rate of {listed(ends)} is at an end of those tried, so a better "
            "one may lie beyond: start from another train.weights.lr"
        )
    if untuned := [title for title, of in budgets.items() if not of.tuned]:
        found.append(f'no learning rate was tuned for {listed(untuned)}: set train.tune = "rates"')
    if elsewhere := [title for title, of in budgets.items() if of.tuned and of.half is None]:
        found.append(
            f"the learning rate of {listed(elsewhere)} was tuned with a seed that is not among "
            "these: judge with that seed too"
        )
    return found


def listed(items: Sequence[str]) -> str:
    """``a, b and c``."""
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)


def budget_of(name: str, facts: Mapping[str, Mapping[str, Any]]) -> Budget:
    """The budget of a trained stage, from the facts of all stages of the recipe's first seed.

    ``facts`` are those of each stage's ``result.json``: ``trained_epochs``,
    ``validation_accuracy``, and ``tuning`` with the chosen ``factor`` and its ``trials``, or with
    the stage it takes its rate ``of``.
    """
    seen = {name}
    own = facts[name]
    while (of := own.get("tuning", {}).get("of")) in facts and of not in seen:
        seen.add(of)
        own = facts[of]
    tuning = own.get("tuning", {})
    full = float(own["validation_accuracy"])
    chosen = [t for t in tuning.get("trials", ()) if t["factor"] == tuning["factor"]]
    if not chosen:
        return Budget(epochs=own["trained_epochs"], full=full, tuned=bool(tuning))
    return Budget(
        epochs=own["trained_epochs"],
        full=full,
        tuned=True,
        half_epochs=chosen[-1]["epochs"],
        half=float(chosen[-1]["validation_accuracy"]),
        edge=bool(tuning.get("edge", False)),
    )


def _epochs(number: float) -> str:
    return f"{number:g} epoch{'' if number == 1 else 's'}"
