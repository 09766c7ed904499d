"""One recipe, one run folder: every arm for every seed, the tickets, and the verdict.

    runs/<name>-<hash>/recipe.toml
                       data.json                 name and checksum of the data
                       result.json               the verdict over the seeds asked for last
                       <name>-seed<s>.ticket     the ticket, with the verdict in it
                       seed-<s>/<arm>/           see stage.py

Every stage is skipped when its result is there, so a stopped run goes on where it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from spiketicket import _allocator, _processor
from spiketicket._files import explained, read_json, write_bytes, write_json
from spiketicket.arms import ArmName
from spiketicket.claim import claimed
from spiketicket.data import load_dataset, training_split
from spiketicket.errors import UserError
from spiketicket.ladder import arm_names, check, condition, is_ladder, main_arm, plans
from spiketicket.measure.accuracy import evaluate
from spiketicket.measure.ladder import judge_ladder
from spiketicket.measure.verdict import ArmScores, judge
from spiketicket.neurons import _native
from spiketicket.recipe import Recipe, to_dict, to_toml
from spiketicket.reporting import NullReporter, Reporter
from spiketicket.stage import ArmResult, Experiment, run_arm
from spiketicket.ticket import Ticket
from spiketicket.ticket_data import find_test_data


@dataclass(frozen=True)
class FindResult:
    """The outcome of :func:`find`; see :meth:`to_dict` for what it holds."""

    recipe: Recipe
    folder: Path
    seeds: tuple[int, ...]
    arms: Mapping[ArmName, tuple[ArmResult, ...]]
    verdict: Mapping[str, Any]
    tickets: tuple[Path, ...]
    notes: tuple[str, ...] = ()
    """What is to be known about how the data was read."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-able: verdict, and for every arm its accuracies in percent, a value a seed."""
        timing = self.arms[main_arm(self.recipe)][0].timing
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
            "arms": [_arm_row(results) for results in self.arms.values()],
            "tickets": [str(path) for path in self.tickets],
        }

    def record(self) -> dict[str, Any]:
        """The line for ``results/``: :meth:`to_dict` without paths, with recipe and machine."""
        timing = self.arms[main_arm(self.recipe)][0].timing
        rest = {k: v for k, v in self.to_dict().items() if k not in ("folder", "tickets")}
        machine = {k: v for k, v in timing.items() if k != "wall_s"}
        return {**rest, **machine, "recipe": to_dict(self.recipe)}


def find(
    recipe: Recipe, *, seeds: int = 1, runs_dir: Path | str = "runs", device: str = "cpu",
    threads: int | None = None, reporter: Reporter | None = None,
) -> FindResult:  # fmt: skip
    """Search a ticket and train its controls, for seeds ``recipe.seed .. recipe.seed + seeds - 1``.

    A finished stage is read, an interrupted one goes on from its checkpoint.

    Raises:
        UserError: missing data, a full or read-only disk, a run folder in use by another process,
            a loss that is not a number.
    """
    reporter = reporter or NullReporter()
    experiment = _experiment(recipe, device, threads, reporter)
    folder = Path(runs_dir) / recipe.folder_name
    chosen = tuple(range(recipe.seed, recipe.seed + seeds))
    if experiment.dataset.train.groups is not None:
        for seed in chosen:  # a split that cannot be shows now, not hours later
            training_split(experiment.dataset, recipe.data, seed)
    if _finished(folder, recipe, chosen):
        _check_data(folder, experiment)
        found = _found(experiment, folder, chosen, reporter)
        if read_json(folder / "result.json") == _without_times(found.to_dict()):
            return found
    with claimed(folder):
        _open_folder(folder, experiment)
        found = _found(experiment, folder, chosen, reporter)
        for result in found.arms[main_arm(recipe)]:
            _save_final_ticket(folder, recipe, result, found.verdict)
        write_json(folder / "result.json", _without_times(found.to_dict()))
    return found


def _found(
    experiment: Experiment, folder: Path, seeds: tuple[int, ...], reporter: Reporter
) -> FindResult:
    recipe = experiment.recipe
    results: dict[ArmName, list[ArmResult]] = {name: [] for name in arm_names(recipe)}
    for seed in seeds:
        kept: Mapping[str, int] | None = None
        for name, done in results.items():
            arm_folder = folder / f"seed-{seed}" / name
            result = run_arm(experiment, name, seed, arm_folder, kept, reporter)
            done.append(result)
            kept = result.kept_by_layer if name == "ticket" else kept
    arms = {name: tuple(rows) for name, rows in results.items()}
    tickets = tuple(_final_ticket(folder, recipe, seed) for seed in seeds)
    verdict = _verdict(recipe, arms, experiment)
    notes = tuple(n for n in experiment.dataset.notes if "cache" not in n)
    return FindResult(recipe, folder, seeds, arms, verdict, tickets, notes)


def _finished(folder: Path, recipe: Recipe, seeds: Sequence[int]) -> bool:
    stages = [
        folder / f"seed-{seed}" / name / "result.json"
        for seed in seeds
        for name in arm_names(recipe)
    ]
    tickets = [_final_ticket(folder, recipe, seed) for seed in seeds]
    return all(path.exists() for path in [folder / "result.json", *stages, *tickets])


def train_dense(
    recipe: Recipe, *, runs_dir: Path | str = "runs", device: str = "cpu",
    threads: int | None = None, reporter: Reporter | None = None,
) -> ArmResult:  # fmt: skip
    """Train only the dense net of a recipe, in the same run folder as :func:`find` would.

    Raises:
        UserError: as :func:`find`.
    """
    reporter = reporter or NullReporter()
    experiment = _experiment(recipe, device, threads, reporter)
    folder = Path(runs_dir) / recipe.folder_name
    with claimed(folder):
        _open_folder(folder, experiment)
        arm_folder = folder / f"seed-{recipe.seed}" / "dense"
        return run_arm(experiment, "dense", recipe.seed, arm_folder, None, reporter)


def arm_record(recipe: Recipe, result: ArmResult) -> dict[str, Any]:
    """The line for ``results/`` of one stage: its row, with recipe and machine."""
    machine = {k: v for k, v in result.timing.items() if k != "wall_s"}
    return {
        "name": recipe.name, "hash": recipe.hash, "seeds": [result.seed],
        "condition": condition(recipe), "arms": [result.to_dict()], **machine,
        "recipe": to_dict(recipe),
    }  # fmt: skip


@dataclass(frozen=True)
class EvalResult:
    """Accuracy of a ticket file, beside what the file itself states (percent)."""

    ticket: Path
    dataset: str
    test_count: int
    test_accuracy: float
    stated_accuracy: float | None
    device: str

    def to_dict(self) -> dict[str, Any]:
        """JSON-able facts, in the order to show them."""
        return {
            "ticket": str(self.ticket),
            "dataset": self.dataset,
            "test_count": self.test_count,
            "test_accuracy": self.test_accuracy,
            "stated_accuracy": self.stated_accuracy,
            "device": self.device,
        }


def evaluate_ticket(path: Path | str, *, root: str = "", device: str = "cpu") -> EvalResult:
    """Load a ticket and measure it on the test set it names, in float32.

    Raises:
        TicketError: the file is no sound ticket, or not of a network of this package.
        UserError: the data is missing, or is not the data the ticket was made for.
    """
    from spiketicket.bake import from_ticket

    ticket = Ticket.load(path)
    data = find_test_data(ticket, path, root=root)
    result = evaluate(from_ticket(ticket).to(device), data.batches(device))
    name, count = data.dataset.name, len(data.dataset.test)
    return EvalResult(Path(path), name, count, 100 * result.accuracy, data.stated_accuracy, device)


def _experiment(recipe: Recipe, device: str, threads: int | None, reporter: Reporter) -> Experiment:
    if threads is not None:
        torch.set_num_threads(threads)
    if device == "cpu":
        _allocator.keep_freed_memory()
        if recipe.train.kernel == "auto" and not _native.available():
            reporter.message("no working C compiler: plain PyTorch computes the neurons, slower")
        if recipe.train.precision == "bf16" and not _processor.computes_bfloat16():
            reporter.message(
                "this processor emulates bfloat16, many times slower than float32: another"
                " recipe, --set train.precision=fp32, is fast here"
            )
    experiment = Experiment(recipe, load_dataset(recipe.data), torch.device(device))
    for note in experiment.dataset.notes:
        reporter.message(f"{experiment.dataset.name}: {note}")
    _check_frames(experiment)
    check(recipe, experiment.shape)
    return experiment


def _check_frames(experiment: Experiment) -> None:
    """Whether the network and its ramp go through as many time steps as a recording has frames."""
    recipe, frames = experiment.recipe, experiment.dataset.frames
    if experiment.dataset.train.x.ndim != 5:
        return
    if recipe.model.timesteps != frames:
        raise UserError(
            f"the recordings have {frames} frames", where="model.timesteps",
            value=recipe.model.timesteps, remedy="Set model.timesteps and data.steps to the same",
        )  # fmt: skip
    for _, steps in recipe.train.timestep_ramp:
        if frames % steps:
            raise UserError(
                f"must divide the {frames} frames of a recording", where="train.timestep_ramp",
                value=steps, remedy="Use divisors, or another data.steps",
            )  # fmt: skip


def _open_folder(folder: Path, experiment: Experiment) -> None:
    """Write what the folder is for."""
    _check_data(folder, experiment)
    data = experiment.dataset
    write_json(folder / "data.json", {"name": data.name, "checksum": data.checksum})
    write_bytes(folder / "recipe.toml", to_toml(experiment.recipe).encode())


def _check_data(folder: Path, experiment: Experiment) -> None:
    """The data's place is not hashed, so its content is compared."""
    data = experiment.dataset
    known = read_json(folder / "data.json") or {"checksum": data.checksum}
    if known["checksum"] != data.checksum:
        raise UserError(
            f"this run was made with other {data.name} data",
            where=str(folder),
            value=data.checksum[:16],
            remedy=f"Give the data with checksum {known['checksum'][:16]}, or another folder",
        )


def _verdict(
    recipe: Recipe, arms: Mapping[ArmName, Sequence[ArmResult]], experiment: Experiment
) -> dict[str, Any]:
    truth = experiment.dataset.test.y
    scores = {
        name: ArmScores(
            [r.test_accuracy for r in results], [r.predictions == truth for r in results]
        )
        for name, results in arms.items()
    }
    rules = recipe.verdict
    if is_ladder(recipe):
        rungs = [(p.name, p.rung) for p in plans(recipe) if p.rung]
        right = truth == np.bincount(truth).argmax()
        seeds = len(next(iter(scores.values())).accuracy)
        scores["constant"] = ArmScores([100 * right.mean()] * seeds, [right] * seeds)
        return judge_ladder(scores, rungs, rules.margin, rules.confidence)
    verdict = judge(
        scores["ticket"], scores.get("dense"), scores.get("random_trained"),
        scores.get("random_frozen"), margin=rules.margin, confidence=rules.confidence,
    )  # fmt: skip
    return verdict.to_dict()


def _final_ticket(folder: Path, recipe: Recipe, seed: int) -> Path:
    return folder / f"{recipe.name}-seed{seed}.ticket"


def _save_final_ticket(
    folder: Path, recipe: Recipe, result: ArmResult, verdict: Mapping[str, Any]
) -> None:
    ticket = Ticket.load(result.ticket)
    whole = Ticket(ticket.layers, ticket.tensors, {**ticket.metadata, "verdict": verdict})
    with explained(folder):
        whole.save(_final_ticket(folder, recipe, result.seed))


def _arm_row(results: Sequence[ArmResult]) -> dict[str, Any]:
    rows = [r.to_dict() for r in results]
    return {
        **rows[0],
        **_over_seeds(rows),
        "test_accuracy": [r["test_accuracy"][0] for r in rows],
        "validation_accuracy": [r["validation_accuracy"][0] for r in rows],
        "wall_s": sum(r["wall_s"] or 0.0 for r in rows),
    }


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
    arms = [{k: v for k, v in arm.items() if k != "wall_s"} for arm in result["arms"]]
    rest = {k: v for k, v in result.items() if k not in ("folder", "tickets")}
    return {**rest, "arms": arms, "tickets": [Path(t).name for t in result["tickets"]]}
