"""One recipe, one run folder: every stage for every seed, the tickets, and the verdict.

    runs/<name>-<hash>/recipe.toml
                       data.json                 name and checksum of the data
                       root.json                 where the data lies on this machine
                       result.json               the verdict over the seeds asked for last
                       <name>-seed<s>.ticket     the ticket, with the verdict in it
                       seed-<s>/<stage>/           see stage.py

Every stage is skipped when its result is there, so a stopped run goes on where it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spiketicket.data import training_split
from spiketicket.data.of_ticket import find_test_data
from spiketicket.errors import UserError
from spiketicket.experiment.budgets import planned_stages
from spiketicket.experiment.seed import (
    Context,
    held_briefly,
    prepare_experiment,
    run_dense,
    run_seed,
    seed_folder,
)
from spiketicket.experiment.stage import Experiment, StageOutcome
from spiketicket.experiment.threads import kept
from spiketicket.machine.files import explained
from spiketicket.machine.run_files import read_result, write_result
from spiketicket.machine.run_models import RunResult
from spiketicket.machine.typed import typed
from spiketicket.machine.workers import Workers, joined
from spiketicket.methods.controls import StageName
from spiketicket.methods.ladder import condition, is_ladder, main_stage, plans, stage_names
from spiketicket.progress import NullReporter, Reporter, tell_plan
from spiketicket.recipe import Recipe, to_dict
from spiketicket.recipe.consent import Consent, given, require_recipe
from spiketicket.ticket import Ticket
from spiketicket.training.evaluate import evaluate
from spiketicket.verdict.rules import StageScores, judge
from spiketicket.verdict.rungs import compare_tuning, judge_ladder


@dataclass(frozen=True)
class FindResult:
    """The outcome of :func:`find`; see :meth:`to_dict` for what it holds."""

    recipe: Recipe
    folder: Path
    seeds: tuple[int, ...]
    stages: Mapping[StageName, tuple[StageOutcome, ...]]
    verdict: Mapping[str, Any]
    tickets: tuple[Path, ...]
    notes: tuple[str, ...] = ()
    """What is to be known about how the data was read."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-able: verdict, and for every stage its accuracies in percent, a value per seed."""
        timing = self.stages[main_stage(self.recipe)][0].timing
        return {
            "name": self.recipe.name,
            "hash": self.recipe.hash,
            "folder": str(self.folder),
            "seeds": list(self.seeds),
            "condition": condition(self.recipe),
            "notes": list(self.notes),
            "device": timing["device"],
            "threads": timing["threads"],
            "verdict": dict(self.verdict),
            "stages": [_stage_row(results) for results in self.stages.values()],
            "tickets": [str(path) for path in self.tickets],
        }

    def record(self) -> dict[str, Any]:
        """The line for ``results/``: :meth:`to_dict` without paths, with recipe and machine."""
        timing = self.stages[main_stage(self.recipe)][0].timing
        rest = {k: v for k, v in self.to_dict().items() if k not in ("folder", "tickets")}
        machine = {k: v for k, v in timing.items() if k != "wall_s"}
        return {**rest, **machine, "recipe": to_dict(self.recipe)}


@typed
def find(
    recipe: Recipe,
    *,
    seeds: int = 1,
    runs_dir: Path | str = "runs",
    device: str = "cpu",
    threads: int | None = None,
    reporter: Reporter | None = None,
    network: str = "",
    options: Mapping[str, Any] | None = None,
    trust_options: bool = False,
) -> FindResult:
    """Search a ticket and train its controls, for seeds ``recipe.seed .. recipe.seed + seeds - 1``.

    A finished stage is read, an interrupted one goes on from its checkpoint. Under ``torchrun`` all
    processes share every training, see :mod:`spiketicket.machine.workers`. A network of
    your own, and the arguments of its function, must be named here too, as the recipe names them:
    ``network="mynet:make"``, and ``options``, or ``trust_options`` to take the recipe's; see
    :mod:`spiketicket.recipe.consent`.

    Raises:
        UserError: missing data, a full or read-only disk, a seed in use by another process,
            a loss that is not a number, no consent.
    """
    consent = Consent(network, options, trust_options)
    with given(consent), kept(), joined(device) as workers:
        require_recipe(recipe)
        chosen = recipe.repetitions(seeds)
        context = _context(device, threads, reporter, workers)
        experiment = prepare_experiment(recipe, context)
        folder = Path(runs_dir) / recipe.folder_name
        if experiment.dataset.train.groups is not None:
            for seed in chosen:  # a split that cannot be shows now, not hours later
                training_split(experiment.dataset, recipe.data, seed)
        places = [(seed, seed_folder(folder, seed)) for seed in chosen]
        tell_plan(context.reporter, planned_stages(recipe, places))
        results = [run_seed(experiment, folder, seed, context) for seed in chosen]
        return _concluded(experiment, folder, chosen, results, context)


def _context(
    device: str, threads: int | None, reporter: Reporter | None, workers: Workers
) -> Context:
    listener = reporter if reporter is not None and workers.first else NullReporter()
    return Context(device, threads, listener, workers=workers)


def conclude(
    recipe: Recipe,
    seeds: Sequence[int],
    *,
    runs_dir: Path | str = "runs",
    context: Context | None = None,
) -> FindResult:
    """Judge a run whose seeds are all done, as :func:`find` does at its end; trains nothing.

    Raises:
        UserError: a stage is not finished, or as :func:`find`.
    """
    context = context or Context()
    folder = Path(runs_dir) / recipe.folder_name
    for place in (stage_folders(folder, recipe, seed) for seed in seeds):
        if missing := [p.name for p in place if not (p / "result.json").exists()]:
            raise UserError("is not finished", where=str(place[0].parent), value=missing)
    with kept():
        experiment = prepare_experiment(recipe, context)
        results = [run_seed(experiment, folder, seed, context) for seed in seeds]
        return _concluded(experiment, folder, tuple(seeds), results, context)


def is_finished(recipe: Recipe, seeds: Sequence[int], *, runs_dir: Path | str = "runs") -> bool:
    """Whether a run has all stages of these seeds, their tickets, and the verdict over them."""
    folder = Path(runs_dir) / recipe.folder_name
    stages = [p / "result.json" for seed in seeds for p in stage_folders(folder, recipe, seed)]
    tickets = [_final_ticket(folder, recipe, seed) for seed in seeds]
    if not all(path.exists() for path in [*stages, *tickets]):
        return False
    judged = read_result(folder / "result.json", RunResult)
    return judged is not None and judged["seeds"] == list(seeds)


def stage_folders(folder: Path, recipe: Recipe, seed: int) -> list[Path]:
    """The folders of a seed's stages."""
    return [seed_folder(folder, seed) / name for name in stage_names(recipe)]


def _concluded(
    experiment: Experiment,
    folder: Path,
    seeds: tuple[int, ...],
    results: Sequence[Mapping[StageName, StageOutcome]],
    context: Context,
) -> FindResult:
    recipe = experiment.recipe
    stages = {name: tuple(done[name] for done in results) for name in stage_names(recipe)}
    tickets = tuple(_final_ticket(folder, recipe, seed) for seed in seeds)
    verdict = _verdict(recipe, stages, experiment)
    notes = tuple(n for n in experiment.dataset.notes if "cache" not in n)
    found = FindResult(recipe, folder, seeds, stages, verdict, tickets, notes)
    stated = _without_times(found.to_dict())
    if not context.workers.first:
        return found
    if all(t.exists() for t in tickets) and read_result(folder / "result.json") == stated:
        return found
    with held_briefly(folder, context):
        for result in stages[main_stage(recipe)]:
            experiment.guard()
            _save_final_ticket(folder, recipe, result, verdict)
        experiment.guard()
        write_result(folder / "result.json", stated)
        (folder / "error.json").unlink(missing_ok=True)
    return found


@typed
def train_dense(
    recipe: Recipe,
    *,
    runs_dir: Path | str = "runs",
    device: str = "cpu",
    threads: int | None = None,
    reporter: Reporter | None = None,
    network: str = "",
    options: Mapping[str, Any] | None = None,
    trust_options: bool = False,
) -> StageOutcome:
    """Train only the dense net of a recipe, in the same run folder as :func:`find` would.

    Raises:
        UserError: as :func:`find`.
    """
    consent = Consent(network, options, trust_options)
    with given(consent), kept(), joined(device) as workers:
        require_recipe(recipe)
        context = _context(device, threads, reporter, workers)
        experiment = prepare_experiment(recipe, context)
        folder = Path(runs_dir) / recipe.folder_name
        place = seed_folder(folder, recipe.seed)
        tell_plan(context.reporter, planned_stages(recipe, [(recipe.seed, place)], ("dense",)))
        return run_dense(experiment, folder, recipe.seed, context)


def stage_record(recipe: Recipe, result: StageOutcome) -> dict[str, Any]:
    """The line for ``results/`` of one stage: its row, with recipe and machine."""
    machine = {k: v for k, v in result.timing.items() if k != "wall_s"}
    return {
        "name": recipe.name,
        "hash": recipe.hash,
        "seeds": [result.seed],
        "condition": condition(recipe),
        "stages": [result.to_dict()],
        **machine,
        "recipe": to_dict(recipe),
    }


@dataclass(frozen=True)
class EvalResult:
    """Accuracy of a ticket file, beside what the file itself states (percent)."""

    ticket: Path
    dataset: str
    test_count: int
    test_accuracy: float
    stated_accuracy: float | None
    device: str

    @property
    def reached(self) -> bool | None:
        """Whether the stated accuracy is reached, see :func:`is_reached`; None if none is."""
        stated = self.stated_accuracy
        return None if stated is None else is_reached(self.test_accuracy, stated, self.test_count)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able facts, in the order to show them."""
        return {
            "ticket": str(self.ticket),
            "dataset": self.dataset,
            "test_count": self.test_count,
            "test_accuracy": self.test_accuracy,
            "stated_accuracy": self.stated_accuracy,
            "reached": self.reached,
            "device": self.device,
        }


def is_reached(measured: float, stated: float, count: int) -> bool:
    """Whether an accuracy of ``count`` samples is that which was stated, both in percent.

    On another processor a spike at the threshold may fall otherwise: half a point, or one sample,
    may be missing.
    """
    return measured >= stated - max(0.5, 100 / count) - 1e-9


@typed
def evaluate_ticket(
    path: Path | str,
    *,
    root: str = "",
    device: str = "cpu",
    network: str = "",
    options: Mapping[str, Any] | None = None,
    trust_options: bool = False,
) -> EvalResult:
    """Load a ticket and measure it on the test set it names, in float32.

    ``network``, ``options`` and ``trust_options`` are for a custom network, as ``own`` and
    the other arguments of :func:`spiketicket.from_ticket`.

    Raises:
        TicketError: the file is no sound ticket, or not of a network of this package.
        UserError: the data is missing, or is not the data the ticket was made for.
    """
    from spiketicket.models.of_ticket import from_ticket

    ticket = Ticket.load(path)
    model = from_ticket(ticket, network=network, options=options, trust_options=trust_options)
    data = find_test_data(ticket, path, root=root)
    result = evaluate(model.to(device), data.batches(device))
    name, count = data.dataset.name, len(data.dataset.test)
    return EvalResult(Path(path), name, count, 100 * result.accuracy, data.stated_accuracy, device)


def _verdict(
    recipe: Recipe, stages: Mapping[StageName, Sequence[StageOutcome]], experiment: Experiment
) -> dict[str, Any]:
    truth = experiment.dataset.test.y
    scores = {
        name: StageScores(
            [r.test_accuracy for r in results],
            [r.predictions_of(len(truth)) == truth for r in results],
        )
        for name, results in stages.items()
    }
    rules = recipe.verdict
    if is_ladder(recipe):
        rungs = [(p.name, p.rung) for p in plans(recipe) if p.rung]
        right = truth == np.bincount(truth).argmax()
        seeds = len(next(iter(scores.values())).accuracy)
        scores["constant"] = StageScores([100 * right.mean()] * seeds, [right] * seeds)
        return judge_ladder(scores, rungs, rules.margin, rules.confidence)
    verdict = judge(
        scores["ticket"],
        scores.get("dense"),
        scores.get("random_trained"),
        scores.get("random_frozen"),
        margin=rules.margin,
        confidence=rules.confidence,
    )
    return _with_tuning(verdict.to_dict(), scores, rules.confidence)


def _with_tuning(
    verdict: dict[str, Any], scores: Mapping[StageName, StageScores], confidence: float
) -> dict[str, Any]:
    """The verdict, and what fine-tuning has changed where there was any; it decides nothing."""
    if "ticket_finetuned" not in scores:
        return verdict
    rows, sentence = compare_tuning("ticket", scores, confidence)
    return {**verdict, "sentences": [*verdict["sentences"], sentence], "fine_tuning": rows}


def _final_ticket(folder: Path, recipe: Recipe, seed: int) -> Path:
    return folder / f"{recipe.name}-seed{seed}.ticket"


def _save_final_ticket(
    folder: Path, recipe: Recipe, result: StageOutcome, verdict: Mapping[str, Any]
) -> None:
    ticket = Ticket.load(result.ticket)
    whole = Ticket(ticket.layers, ticket.tensors, {**ticket.metadata, "verdict": verdict})
    with explained(folder):
        whole.save(_final_ticket(folder, recipe, result.seed))


def _stage_row(results: Sequence[StageOutcome]) -> dict[str, Any]:
    rows = [r.to_dict() for r in results]
    return {
        **rows[0],
        **_over_seeds(rows),
        **_cost(rows),
        "test_accuracy": [r["test_accuracy"][0] for r in rows],
        "validation_accuracy": [r["validation_accuracy"][0] for r in rows],
        "wall_s": sum(r["wall_s"] or 0.0 for r in rows),
    }


def _cost(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Epochs and samples per seed, as means, and what each seed's search found."""
    means = {
        key: rows[0][key]
        if len({row[key] for row in rows}) == 1
        else sum(row[key] for row in rows) / len(rows)
        for key in ("trained_epochs", "sample_passes")
        if all(key in row for row in rows)
    }
    if "search" not in rows[0]:
        return means
    return means | {
        "search": {key: _alike([r["search"][key] for r in rows]) for key in rows[0]["search"]}
    }


def _alike(values: Sequence[Any]) -> Any:
    return values[0] if all(value == values[0] for value in values) else list(values)


def _over_seeds(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Operations as means over the seeds, and the rankings that the seeds came to."""
    if "operations" not in rows[0]:
        return {}
    counted = [row["operations"] for row in rows]
    mean = {
        group: {k: sum(c[group][k] for c in counted) / len(counted) for k in counts}
        for group, counts in counted[0].items()
        if group != "images"
    }
    rankings = sorted({str(row["ranking"]) for row in rows})
    return {"operations": {"images": counted[0]["images"], **mean}, "rankings": rankings}


def _without_times(result: dict[str, Any]) -> dict[str, Any]:
    """What is the same however often the run was interrupted, and wherever its folder is."""
    stages = [{k: v for k, v in stage.items() if k != "wall_s"} for stage in result["stages"]]
    rest = {k: v for k, v in result.items() if k not in ("folder", "tickets")}
    return {**rest, "stages": stages, "tickets": [Path(t).name for t in result["tickets"]]}
