"""The verdict over the finished stages of a run, from the stages' roles, rungs and facts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from spiketicket.experiment.outcome import StageOutcome
from spiketicket.methods.stages import Stage
from spiketicket.recipe import VerdictConfig
from spiketicket.verdict.budget import Budget, budget_of
from spiketicket.verdict.rules import Control, StageScores, Verdict, judge
from spiketicket.verdict.rungs import FineTuning, compare_tuning, ladder_dict

_NEEDED: Final = ("dense", "random_trained", "random_frozen")
"""Controls without which a ticket of weights proves nothing, whatever the recipe leaves out."""
Outcomes = Mapping[str, Sequence[StageOutcome]]
"""By stage, one per seed."""


def verdict_over(
    stages: Sequence[Stage], outcomes: Outcomes, truth: NDArray[np.int64], rules: VerdictConfig
) -> dict[str, Any]:
    """Judge a run whose stages are all done, as plain values for JSON.

    ``truth`` are the classes of the test set, int64 [N].

    Raises:
        UserError: a file of predictions is missing or damaged.
    """
    run = _Run(stages, outcomes, truth, rules)
    tickets = [s for s in stages if s.role == "ticket"]
    if any(s.rung for s in stages):
        verdicts = {s.name: run.rung(s) for s in tickets}
        tuned = {s.name: found for s in tickets if (found := run.tuned(s, _capital(s.title)))}
        return ladder_dict(verdicts, tuned)
    verdict = run.ticket(tickets[-1])
    plain, found = verdict.to_dict(), run.tuned(tickets[-1], "ticket")
    if found is None:
        return plain
    sentences = [*plain["sentences"], found.sentence]
    return {**plain, "sentences": sentences, "fine_tuning": found.to_dict()}


class _Run:
    def __init__(
        self,
        stages: Sequence[Stage],
        outcomes: Outcomes,
        truth: NDArray[np.int64],
        rules: VerdictConfig,
    ) -> None:
        self._stages, self._outcomes, self._truth, self._rules = stages, outcomes, truth, rules
        self._scores = {
            name: StageScores(
                [outcome.test_accuracy for outcome in per_seed],
                [outcome.predictions_of(len(truth)) == truth for outcome in per_seed],
            )
            for name, per_seed in outcomes.items()
        }
        self._facts = {name: _tuned_seed(per_seed).facts for name, per_seed in outcomes.items()}

    def ticket(self, stage: Stage) -> Verdict:
        """A ticket of weights."""
        controls = self._controls(self._of_role("control", ("",)))
        frozen = self._scores.get("random_frozen")
        return self._judge(
            stage,
            dict.fromkeys(_NEEDED) | controls,
            floor=None if frozen is None else ("random_frozen", frozen),
        )

    def rung(self, stage: Stage) -> Verdict:
        """A rung of a ladder; its floor is the most frequent class of the test set."""
        controls = self._controls(self._of_role("control", ("", stage.rung)))
        right = self._truth == np.bincount(self._truth).argmax()
        seeds = len(self._outcomes[stage.name])
        constant = StageScores([100 * right.mean()] * seeds, [right] * seeds)
        return self._judge(
            stage,
            {"dense": None, **controls},
            floor=("constant", constant),
            title=_capital(stage.title),
        )

    def tuned(self, stage: Stage, title: str) -> FineTuning | None:
        """What fine-tuning has changed; None where there was none."""
        found = self._outcomes.get(f"{stage.name}_finetuned")
        if found is None:
            return None
        return compare_tuning(
            stage.name, self._scores, self._rules.confidence, title=title, flipped=_flipped(found)
        )

    def _judge(
        self,
        stage: Stage,
        controls: Mapping[str, Control | None],
        *,
        floor: tuple[str, StageScores] | None,
        title: str = "",
    ) -> Verdict:
        twins = self._of_role("twin", ("", stage.rung))
        return judge(
            self._scores[stage.name],
            controls,
            floor=floor,
            margin=self._rules.margin,
            confidence=self._rules.confidence,
            name=stage.name,
            title=title,
            beside={twin.name: self._scores[twin.name] for twin in twins},
        )

    def _of_role(self, role: str, rungs: Iterable[str]) -> list[Stage]:
        return [s for s in self._stages if str(s.role) == role and s.rung in rungs]

    def _controls(self, stages: Iterable[Stage]) -> dict[str, Control | None]:
        return {
            s.name: Control(scores=self._scores[s.name], budget=self._budget(s)) for s in stages
        }

    def _budget(self, stage: Stage) -> Budget | None:
        return budget_of(stage.name, self._facts) if stage.trains else None


def _tuned_seed(per_seed: Sequence[StageOutcome]) -> StageOutcome:
    """The seed whose facts hold the trials of the learning rate, else the first."""
    tried = [o for o in per_seed if o.facts.get("tuning", {}).get("trials")]
    return (tried or list(per_seed))[0]


def _flipped(per_seed: Sequence[StageOutcome]) -> tuple[int, int] | None:
    """Signs that fine-tuning changed, and all of them, over the seeds; None where not known."""
    found = [(o.facts.get("signs_flipped"), o.facts.get("signs")) for o in per_seed]
    known = [(int(flipped), int(of)) for flipped, of in found if flipped is not None and of]
    if len(known) < len(found):
        return None
    return sum(flipped for flipped, _ in known), sum(of for _, of in known)


def _capital(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}"
