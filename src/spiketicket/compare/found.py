"""What the runs of a comparison came to: accuracy, verdict and the whole cost of each ticket."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from spiketicket.compare.entries import Entry
from spiketicket.errors import UserError
from spiketicket.experiment.conclude import is_finished
from spiketicket.experiment.folder import RunFolder
from spiketicket.experiment.results import filled_result, read_table, required_result
from spiketicket.experiment.schemas import RunResult, StageResult
from spiketicket.machine.above import brief
from spiketicket.machine.typed import typed
from spiketicket.methods.stages import stages_of
from spiketicket.recipe import Recipe, to_dict
from spiketicket.report.notebook import Figures
from spiketicket.report.numbers import Spread, spread
from spiketicket.verdict.comparison import strongest


@dataclass(frozen=True)
class Cost:
    """What trainings cost a seed, means over the seeds."""

    trainings: int
    epochs: float
    sample_passes: float
    """Training samples passed forward and back."""
    wall_s: float
    """Seconds, also of stages that were trained once for several runs."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One method at one density."""

    method: str
    asked: float
    density: float
    accuracy: Mapping[int, float]
    """Test accuracy in percent by seed."""
    difference: float | None
    """Ticket minus the dense net, in percentage points."""
    low: float | None
    high: float | None
    control: str | None
    """The strongest trained control beside the dense net."""
    control_accuracy: tuple[float, ...] | None
    """Its test accuracies."""
    outcome: str
    cost: Cost
    file_bytes: float
    hash: str


@dataclass(frozen=True, kw_only=True)
class Compared:
    """A comparison; ``missing`` names the runs that are not finished."""

    recipe: Recipe
    budget: str
    samples: int | None
    """Test samples."""
    dense: Mapping[int, float]
    """Test accuracy of the dense net in percent by seed; empty where there is none."""
    dense_cost: Cost | None
    rows: tuple[Row, ...]
    missing: tuple[str, ...]
    machine: Mapping[str, Any]

    def __repr__(self) -> str:
        told = [f"{len(self.rows)} runs of {len(self.methods)} methods: {', '.join(self.methods)}"]
        if self.missing:
            told.append(f"not finished: {', '.join(self.missing)}")
        lines = [f"Compared {brief(self.recipe.name)}", *map(brief, told)]
        return "<" + "\n  ".join(lines) + ">"

    def _repr_html_(self) -> str:
        from spiketicket.compare.writing import comparison_html

        return comparison_html(self)

    @property
    def verdict(self) -> dict[str, str]:
        """The outcome by method and density: ``"imp at 0.2"``."""
        return {f"{row.method} at {row.asked:g}": row.outcome for row in self.rows}

    def plot(self) -> Figures:
        """Accuracy against density and against the cost of the search, as figures that a notebook
        shows; ``save(folder)`` writes them.
        """
        from spiketicket.compare.figures import figures

        return Figures(figures(self))

    def report(self, folder: Path | str) -> Path:
        """Write the page of the comparison with its figures into a folder; returns the page.

        Raises:
            UserError: the folder cannot be written.
        """
        from spiketicket.compare.writing import write_comparison

        return write_comparison(self, Path(folder))[0]

    @property
    def methods(self) -> tuple[str, ...]:
        """In the order they were given."""
        return tuple(dict.fromkeys(row.method for row in self.rows))

    def spread(self, accuracy: Mapping[int, float]) -> Spread:
        """Mean and intervals of accuracies by seed."""
        return spread(accuracy, self.samples, self.recipe.verdict.confidence)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "name": self.recipe.name,
            "budget": self.budget,
            "test_samples": self.samples,
            "dense": {
                "accuracy": _by_seed(self.dense),
                "cost": None if self.dense_cost is None else asdict(self.dense_cost),
            },
            "rows": [{**asdict(row), "accuracy": _by_seed(row.accuracy)} for row in self.rows],
            "missing": list(self.missing),
            **self.machine,
        }

    def record(self, name: str) -> dict[str, Any]:
        """The line for ``results/``; ``name`` tells comparisons apart."""
        recipe = {k: v for k, v in to_dict(self.recipe).items() if k != "ticket"}
        return {**self.to_dict(), "hash": name, "recipe": recipe}


def _by_seed(values: Mapping[int, float]) -> dict[str, float]:
    return {str(seed): value for seed, value in values.items()}


@typed
def collect(entries: Sequence[Entry], runs_dir: Path, budget: str = "each") -> Compared:
    """Read the runs of a comparison; trains nothing.

    Raises:
        UserError: none of them is finished, or a file is missing or damaged.
    """
    rows, missing = [], []
    dense: dict[int, float] = {}
    dense_cost = samples = None
    machine: dict[str, Any] = {}
    for entry in entries:
        run = entry.run
        if not is_finished(run.recipe, run.seeds, runs_dir=runs_dir):
            missing.append(f"{entry.method} at {entry.density:g}")
            continue
        folder = RunFolder(runs_dir / run.folder)
        result = filled_result(folder.result, RunResult)
        rows.append(_row(entry, folder, result))
        stages = {stage["stage"]: stage for stage in result["stages"]}
        if "dense" in stages and not dense:
            dense = dict(zip(run.seeds, stages["dense"]["test_accuracy"], strict=True))
            dense_cost = _cost(folder, run.seeds, ("dense",))
        compared = result["verdict"]["comparisons"].values()
        samples = samples or next((c["samples"] for c in compared if c["samples"]), None)
        timing = read_table(folder.seed(run.seeds[0]).stage("ticket").timing, {})
        machine = machine or {k: v for k, v in timing.items() if k not in ("wall_s", "shared")}
    if not rows:
        raise UserError("none of the runs is finished", where="compare", value=len(entries))
    recipe = entries[0].run.recipe
    return Compared(
        recipe=recipe,
        budget=budget,
        samples=samples,
        dense=dense,
        dense_cost=dense_cost,
        rows=tuple(rows),
        missing=tuple(missing),
        machine=machine,
    )


def _row(entry: Entry, folder: RunFolder, result: Mapping[str, Any]) -> Row:
    run = entry.run
    search = [s.name for s in stages_of(run.recipe) if s.role in ("search", "ticket")]
    stages = {stage["stage"]: stage for stage in result["stages"]}
    ticket = stages["ticket"]
    compared = result["verdict"]["comparisons"]
    against = compared.get("dense", {})
    rows = ((name, pair["control_accuracy"], pair["trained"]) for name, pair in compared.items())
    control = strongest(rows)
    return Row(
        method=entry.method,
        asked=entry.density,
        density=ticket["density"],
        accuracy=dict(zip(run.seeds, ticket["test_accuracy"], strict=True)),
        difference=against.get("difference"),
        low=against.get("low"),
        high=against.get("high"),
        control=control,
        control_accuracy=None if control is None else tuple(stages[control]["test_accuracy"]),
        outcome=result["verdict"]["outcome"],
        cost=_cost(folder, run.seeds, search),
        file_bytes=ticket["file_bytes"],
        hash=run.recipe.hash,
    )


def _cost(folder: RunFolder, seeds: Sequence[int], stages: Sequence[str]) -> Cost:
    """What some stages cost together."""
    places = [[folder.seed(seed).stage(name) for name in stages] for seed in seeds]
    results = [[required_result(place.result, StageResult) for place in own] for own in places]
    timings = [
        [read_table(place.timing, {"wall_s": (int, float)}) for place in own] for own in places
    ]
    return Cost(
        len(stages),
        fmean(sum(stage["trained_epochs"] for stage in own) for own in results),
        fmean(sum(stage.get("sample_passes", 0) for stage in own) for own in results),
        round(fmean(sum(stage["wall_s"] for stage in own) for own in timings), 3),
    )
