"""One stage with one seed: train it, keep the best epoch, test it once, write its folder."""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from spiketicket.data.batches import TrainBatches, ordered_batches
from spiketicket.errors import UserError
from spiketicket.experiment.facts import counted_operations, net_facts, training_facts
from spiketicket.experiment.folder import SeedFolder, StageFolder
from spiketicket.experiment.outcome import StageOutcome, read_outcome
from spiketicket.experiment.provenance import machine, metadata
from spiketicket.experiment.results import required_result, write_result
from spiketicket.experiment.schemas import FinishedStage
from spiketicket.experiment.setup import Experiment
from spiketicket.machine.bounded import read_regular
from spiketicket.machine.files import explained, read_json, write_bytes, write_json
from spiketicket.methods.building import build_network
from spiketicket.methods.method import prepare
from spiketicket.methods.scene import Prepared, Scene
from spiketicket.methods.stages import Stage
from spiketicket.methods.states import save_plain
from spiketicket.models.of_ticket import from_ticket, to_ticket
from spiketicket.progress import Reporter, tell_doing
from spiketicket.recipe import ModelConfig
from spiketicket.recipe.registry import is_custom
from spiketicket.ticket import Ticket
from spiketicket.training.evaluate import Evaluation, evaluate
from spiketicket.training.forward import autocast
from spiketicket.training.loop import Fitted, Training, Validate, fit
from spiketicket.training.statistics import estimate_statistics


def run_stage(
    experiment: Experiment, stage: Stage, seed: int, place: SeedFolder, reporter: Reporter
) -> StageOutcome:
    """Run one stage, or read its result if it is done; the seed's earlier stages lie beside it.

    Raises:
        UserError: as :func:`spiketicket.experiment.find.find`.
    """
    folder, workers = place.stage(stage.name), experiment.workers
    if workers.agreed(folder.finished):
        reporter.stage_started(stage.title, seed, 0, 0)
    else:
        with explained(folder.path):
            folder.path.mkdir(parents=True, exist_ok=True)
        _train(experiment, stage, seed, place, reporter)
        workers.agreed(None)  # the others read what the first one has written
    outcome = read_outcome(stage, seed, folder)
    reporter.stage_finished(stage.title, f"{outcome.test_accuracy:.2f}% on the test set")
    return outcome


def _train(
    experiment: Experiment, stage: Stage, seed: int, place: SeedFolder, reporter: Reporter
) -> None:
    """Train a stage and leave its result."""
    recipe, workers, folder = experiment.recipe, experiment.workers, place.stage(stage.name)
    batches, validation = experiment.split(seed)
    scene = scene_of(experiment, stage, seed, place, batches)
    prepared = prepare(stage, recipe, scene)
    training = Training(
        title=stage.title,
        seed=seed,
        checkpoint=folder.checkpoint,
        log=folder.log,
        key=f"{recipe.hash}/{stage.name}/{seed}/{experiment.device.type}",
        guard=experiment.guard,
    )

    def validate(model: nn.Module) -> Evaluation:
        with autocast(experiment.device, scene.train.precision):
            return _evaluate(model, validation, experiment)

    if prepared.trainee.parameters:
        trainee = prepared.trainee
        fitted = fit(
            trainee,
            batches,
            validate,
            config=scene.train,
            training=training,
            reporter=reporter,
            workers=workers,
        )
    elif workers.first:
        reporter.stage_started(stage.title, seed, 0, 0)
        fitted = _statistics_only(prepared, batches, validate, experiment)
    if not workers.first:
        return
    found = prepared.finish()
    if stage.keeps:
        scene.write(folder.weights, save_plain(prepared.trainee.model))
    tell_doing(reporter, "testing")
    started = time.perf_counter()
    tested = _test(experiment, stage, prepared, fitted, seed=seed, folder=folder)
    _write_timing(experiment, folder, fitted.wall_s + time.perf_counter() - started)
    trained = training_facts(stage, prepared, fitted, len(batches.y), found)
    write_result(folder.result, tested | trained)
    folder.checkpoint.unlink(missing_ok=True)


def scene_of(
    experiment: Experiment, stage: Stage, seed: int, place: SeedFolder, batches: TrainBatches
) -> Scene:
    """What a method is given to make a stage ready."""
    recipe = experiment.recipe

    def build(config: ModelConfig) -> nn.Module:
        made = build_network(recipe, experiment.shape, config, stage.neuron)
        return made if next(made.parameters()).is_meta else made.to(experiment.device)

    def write(path: Path, content: bytes) -> None:
        if experiment.workers.first:
            experiment.guard()
            write_bytes(path, content)

    return Scene(
        config=recipe.ticket,
        model_config=stage.network(recipe),
        build=build,
        seed=seed,
        train=stage.schedule(recipe),
        batches=batches,
        own=place.stage(stage.name),
        earlier=place.stage,
        write=write,
        keeps_scores=stage.keeps_scores,
    )


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


def _statistics_only(
    prepared: Prepared, batches: TrainBatches, validate: Validate, experiment: Experiment
) -> Fitted:
    """What stands for a training where only BatchNorm statistics move."""
    started, model = time.perf_counter(), prepared.trainee.model
    with autocast(experiment.device, experiment.recipe.train.precision):
        estimate_statistics(model, batches.epoch(0))
    result = validate(model)
    return Fitted(
        best_epoch=-1, validation=result.accuracy, wall_s=time.perf_counter() - started, history=[]
    )


def _evaluate(
    model: nn.Module, samples: tuple[Tensor, Tensor], experiment: Experiment
) -> Evaluation:
    data, batch = experiment.dataset, experiment.recipe.train.batch_size
    return evaluate(model, ordered_batches(*samples, data.mean, data.std, batch))


def _test(
    experiment: Experiment,
    stage: Stage,
    prepared: Prepared,
    fitted: Fitted,
    *,
    seed: int,
    folder: StageFolder,
) -> dict[str, Any]:
    """Test a trained net once, write its ticket and its predictions, and say what it is."""
    bare = to_ticket(prepared.trainee.model, {})
    stated = metadata(experiment, stage, prepared, seed)
    model = _plain(experiment, Ticket(bare.layers, bare.tensors, stated))
    test = _evaluate(model, experiment.test, experiment)
    accuracy = {
        "test": 100 * test.accuracy,
        "validation": 100 * fitted.validation,
        "test_count": len(experiment.dataset.test),
    }
    counted = counted_operations(model, experiment)
    experiment.guard()
    whole = Ticket(bare.layers, bare.tensors, {**stated, "accuracy": accuracy, **counted})
    whole.save(folder.ticket)
    predictions = io.BytesIO()
    np.save(predictions, test.predictions.numpy())
    write_bytes(folder.predictions, predictions.getvalue())
    return {
        **net_facts(experiment, stage, prepared, bare),
        "test_accuracy": accuracy["test"],
        "validation_accuracy": accuracy["validation"],
        "file_bytes": folder.ticket.stat().st_size,
        **counted,
    }


def _plain(experiment: Experiment, ticket: Ticket) -> nn.Module:
    """The plain model of a ticket: that is what is tested, not the one that was searched."""
    recipe = experiment.recipe
    custom = recipe.model.name if is_custom(recipe.model.name) else ""
    kernel = recipe.train.kernel
    model = from_ticket(ticket, kernel, network=custom, trust_options=bool(custom))
    return model.to(experiment.device)


def _write_timing(experiment: Experiment, folder: StageFolder, wall_s: float) -> None:
    timing: dict[str, Any] = {"wall_s": round(wall_s, 3), **machine(experiment.device)}
    if experiment.workers.count > 1:
        timing["processes"] = experiment.workers.count
    experiment.guard()
    write_json(folder.timing, timing)
