"""A training of a run: a stage made ready by its method, and fitted."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from spiketicket.data.batches import TrainBatches, ordered_batches
from spiketicket.experiment.firing import Batches, Firing
from spiketicket.experiment.folder import SeedFolder, StageFolder
from spiketicket.experiment.setup import Experiment
from spiketicket.machine.files import write_bytes
from spiketicket.methods.building import build_network, fit_encoder
from spiketicket.methods.method import prepare
from spiketicket.methods.scene import Prepared, Scene
from spiketicket.methods.stages import Stage, at_rate
from spiketicket.progress import Reporter
from spiketicket.recipe import ModelConfig
from spiketicket.training.evaluate import Evaluation, evaluate
from spiketicket.training.forward import autocast
from spiketicket.training.loop import Fitted, Training, Validate, fit
from spiketicket.training.statistics import estimate_statistics


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A training that is over; the model of ``prepared`` has its best epoch's state.

    ``fitted`` is None in all processes but the first where only BatchNorm statistics move;
    ``samples`` are those of the training set.
    """

    scene: Scene
    prepared: Prepared
    fitted: Fitted | None
    samples: int


def trained(
    experiment: Experiment,
    stage: Stage,
    seed: int,
    place: SeedFolder,
    *,
    own: StageFolder,
    reporter: Reporter,
    factor: float = 1.0,
    share: float = 1.0,
    key: str = "",
) -> Trained:
    """Make a stage ready and train it, from its checkpoint if there is one.

    Args:
        experiment: the recipe with its data.
        stage: what is trained; the earlier stages lie in ``place``.
        seed: of every random number.
        place: the stages of the seed.
        own: the files of this training.
        reporter: hears how far it is.
        factor: of the recipe's learning rates.
        share: of the epochs of the recipe that ``stage`` has, where it is a trial.
        key: what a checkpoint says it belongs to, where that is not the recipe's stage alone.

    Raises:
        UserError: as :func:`spiketicket.experiment.find.find`.
    """
    workers = experiment.workers
    batches, validation = experiment.split(seed)
    stage = at_rate(stage, experiment.recipe, factor)
    scene = scene_of(experiment, stage, seed, place, batches, own=own, share=share)
    prepared = prepare(stage, experiment.recipe, scene)
    training = Training(
        title=stage.title,
        seed=seed,
        checkpoint=own.checkpoint,
        log=own.log,
        key=key or _key(experiment, stage, seed),
        guard=experiment.guard,
    )

    # what a trial of a learning rate has dead is not what the net will have
    firing = None if share < 1 else Firing(stage.title, seed, own, reporter, experiment)

    def validate(model: nn.Module) -> Evaluation:
        with autocast(experiment.device, scene.train.precision):
            found = evaluated(model, validation, experiment, firing=firing)
        if firing is not None:
            firing.judge()
        return found

    if prepared.trainee.parameters:
        fitted: Fitted | None = fit(
            prepared.trainee,
            batches,
            validate,
            config=scene.train,
            training=training,
            reporter=reporter,
            workers=workers,
        )
    else:
        reporter.stage_started(stage.title, seed, 0, 0)
        fitted = (
            _statistics_only(prepared, batches, validate, experiment) if workers.first else None
        )
    return Trained(scene=scene, prepared=prepared, fitted=fitted, samples=len(batches.y))


def _key(experiment: Experiment, stage: Stage, seed: int) -> str:
    """What a checkpoint belongs to: another precision is another training."""
    recipe = experiment.recipe
    parts = [recipe.hash, stage.name, str(seed), experiment.device.type]
    if recipe.train.precision == "auto":
        parts.append(experiment.precision)
    return "/".join(parts)


def scene_of(
    experiment: Experiment,
    stage: Stage,
    seed: int,
    place: SeedFolder,
    batches: TrainBatches,
    *,
    own: StageFolder | None = None,
    share: float = 1.0,
) -> Scene:
    """What a method is given to make a stage ready; ``own`` are its files, else those in ``place``.

    ``share`` is that of the recipe's epochs which the stage has.
    """
    recipe = experiment.recipe

    def build(config: ModelConfig) -> nn.Module:
        made = build_network(recipe, experiment.shape, config, stage.neuron)
        if next(made.parameters()).is_meta:
            return made
        fit_encoder(made, batches)
        return made.to(experiment.device)

    def write(path: Path, content: bytes) -> None:
        if experiment.workers.first:
            experiment.guard()
            write_bytes(path, content)

    return Scene(
        config=recipe.ticket if share == 1 else recipe.ticket.shortened(share),
        model_config=stage.network(recipe),
        build=build,
        seed=seed,
        train=stage.schedule(recipe).model_copy(update={"precision": experiment.precision}),
        batches=batches,
        own=own or place.stage(stage.name),
        earlier=place.stage,
        write=write,
        keeps_scores=stage.keeps_scores,
    )


def _statistics_only(
    prepared: Prepared, batches: TrainBatches, validate: Validate, experiment: Experiment
) -> Fitted:
    """What stands for a training where only BatchNorm statistics move."""
    started, model = time.perf_counter(), prepared.trainee.model
    with autocast(experiment.device, experiment.precision):
        estimate_statistics(model, batches.epoch(0))
    result = validate(model)
    return Fitted(
        best_epoch=-1, validation=result.accuracy, wall_s=time.perf_counter() - started, history=[]
    )


def evaluated(
    model: nn.Module,
    samples: tuple[Tensor, Tensor],
    experiment: Experiment,
    *,
    flip: bool = False,
    firing: Firing | None = None,
) -> Evaluation:
    """How a model does on samples, normalised as the data are; ``flip`` as of ``evaluate``.

    ``firing`` watches its layers.
    """
    data, batch = experiment.dataset, experiment.recipe.train.batch_size
    batches: Batches = ordered_batches(*samples, data.mean, data.std, batch)
    return evaluate(model, firing.watching(model, batches) if firing else batches, flip=flip)
