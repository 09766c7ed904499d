"""One stage with one seed: train it, keep the best epoch, test it once, write its folder."""

from __future__ import annotations

import io
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import nn

from spiketicket.data.batches import ordered_batches
from spiketicket.errors import UserError
from spiketicket.experiment.facts import counted_operations, net_facts, training_facts
from spiketicket.experiment.folder import SeedFolder, StageFolder
from spiketicket.experiment.outcome import StageOutcome, read_outcome
from spiketicket.experiment.provenance import machine, metadata
from spiketicket.experiment.results import required_result, write_result
from spiketicket.experiment.schemas import FinishedStage
from spiketicket.experiment.setup import Context, Experiment
from spiketicket.experiment.traced import with_graph_or_reason
from spiketicket.experiment.train import evaluated, trained
from spiketicket.experiment.tuning import Before, trial_seconds, tuned, without_times
from spiketicket.machine.bounded import read_regular
from spiketicket.machine.files import explained, read_json, write_bytes, write_json
from spiketicket.methods.scene import Prepared
from spiketicket.methods.stages import Stage
from spiketicket.methods.states import save_plain
from spiketicket.models.custom import mean_over_time
from spiketicket.models.of_ticket import from_ticket, to_ticket
from spiketicket.progress import tell_doing
from spiketicket.recipe.registry import is_custom
from spiketicket.ticket import Ticket
from spiketicket.training.loop import Fitted

_TRACED = 8
"""Test samples that a custom network is called with to find its layers."""


def run_stage(
    experiment: Experiment,
    stage: Stage,
    seed: int,
    place: SeedFolder,
    context: Context,
    *,
    before: Before,
) -> StageOutcome:
    """Run one stage, or read its result if it is done; the seed's earlier stages lie beside it.

    ``before`` does the earlier stages of the seed that the learning rates are tuned on.

    Raises:
        UserError: as :func:`spiketicket.experiment.find.find`.
    """
    folder, workers, reporter = place.stage(stage.name), experiment.workers, context.reporter
    if workers.agreed(folder.finished):
        reporter.stage_started(stage.title, seed, 0, 0)
    else:
        with explained(folder.path):
            folder.path.mkdir(parents=True, exist_ok=True)
        _train(experiment, stage, seed, place, context, before=before)
        workers.agreed(None)  # the others read what the first one has written
    outcome = read_outcome(stage, seed, folder)
    reporter.stage_finished(stage.title, f"{outcome.test_accuracy:.2f}% on the test set")
    return outcome


def _train(
    experiment: Experiment,
    stage: Stage,
    seed: int,
    place: SeedFolder,
    context: Context,
    *,
    before: Before,
) -> None:
    """Train a stage and leave its result."""
    folder, reporter = place.stage(stage.name), context.reporter
    rate = tuned(experiment, stage, seed, place, context=context, before=before)
    done = trained(
        experiment,
        stage,
        seed,
        place,
        own=folder,
        reporter=reporter,
        factor=rate.get("factor", 1.0),
    )
    if done.fitted is None or not experiment.workers.first:
        return
    prepared, fitted = done.prepared, done.fitted
    found = prepared.finish()
    if stage.keeps:
        done.scene.write(folder.weights, save_plain(prepared.trainee.model))
    tell_doing(reporter, "testing")
    started = time.perf_counter()
    about = dict(found) if stage.role == "tuned" else {}
    if rate:
        about["rate_factor"] = rate["factor"]
    tested = _test(experiment, stage, prepared, fitted, seed=seed, folder=folder, about=about)
    wall_s = fitted.wall_s + time.perf_counter() - started
    _write_timing(experiment, folder, wall_s, trial_seconds(rate))
    facts = training_facts(stage, prepared, fitted, done.samples, found)
    tuning = {"tuning": without_times(rate)} if rate else {}
    write_result(folder.result, tested | facts | tuning)
    folder.checkpoint.unlink(missing_ok=True)


def copy_same(experiment: Experiment, place: SeedFolder, stage: Stage) -> None:
    """Put a finished stage into the folder of another that would train the same.

    Its files are those that training it would have given, but for the times. Nothing is done where
    there is no such stage, or where this one was begun.

    Raises:
        UserError: a file of that stage is missing or damaged.
    """
    source, folder = place.stage(stage.same_as or stage.name), place.stage(stage.name)
    if not stage.same_as or not source.finished:
        return
    if folder.finished or folder.checkpoint.exists():
        return
    facts = required_result(source.result, FinishedStage)
    timing = read_json(source.timing)
    ticket = Ticket.load(source.ticket)
    renamed = {k: v for k, v in ticket.metadata.items() if k != "arm"} | {"stage": stage.name}
    content = Ticket(ticket.layers, ticket.tensors, renamed).to_bytes()
    try:
        log, predictions = read_regular(source.log), read_regular(source.predictions)
    except FileNotFoundError as error:
        remedy = f"Delete {source.path} to run this again"
        raise UserError("is missing", where=str(error.filename), remedy=remedy) from error
    with explained(folder.path):
        folder.path.mkdir(parents=True, exist_ok=True)
    own = {key: value for key, value in facts.items() if key not in ("is_search", "search")}
    experiment.guard()
    write_bytes(folder.ticket, content)
    write_bytes(folder.log, log)
    write_bytes(folder.predictions, predictions)
    write_json(folder.timing, {**(timing or {}), "shared": True})
    write_result(folder.result, {**own, "stage": stage.name, "file_bytes": len(content)})


def _test(
    experiment: Experiment,
    stage: Stage,
    prepared: Prepared,
    fitted: Fitted,
    *,
    seed: int,
    folder: StageFolder,
    about: Mapping[str, Any],
) -> dict[str, Any]:
    """Test a trained net once, write its ticket, which states what there is ``about`` it, and its
    predictions, and say what it is.
    """
    bare = to_ticket(prepared.trainee.model, {})
    stated = metadata(experiment, stage, prepared, seed)
    model = _plain(experiment, Ticket(bare.layers, bare.tensors, stated))
    if is_custom(experiment.recipe.model.name):
        stated = _with_layers(experiment, Ticket(bare.layers, bare.tensors, stated), model)
    test = evaluated(model, experiment.test, experiment)
    accuracy = {
        "test": 100 * test.accuracy,
        "validation": 100 * fitted.validation,
        "test_count": len(experiment.dataset.test),
    }
    flipped = {}
    if experiment.recipe.data.test_flip:
        both = evaluated(model, experiment.test, experiment, flip=True)
        flipped["test_accuracy_flip"] = 100 * both.accuracy
    counted = counted_operations(model, experiment)
    experiment.guard()
    whole = Ticket(bare.layers, bare.tensors, {**stated, "accuracy": accuracy, **counted, **about})
    whole.save(folder.ticket)
    predictions = io.BytesIO()
    np.save(predictions, test.predictions.numpy())
    write_bytes(folder.predictions, predictions.getvalue())
    return {
        **net_facts(experiment, stage, prepared, bare),
        "test_accuracy": accuracy["test"],
        **flipped,
        "validation_accuracy": accuracy["validation"],
        "file_bytes": folder.ticket.stat().st_size,
        **counted,
    }


def _with_layers(experiment: Experiment, ticket: Ticket, model: nn.Module) -> dict[str, Any]:
    """What a custom network's ticket states, with the layers of its network."""
    dataset = experiment.dataset
    count = _TRACED + (dataset.frames == _TRACED)  # so that no axis is taken for another
    x, y = (part[:count] for part in experiment.test)
    batch = next(ordered_batches(x, y, dataset.mean, dataset.std, count))
    return dict(with_graph_or_reason(ticket, model, batch, mean_over_time).metadata)


def _plain(experiment: Experiment, ticket: Ticket) -> nn.Module:
    """The plain model of a ticket: that is what is tested, not the one that was searched."""
    recipe = experiment.recipe
    custom = recipe.model.name if is_custom(recipe.model.name) else ""
    kernel = recipe.train.kernel
    model = from_ticket(ticket, kernel, network=custom, trust_options=bool(custom))
    return model.to(experiment.device)


def _write_timing(
    experiment: Experiment, folder: StageFolder, wall_s: float, tuning_s: float
) -> None:
    timing: dict[str, Any] = {"wall_s": round(wall_s, 3), **machine(experiment.device)}
    if tuning_s:
        timing["tuning_s"] = round(tuning_s, 3)
    if experiment.workers.count > 1:
        timing["processes"] = experiment.workers.count
    experiment.guard()
    write_json(folder.timing, timing)
