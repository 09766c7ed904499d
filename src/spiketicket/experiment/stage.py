"""One stage with one seed: train it, keep the best epoch, test it once, write its folder.

log.jsonl          one line per epoch
checkpoint.pt      while it is running
model.ticket       the net in ticket form; the test accuracy is that of this file
predictions.npy    classes predicted on the test set, int64
timing.json        wall time, device, threads, versions
result.json        last of all: the stage is done when it is there
"""

from __future__ import annotations

import io
import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from spiketicket.data import training_split
from spiketicket.data.batches import TrainBatches, ordered_batches, to_tensors
from spiketicket.data.types import Dataset
from spiketicket.machine import processor
from spiketicket.machine.bounded import read_regular
from spiketicket.machine.claims import Guard, unguarded
from spiketicket.machine.files import explained, read_json, write_bytes, write_json
from spiketicket.machine.run_files import (
    Kinds,
    read_predictions,
    read_table,
    required_result,
    write_result,
)
from spiketicket.machine.run_models import FinishedStage
from spiketicket.machine.workers import ALONE, Workers
from spiketicket.measure.operations import count_operations
from spiketicket.methods.controls import PreparedStage, StageName
from spiketicket.methods.ladder import condition, facts, prepare
from spiketicket.methods.stages import title
from spiketicket.methods.trainings import Work, keep_weights
from spiketicket.models.blocks import DataShape
from spiketicket.models.of_ticket import from_ticket, to_ticket
from spiketicket.models.transformer import SpikingTransformer
from spiketicket.progress import Reporter, tell_doing
from spiketicket.recipe import Recipe, to_dict
from spiketicket.recipe.registry import is_custom
from spiketicket.ticket import Ticket
from spiketicket.training.evaluate import Evaluation, evaluate
from spiketicket.training.loop import Fitted, Training, Validate, autocast, estimate_statistics, fit

_LADDER = (
    "tokens",
    "ranking",
    "conv_pep_density",
    "net_density",
    "activation",
    "macs",
    "operations",
)
_COST = ("sample_passes", "is_search", "search")
_TIMING: Kinds = {"wall_s": (int, float), "device": str, "threads": int}
_COUNTED_IMAGES = 256
"""First images of the test set on which operations are counted."""


@dataclass(frozen=True)
class Experiment:
    """A recipe with its data on a device; ``guard`` is called before every write.

    Where several ``workers`` share the trainings, the first one tests and writes.
    """

    recipe: Recipe
    dataset: Dataset
    device: torch.device
    guard: Guard = unguarded
    workers: Workers = ALONE

    @property
    def shape(self) -> DataShape:
        """What networks are built for."""
        channels, height, width = self.dataset.shape
        return DataShape(
            channels=channels,
            height=height,
            width=width,
            classes=len(self.dataset.classes),
            frames=self.dataset.frames,
        )

    @cached_property
    def test(self) -> tuple[Tensor, Tensor]:
        """Test images and classes on the device; used once per stage, at its end."""
        return to_tensors(self.dataset.test, self.device)

    def split(self, seed: int) -> tuple[TrainBatches, tuple[Tensor, Tensor]]:
        """Training batches and validation samples of a seed."""
        recipe, data = self.recipe, self.recipe.data
        train, validation = training_split(self.dataset, data, seed)
        x, y = to_tensors(train, self.device)
        batches = TrainBatches(
            x=x,
            y=y,
            mean=self.dataset.mean,
            std=self.dataset.std,
            batch_size=recipe.train.batch_size,
            seed=seed,
            pad_crop=data.pad_crop,
            flip=data.flip,
            drop_events=getattr(data, "drop_events", 0.0),
            jitter_events=getattr(data, "jitter_events", 0.0),
        )
        return batches, to_tensors(validation, self.device)


@dataclass(frozen=True)
class StageOutcome:
    """What a finished stage left in its folder; ``facts`` and ``timing`` are its JSON files."""

    stage: StageName
    seed: int
    folder: Path
    facts: Mapping[str, Any]
    timing: Mapping[str, Any]

    @property
    def ticket(self) -> Path:
        """The net in ticket form."""
        return self.folder / "model.ticket"

    @property
    def test_accuracy(self) -> float:
        """Percent of the test samples."""
        return float(self.facts["test_accuracy"])

    @property
    def kept_by_layer(self) -> dict[str, int]:
        """Weights kept in each layer."""
        return dict(self.facts["kept_by_layer"])

    @cached_property
    def predictions(self) -> NDArray[np.int64]:
        """Predicted classes of the test set, int64 [N].

        Raises:
            UserError: the file is missing or damaged.
        """
        return self.predictions_of(None)

    def predictions_of(self, count: int | None) -> NDArray[np.int64]:
        """The same where the test set has ``count`` samples; else the file is refused."""
        return read_predictions(self.folder / "predictions.npy", count)

    def to_dict(self) -> dict[str, Any]:
        """One row of the table of stages."""
        facts = self.facts
        return {
            "stage": self.stage,
            "title": title(self.stage),
            "density": facts["density"],
            "binary": facts["binary"],
            "bn_affine": facts["bn_affine"],
            "test_accuracy": [facts["test_accuracy"]],
            "validation_accuracy": [facts["validation_accuracy"]],
            "kept": facts["kept"],
            "parameters": facts["parameters"],
            "file_bytes": facts["file_bytes"],
            "trained_epochs": facts["trained_epochs"],
            **{k: facts[k] for k in (*_LADDER, *_COST) if k in facts},
            "wall_s": self.timing["wall_s"],
        }


def run_stage(
    experiment: Experiment,
    name: StageName,
    seed: int,
    folder: Path,
    kept: Mapping[str, int] | None,
    reporter: Reporter,
) -> StageOutcome:
    """Run one stage, or read its result if it is done.

    Raises:
        UserError: as :func:`spiketicket.experiment.find.find`.
    """
    workers = experiment.workers
    if workers.agreed((folder / "result.json").exists()):
        result = _stored(name, seed, folder)
        reporter.stage_started(title(name), seed, 0, 0)
    else:
        with explained(folder):
            folder.mkdir(parents=True, exist_ok=True)
        batches, validation = experiment.split(seed)
        work = _work(experiment, batches)
        stage = prepare(
            name,
            experiment.recipe,
            experiment.shape,
            seed,
            experiment.device,
            kept,
            folder.parent,
            work,
        )
        training = Training(
            title(name),
            seed,
            folder,
            f"{experiment.recipe.hash}/{name}/{seed}/{experiment.device.type}",
            experiment.guard,
        )
        train = stage.train or experiment.recipe.train

        def validate(model: nn.Module) -> Evaluation:
            with autocast(experiment.device, train.precision):
                return _evaluate(model, validation, experiment)

        if stage.trainee.parameters:
            fitted = fit(stage.trainee, batches, validate, train, training, reporter, workers)
        elif workers.first:
            fitted = _statistics_only(stage, batches, validate, experiment, training, reporter)
        if workers.first:
            found = stage.finish() if stage.finish else {}
            keep_weights(stage, folder, work)
            tell_doing(reporter, "testing")
            _finish(experiment, stage, folder, fitted, seed, found)
        workers.agreed(None)  # the others read what the first one has written
        result = _stored(name, seed, folder)
    reporter.stage_finished(title(name), f"{result.test_accuracy:.2f}% on the test set")
    return result


def copy_twin(experiment: Experiment, source: Path, folder: Path, name: StageName) -> None:
    """Put a finished stage into ``folder`` as stage ``name``, which would have trained the same.

    Its files are those that training it would have given, but for the times.
    """
    facts = required_result(source / "result.json", FinishedStage)
    timing = read_json(source / "timing.json")
    ticket = Ticket.load(source / "model.ticket")
    content = Ticket(ticket.layers, ticket.tensors, {**ticket.metadata, "stage": name}).to_bytes()
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        copies = {n: read_regular(source / n) for n in ("log.jsonl", "predictions.npy")}
    own = {key: value for key, value in facts.items() if key not in ("is_search", "search")}
    experiment.guard()
    for file, copy in {"model.ticket": content, **copies}.items():
        write_bytes(folder / file, copy)
    write_json(folder / "timing.json", {**(timing or {}), "shared": True})
    write_result(folder / "result.json", {**own, "stage": name, "file_bytes": len(content)})


def _work(experiment: Experiment, batches: TrainBatches) -> Work:
    def write(path: Path, content: bytes) -> None:
        if experiment.workers.first:
            experiment.guard()
            write_bytes(path, content)

    return Work(batches, write)


def _statistics_only(
    stage: PreparedStage,
    batches: TrainBatches,
    validate: Validate,
    experiment: Experiment,
    training: Training,
    reporter: Reporter,
) -> Fitted:
    reporter.stage_started(training.title, training.seed, 0, 0)
    started, model, train = time.perf_counter(), stage.trainee.model, experiment.recipe.train
    with autocast(experiment.device, train.precision):
        estimate_statistics(model, batches.epoch(0))
    result = validate(model)
    return Fitted(-1, result.accuracy, time.perf_counter() - started, [])


def _evaluate(
    model: nn.Module, samples: tuple[Tensor, Tensor], experiment: Experiment
) -> Evaluation:
    data, batch = experiment.dataset, experiment.recipe.train.batch_size
    return evaluate(model, ordered_batches(*samples, data.mean, data.std, batch))


def _finish(
    experiment: Experiment,
    stage: PreparedStage,
    folder: Path,
    fitted: Fitted,
    seed: int,
    found: Mapping[str, Any],
) -> None:
    started = time.perf_counter()
    bare = to_ticket(stage.trainee.model, {})
    metadata = _metadata(experiment, stage, seed)
    # The plain model made from the ticket is what is tested, not the one that was searched.
    plain = Ticket(bare.layers, bare.tensors, metadata)
    recipe = experiment.recipe
    own = recipe.model.name if is_custom(recipe.model.name) else ""
    model = from_ticket(plain, recipe.train.kernel, network=own, trust_options=bool(own))
    model = model.to(experiment.device)
    test = _evaluate(model, experiment.test, experiment)
    accuracy = {
        "test": 100 * test.accuracy,
        "validation": 100 * fitted.validation,
        "test_count": len(experiment.dataset.test),
    }
    counted = _operations(model, experiment)
    experiment.guard()
    Ticket(bare.layers, bare.tensors, {**metadata, "accuracy": accuracy, **counted}).save(
        folder / "model.ticket"
    )
    predictions = io.BytesIO()
    np.save(predictions, test.predictions.numpy())
    write_bytes(folder / "predictions.npy", predictions.getvalue())
    wall_s = fitted.wall_s + time.perf_counter() - started
    experiment.guard()
    timing = {"wall_s": round(wall_s, 3), **machine(experiment.device)}
    if experiment.workers.count > 1:
        timing["processes"] = experiment.workers.count
    write_json(folder / "timing.json", timing)
    facts = _facts(experiment, stage, bare, fitted, accuracy, folder) | counted
    facts |= _searched(experiment, stage, fitted, seed, found)
    write_result(folder / "result.json", facts)
    (folder / "checkpoint.pt").unlink(missing_ok=True)


def _operations(model: nn.Module, experiment: Experiment) -> dict[str, Any]:
    """Operations per image by group, for a transformer; see ``measure/operations.py``."""
    if not isinstance(model, SpikingTransformer):
        return {}
    x, y = (part[:_COUNTED_IMAGES] for part in experiment.test)
    data, batch = experiment.dataset, experiment.recipe.train.batch_size
    images = (inputs for inputs, _ in ordered_batches(x, y, data.mean, data.std, batch))
    return {"operations": {"images": len(y), **count_operations(model, images)}}


def _facts(
    experiment: Experiment,
    stage: PreparedStage,
    ticket: Ticket,
    fitted: Fitted,
    accuracy: Mapping[str, float],
    folder: Path,
) -> dict[str, Any]:
    layers = ticket.layers
    size, kept = sum(layer.size for layer in layers), sum(layer.kept for layer in layers)
    size = stage.dense_weights or size
    others = sum(p.numel() for n, p in stage.trainee.model.named_parameters() if _counts(n))
    return {
        "stage": stage.name,
        "density": kept / size,
        "binary": any(layer.kind == "binary" for layer in layers),
        "bn_affine": stage.bn_affine,
        "test_accuracy": accuracy["test"],
        "validation_accuracy": accuracy["validation"],
        "kept": kept + others,
        "parameters": size + others,
        "kept_by_layer": {layer.name: layer.kept for layer in layers},
        "file_bytes": (folder / "model.ticket").stat().st_size,
        "best_epoch": fitted.best_epoch,
        "trained_epochs": fitted.epochs,
        **facts(stage.trainee.model, ticket),
        "condition": condition(experiment.recipe),
        "history": [
            {k: v for k, v in record.items() if k != "wall_s"} for record in fitted.history
        ],
    }


def _searched(
    experiment: Experiment,
    stage: PreparedStage,
    fitted: Fitted,
    seed: int,
    found: Mapping[str, Any],
) -> dict[str, Any]:
    """What training cost, and what a search found out."""
    samples = len(experiment.split(seed)[0].y) if fitted.epochs else 0
    facts: dict[str, Any] = {"sample_passes": round(samples * fitted.epochs) + stage.search_passes}
    if stage.search:
        facts["is_search"] = True
    return facts | ({"search": dict(found)} if found else {})


def _counts(name: str) -> bool:
    return ".parametrizations." not in name


def _metadata(experiment: Experiment, stage: PreparedStage, seed: int) -> dict[str, Any]:
    recipe, data = experiment.recipe, experiment.dataset
    model = stage.model or recipe.model.model_copy(update={"bn_affine": stage.bn_affine})
    network = {
        "model": model.model_dump(mode="json"),
        "neuron": recipe.neuron.model_dump(mode="json"),
        "shape": experiment.shape.__dict__,
    }
    return {
        "network": {"name": recipe.model.name, "args": network},
        "normalisation": {"mean": list(data.mean), "std": list(data.std)},
        "classes": list(data.classes),
        "stage": stage.name,
        "seed": seed,
        **_tokens(stage),
        **provenance(experiment),
        "eval_batch_size": recipe.train.batch_size,
        "licence": data.licence,
        "versions": versions(),
    }


def _tokens(stage: PreparedStage) -> dict[str, Any]:
    model = stage.trainee.model
    if stage.model is None or not isinstance(model, SpikingTransformer):
        return {}
    return {"tokens": {"of": int(model.tokens)}}


def provenance(experiment: Experiment) -> dict[str, Any]:
    """What a stage's ticket says of the recipe and the data it is for, whatever the stage."""
    recipe, data = experiment.recipe, experiment.dataset
    settings = to_dict(recipe)
    settings["data"].pop("root")
    return {
        "recipe": settings,
        "recipe_hash": recipe.hash,
        "data": {
            "name": data.name,
            "checksum": data.checksum,
            "config": settings["data"],
            **({"notes": list(data.notes)} if data.notes else {}),
        },
        "condition": condition(recipe),
    }


def versions() -> dict[str, str]:
    """Versions that a result depends on."""
    return {
        "spiketicket": version("spiketicket"),
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
    }


def machine(device: torch.device) -> dict[str, Any]:
    """The device and threads that a wall time depends on."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else processor.name()
    return {"device": name, "threads": torch.get_num_threads(), **versions()}


def _stored(name: StageName, seed: int, folder: Path) -> StageOutcome:
    facts = required_result(folder / "result.json", FinishedStage)
    timing = read_table(folder / "timing.json", _TIMING)
    return StageOutcome(name, seed, folder, facts, timing)
