"""A run as a report knows it: its stages and what is known of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spiketicket.experiment.answers import Answers
from spiketicket.experiment.schemas import (
    Compared,
    Epoch,
    Facts,
    Measure,
    RunResult,
    StageFacts,
    StageResult,
    StageRow,
    Totals,
)
from spiketicket.report.sample import Sample
from spiketicket.verdict.comparison import strongest


@dataclass(frozen=True, eq=False, kw_only=True)
class Stage:
    """One stage with one seed; ``result`` is None until it is finished."""

    name: str
    seed: int
    result: StageResult | None
    history: tuple[Epoch, ...]
    measure: Totals | None
    """A :class:`Measure` of the ticket and the dense net, which are shown layer by layer."""
    predictions: NDArray[np.int64] | None
    timing: Mapping[str, Any]
    """Wall time, device and versions; empty until it is finished."""

    @property
    def contradicted(self) -> bool:
        """Whether it was another net that was measured, by the accuracies of the two.

        So many of some of the test samples cannot be right when so many of all are; a few answers
        may differ between two machines.
        """
        if self.result is None or self.measure is None:
            return False
        some, every = self.measure.images_of.images, self.measure.images_of.of
        right = self.measure.accuracy * some / 100
        of_all = self.result.test_accuracy * every / 100
        slack = 1 + every / 100
        return not of_all - (every - some) - slack <= right <= min(some, of_all) + slack


@dataclass(frozen=True, eq=False, kw_only=True)
class Row:
    """One stage over its finished seeds; accuracies in percent by seed."""

    name: str
    title: str
    facts: Facts
    test: Mapping[int, float]
    validation: Mapping[int, float]
    flipped: Mapping[int, float]
    """Test accuracy with test-time flip, where the recipe asks for it."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Run:
    """What a run folder holds; ``stages`` is empty where only a summary was asked for."""

    label: str
    """The folder's name, made unique among the runs of a report."""
    folder: Path
    recipe: Mapping[str, Any]
    checksum: str
    result: RunResult | None
    order: tuple[StageFacts, ...]
    """The stages of every seed, in the order they run, as far as the folder says which."""
    counted: bool
    """Whether ``order`` is all of them: a folder of version 0.2 does not say."""
    stages: tuple[Stage, ...]
    sample: tuple[str, Sample] | None
    """The stage whose sample is shown, the ticket's if it has one, and the sample."""
    answers: Answers | None
    """Labels of the test set, and pictures of a few samples."""
    notes: tuple[str, ...]

    @property
    def name(self) -> str:
        """The recipe's name."""
        return str(self.recipe.get("name") or self.label)

    def named(self, section: str, default: str = "") -> str:
        """The ``name`` in a section of the recipe."""
        found = self.recipe.get(section)
        return str(found.get("name", default)) if isinstance(found, dict) else default

    @property
    def outcome(self) -> str:
        """The verdict in a word, or ``unfinished``."""
        return self.result.verdict.outcome if self.result else "unfinished"

    @property
    def seeds(self) -> tuple[int, ...]:
        """Those of the verdict, or else those that were begun."""
        if self.result:
            return tuple(self.result.seeds)
        return tuple(sorted({stage.seed for stage in self.stages}))

    @property
    def ladder(self) -> bool:
        """Whether the ticket is one of a transformer's patches."""
        return any(stage.rung for stage in self.order)

    @property
    def main(self) -> str:
        """The stage that is the ticket."""
        tickets = [stage.name for stage in self.order if stage.role == "ticket"]
        return tickets[-1] if tickets else "ticket"

    @property
    def expected(self) -> tuple[str, ...]:
        """The names of the stages of every seed."""
        return tuple(stage.name for stage in self.order)

    @property
    def confidence(self) -> float:
        """Two-sided coverage of every interval."""
        if self.result:
            return self.result.verdict.confidence
        rules = self.recipe.get("verdict")
        given = rules.get("confidence") if isinstance(rules, dict) else None
        return given if isinstance(given, float) and 0 < given < 1 else 0.95

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """The stages with a result in order, over their seeds."""
        if self.result:
            return tuple(self._row(row, self.result.seeds) for row in self.result.stages)
        found = []
        for name in dict.fromkeys((*self.expected, *(s.name for s in self.stages))):
            done = {s.seed: s.result for s in self.stages if s.name == name and s.result}
            if done:
                facts = next(iter(done.values()))
                test = {seed: r.test_accuracy for seed, r in done.items()}
                validation = {seed: r.validation_accuracy for seed, r in done.items()}
                flipped = {seed: r.test_accuracy_flip for seed, r in done.items()}
                found.append(
                    Row(
                        name=name,
                        title=self.title(name),
                        facts=facts,
                        test=test,
                        validation=validation,
                        flipped={seed: a for seed, a in flipped.items() if a is not None},
                    )
                )
        return tuple(found)

    @cached_property
    def pairs(self) -> tuple[Compared, ...]:
        """The verdict's comparisons in the order of the stages."""
        found = self.result.verdict.pairs if self.result else []
        place = {row.name: index for index, row in enumerate(self.rows)}
        last = len(place)
        return tuple(
            sorted(found, key=lambda p: (place.get(p.ticket, last), place.get(p.control, last)))
        )

    @property
    def twins(self) -> frozenset[str]:
        """Stages that are shown beside the ticket and never judged."""
        verdict = self.result.verdict if self.result else None
        rungs = (verdict, *verdict.rungs.values()) if verdict else ()
        return frozenset(name for rung in rungs for name in rung.beside)

    @property
    def strongest(self) -> Compared | None:
        """The comparison with the strongest trained control beside the dense net."""
        found = self.result.verdict.comparisons if self.result else {}
        rows = ((name, pair.control_accuracy, pair.trained) for name, pair in found.items())
        best = strongest(rows)
        return found[best] if best else None

    @property
    def samples(self) -> int | None:
        """Number of test samples, where it is known."""
        known = [pair.samples for pair in self.pairs if pair.samples]
        known += [len(s.predictions) for s in self.stages if s.predictions is not None]
        return known[0] if known else None

    def title(self, stage: str) -> str:
        """A stage in words."""
        known = self.result.stages if self.result else ()
        found = [row.title for row in known if row.stage == stage]
        found += [facts.title for facts in self.order if facts.name == stage]
        return next(filter(None, found), stage.replace("_", " "))

    def stages_of(self, name: str) -> list[Stage]:
        """The seeds of a stage, in order."""
        return [stage for stage in self.stages if stage.name == name]

    def measured(self, stage: str) -> Totals | None:
        """The measurement of a stage's first measured seed."""
        return next((s.measure for s in self.stages_of(stage) if s.measure), None)

    def layers_of(self, stage: str) -> Measure | None:
        """The same with its layers; None for stages that are not shown layer by layer."""
        found = self.measured(stage)
        return found if isinstance(found, Measure) else None

    def _row(self, row: StageRow, seeds: Sequence[int]) -> Row:
        test = dict(zip(seeds, row.test_accuracy, strict=True))
        validation = dict(zip(seeds, row.validation_accuracy, strict=False))
        return Row(
            name=row.stage,
            title=self.title(row.stage),
            facts=row,
            test=test,
            validation=validation,
            flipped=dict(zip(seeds, row.test_accuracy_flip, strict=False)),
        )
