"""From run folders to rows: one a cell, with every stage's accuracies and what they are a test of.

Whatever is finished counts, stage by stage, so that a study that was killed shows what there is.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spiketicket.data import load_dataset
from spiketicket.errors import UserError
from spiketicket.experiment.folder import RunFolder, StageFolder
from spiketicket.experiment.record import without_root
from spiketicket.experiment.results import (
    read_predictions,
    read_result,
    read_table,
    required_result,
)
from spiketicket.experiment.schemas import RunResult, StageResult
from spiketicket.machine.files import read_json
from spiketicket.methods.stages import Stage, condition, stages_of, ticket_of
from spiketicket.recipe import DataConfig, Recipe, to_dict
from spiketicket.report.numbers import spread
from spiketicket.reproduce.cells import Cell
from spiketicket.verdict import intervals
from spiketicket.verdict.intervals import Estimate
from spiketicket.verdict.rules import Comparison, StageScores, compare

ENERGY_TABLE = "45nm-fp32"
_FACTS = ("density", "kept", "parameters", "tokens", "conv_pep_density", "net_density")


@dataclass(frozen=True, kw_only=True)
class StageRow:
    """One finished stage of a cell: what each of its finished seeds has reached.

    ``right`` says of each seed which test samples it got right; ``energy_pj`` is the arithmetic of
    an image by the 45 nm float32 table, where operations were counted, and ``dense_pj`` the same
    with every weight multiplied at every place.
    """

    name: str
    title: str
    accuracy: Mapping[int, float]
    right: Mapping[int, NDArray[np.bool_]]
    energy_pj: Mapping[int, float]
    operations: Mapping[int, Mapping[str, float]]
    facts: Mapping[str, Any]
    wall_s: float
    dense_pj: Mapping[int, float] = field(default_factory=dict)

    def energy(self, price: str) -> Mapping[int, float]:
        """Picojoules per image for each seed: ``nonzero`` inputs multiplied, or ``all`` weights."""
        return self.dense_pj if price == "all" else self.energy_pj

    @property
    def mean(self) -> float:
        """Over the seeds, in percent."""
        return intervals.mean(list(self.accuracy.values()))

    def interval(self, confidence: float) -> Estimate | None:
        """Over the seeds; with one seed over the test samples; in percent."""
        samples = next((right.size for right in self.right.values()), None)
        return spread(self.accuracy, samples, confidence).interval


@dataclass(frozen=True, kw_only=True)
class Row:
    """A cell with what its run folder holds."""

    cell: Cell
    folder: Path
    stages: Mapping[str, StageRow]
    verdict: Mapping[str, Any]
    """Empty where the run is not judged yet over the seeds asked for."""
    machine: Mapping[str, Any] = field(default_factory=dict)
    constant: float | None = None
    """Accuracy in percent of always answering the most frequent class of the test set."""

    @property
    def missing(self) -> tuple[str, ...]:
        """Stages that are not finished: ``seed 1: dense``."""
        return tuple(
            f"seed {seed}: {stage.title}"
            for seed in self.cell.seeds
            for stage in stages_of(self.cell.recipe)
            if stage.name not in self.stages or seed not in self.stages[stage.name].accuracy
        )

    def stage(self, role: str) -> StageRow | None:
        """A stage by its stage or role, if it is there."""
        return self.stages.get(stage_of(self.cell.recipe, role))

    def learned(self, role: str) -> bool:
        """Whether a stage is shown to be better than the constant answer."""
        stage = self.stage(role)
        found = stage and stage.interval(self.cell.recipe.verdict.confidence)
        if not found:
            return False
        return self.constant is None or found.low > self.constant

    def to_dict(self) -> dict[str, Any]:
        """The line of the study's file."""
        cell = self.cell
        confidence = cell.recipe.verdict.confidence
        return {
            "study": cell.study,
            "panel": cell.panel,
            "panel_title": cell.title,
            "series": cell.series,
            "x": cell.x,
            "name": cell.recipe.name,
            "hash": cell.recipe.hash,
            "condition": condition(cell.recipe),
            "seeds": list(cell.seeds),
            "finished": not self.missing,
            **self.machine,
            "wall_s": round(sum(stage.wall_s for stage in self.stages.values()), 3),
            "stages": [_stage_dict(stage, confidence) for stage in self.stages.values()],
            "outcome": self.verdict.get("outcome"),
            "sentences": self.verdict.get("sentences", []),
            "recipe": without_root(to_dict(cell.recipe)),
        }


def stage_of(recipe: Recipe, role: str) -> str:
    """The stage that plays a role in a recipe: its own name, or one of these.

    ``main`` is the recipe's ticket, ``finetuned`` and ``finetune_control`` are those of it, and
    ``random`` is the trained net with a random mask or random patches in the ticket's place.
    """
    main = ticket_of(stages_of(recipe)).name
    if role == "random":
        others = {"patch": "patch_random", "ticket": "random_trained"}
        return others.get(main, f"{main}_random_trained")
    known = {
        "main": main,
        "finetuned": f"{main}_finetuned",
        "finetune_control": f"{main}_finetune_control",
    }
    return known.get(role, role)


def collect(cells: Iterable[Cell], runs_dir: Path) -> list[Row]:
    """What the run folders of some cells hold, in the order of the cells.

    Raises:
        UserError: a damaged file.
    """
    truth = _Truth()
    return [_row(cell, RunFolder.of(cell.recipe, runs_dir), truth) for cell in cells]


class _Truth:
    """Classes of the test sets, each read once."""

    def __init__(self) -> None:
        self._known: dict[str, NDArray[np.int64] | None] = {}

    def of(self, config: DataConfig) -> NDArray[np.int64] | None:
        key = repr(config.model_copy(update={"train_limit": None}))
        if key not in self._known:
            try:
                self._known[key] = load_dataset(config).test.y
            except UserError:
                self._known[key] = None  # drawn elsewhere than run: accuracies are enough
        return self._known[key]


def _row(cell: Cell, folder: RunFolder, truth: _Truth) -> Row:
    stages: dict[str, StageRow] = {}
    machine: dict[str, Any] = {}
    for stage in stages_of(cell.recipe):
        places = {s: folder.seed(s).stage(stage.name) for s in cell.seeds}
        done = {s: place for s, place in places.items() if place.finished}
        if done:
            stages[stage.name] = _stage(stage, done, truth.of(cell.recipe.data))
            timing = _timing(next(iter(done.values())))
            machine = {k: timing[k] for k in ("device", "threads", "spiketicket") if k in timing}
    judged = read_result(folder.result, RunResult) or {}
    verdict = judged.get("verdict", {}) if judged.get("seeds") == list(cell.seeds) else {}
    classes = truth.of(cell.recipe.data) if stages else None
    constant = None if classes is None else 100 * float(np.bincount(classes).max() / classes.size)
    return Row(
        cell=cell,
        folder=folder.path,
        stages=stages,
        verdict=verdict,
        machine=machine,
        constant=constant,
    )


def _stage(
    stage: Stage, stages: Mapping[int, StageFolder], truth: NDArray[np.int64] | None
) -> StageRow:
    results = {s: required_result(path.result, StageResult) for s, path in stages.items()}
    timings = [_timing(path) for path in stages.values()]
    measured = {s: _measured(path.measure) for s, path in stages.items()}
    first = next(iter(results.values()))
    return StageRow(
        name=stage.name,
        title=stage.title,
        accuracy={s: float(found["test_accuracy"]) for s, found in results.items()},
        right={s: r for s, path in stages.items() if (r := _right(path, truth)) is not None},
        energy_pj=_energies(measured, "total_pj"),
        dense_pj=_energies(measured, "dense_pj"),
        operations={s: dict(found["total"]) for s, found in measured.items() if found},
        facts={k: first[k] for k in _FACTS if k in first},
        wall_s=sum(t.get("wall_s", 0.0) for t in timings),
    )


def _timing(stage: StageFolder) -> dict[str, Any]:
    path = stage.timing
    return read_table(path, {"wall_s": (int, float)}) if path.exists() else {}


def _measured(path: Path) -> dict[str, Any] | None:
    """What is read here of a ``measure.json``; a damaged one is as none."""
    found = read_json(path)
    if not isinstance(found, dict) or not isinstance(found.get("total"), dict):
        return None
    rows = found.get("energy")
    sound = isinstance(rows, list) and all(isinstance(row, dict) for row in rows)
    return found if sound else None


def _right(path: StageFolder, truth: NDArray[np.int64] | None) -> NDArray[np.bool_] | None:
    """The test samples that a stage got right, where its predictions are of this test set."""
    if truth is None:
        return None
    try:
        predicted = read_predictions(path.predictions, len(truth))
    except (OSError, UserError):
        return None
    return np.asarray(predicted == truth)


def _energies(measured: Mapping[int, Mapping[str, Any] | None], key: str) -> dict[int, float]:
    """A price by the 45 nm float32 table, for each seed that has it as a finite number."""
    rows: dict[int, dict[str, Any]] = {
        seed: next((r for r in found.get("energy", ()) if r.get("table") == ENERGY_TABLE), {})
        for seed, found in measured.items()
        if found
    }
    return {
        seed: float(row[key])
        for seed, row in rows.items()
        if isinstance(row.get(key), int | float) and math.isfinite(row[key])
    }


def compared(a: StageRow, b: StageRow, confidence: float) -> Comparison | None:
    """``a`` minus ``b`` over the seeds that both have, by the rules of the verdict; else None."""
    seeds = [s for s in a.accuracy if s in b.accuracy]
    if not seeds:
        return None
    return compare(b.name, _scores(a, seeds), _scores(b, seeds), confidence)


def _scores(stage: StageRow, seeds: Sequence[int]) -> StageScores:
    known = all(s in stage.right for s in seeds)
    right = [stage.right[s] for s in seeds] if known else None
    return StageScores([stage.accuracy[s] for s in seeds], right)


def _stage_dict(stage: StageRow, confidence: float) -> dict[str, Any]:
    interval = stage.interval(confidence)
    found: dict[str, Any] = {
        "stage": stage.name,
        "title": stage.title,
        "seeds": list(stage.accuracy),
        "test_accuracy": list(stage.accuracy.values()),
        "mean": stage.mean,
        "low": interval and interval.low,
        "high": interval and interval.high,
        **stage.facts,
    }
    if stage.energy_pj:
        found["energy_pj"] = list(stage.energy_pj.values())
    if stage.operations:
        found["operations"] = list(stage.operations.values())
    return found


def to_lines(rows: Sequence[Row]) -> str:
    """Rows that have anything, as JSON lines."""
    return "".join(
        json.dumps(row.to_dict(), sort_keys=True, allow_nan=False) + "\n"
        for row in rows
        if row.stages
    )
