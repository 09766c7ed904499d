"""A recipe with its data on a device, and everything that is refused before training starts."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from spiketicket.data import load_dataset, training_split
from spiketicket.data.batches import TrainBatches, to_tensors
from spiketicket.data.types import Dataset
from spiketicket.errors import UserError
from spiketicket.experiment import threads
from spiketicket.machine import allocator, parallel, processor
from spiketicket.machine.bounded import need_memory
from spiketicket.machine.claims import Guard, unguarded
from spiketicket.machine.workers import ALONE, Workers, own_device
from spiketicket.methods.building import encoder_filters
from spiketicket.methods.method import check
from spiketicket.methods.sizes import check_sizes
from spiketicket.methods.stages import Stage, stages_of
from spiketicket.models.blocks import DataShape
from spiketicket.neurons import native
from spiketicket.progress import NullReporter, Reporter, tell_doing
from spiketicket.recipe import DataConfig, Recipe
from spiketicket.recipe.fits import frames_differ, misfit
from spiketicket.recipe.weight_shapes import weight_shapes
from spiketicket.training.precision import Precision, resolved

_BYTES_A_WEIGHT = 24
"""Itself, its score, and of that the gradient, two moments and the best so far."""


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """A recipe with its data on a device; ``guard`` is called before every write.

    Where several ``workers`` share the trainings, the first one tests and writes.
    """

    recipe: Recipe
    dataset: Dataset
    device: torch.device
    precision: Precision
    """What ``recipe.train.precision`` comes to here."""
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
    def stages(self) -> tuple[Stage, ...]:
        """The stages of every seed, in the order they run."""
        return stages_of(self.recipe)

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
            pad_mode=data.pad_mode,
            flip=data.flip,
            cutout=data.cutout,
            drop_events=getattr(data, "drop_events", 0.0),
            jitter_events=getattr(data, "jitter_events", 0.0),
        )
        return batches, to_tensors(validation, self.device)


Adopt = Callable[[Experiment, str, int, Path], None]
"""Called with (experiment, stage, seed, folder) before an unfinished stage: it may put a finished
one into the folder."""


def _train_it(experiment: Experiment, name: str, seed: int, folder: Path) -> None:
    del experiment, name, seed, folder


@dataclass(frozen=True, kw_only=True)
class Context:
    """Where and on whose behalf a part of a run is done; none of it changes a result beyond bits.

    ``threads`` None means as many as pay, see :mod:`spiketicket.experiment.threads`.
    ``load`` reads the data, ``sweep`` is as in :func:`spiketicket.machine.claims.claimed`. All of
    ``workers`` do the same part together; the first one claims and writes.
    """

    device: str = "cpu"
    threads: int | None = None
    reporter: Reporter = field(default_factory=NullReporter)
    guard: Guard = unguarded
    adopt: Adopt = _train_it
    sweep: str = ""
    load: Callable[[DataConfig], Dataset] = load_dataset
    workers: Workers = ALONE


def prepare_experiment(recipe: Recipe, context: Context) -> Experiment:
    """Read a recipe's data and refuse what could not be trained; says what slows it down.

    Sets PyTorch's number of threads, see :mod:`spiketicket.experiment.threads`.

    Raises:
        UserError: missing data, or a network that does not fit it.
    """
    reporter = context.reporter
    if context.device == "cpu":
        allocator.keep_freed_memory()
        if recipe.train.kernel == "auto" and not native.available():
            reporter.message(
                "the C library of the neurons cannot be used: plain PyTorch computes them, slower;"
                " spiketicket version -v says why"
            )
        if recipe.train.precision == "bf16" and not processor.computes_bfloat16():
            reporter.message(
                "this processor emulates bfloat16, many times slower than float32:"
                " train.precision = fp32, another recipe, is fast here"
            )
    tell_doing(reporter, f"reading {recipe.data.name}")
    dataset = context.load(recipe.data)
    device = own_device(context.device)
    experiment = Experiment(
        recipe=recipe,
        dataset=dataset,
        device=device,
        precision=context.workers.agreed(resolved(recipe, device.type)),
        guard=context.guard,
        workers=context.workers,
    )
    for note in dataset.notes:
        reporter.message(f"{dataset.name}: {note}")
    _check_frames(experiment)
    problem = misfit(recipe.model, experiment.shape, recipe.data.side_keys)
    if problem is not None:
        raise problem
    _check_memory(experiment)
    check(recipe, experiment.shape)
    if recipe.model.encoder != "none":
        encoder_filters(experiment.split(recipe.seed)[0])  # refuses what cannot be whitened
    check_sizes(recipe, experiment.shape, pictures=dataset.train.x.ndim == 4)
    if context.threads is not None:
        parallel.use(context.threads)
    elif context.device == "cpu":
        parallel.use(threads.choose(recipe, experiment.shape))
    return experiment


def _check_memory(experiment: Experiment) -> None:
    """Whether a network's weights, and what training keeps of each, can be held."""
    model = experiment.recipe.model
    count = 0
    with contextlib.suppress(UserError):  # building it says what does not fit, and better
        weights = weight_shapes(model.name, model.model_dump(mode="json"), experiment.shape)
        count = sum(math.prod(shape) for _, shape in weights or ())
    need_memory(
        _BYTES_A_WEIGHT * count,
        f"the network's {count:,} weights and their training",
        "model",
        "Use a smaller network",
    )


def _check_frames(experiment: Experiment) -> None:
    """Whether the network and its ramp go through as many time steps as a recording has frames."""
    recipe, frames = experiment.recipe, experiment.dataset.frames
    if experiment.dataset.train.x.ndim != 5:
        return
    if recipe.model.timesteps != frames:
        raise frames_differ(recipe.model.timesteps, frames)
    for _, steps in recipe.train.timestep_ramp:
        if frames % steps:
            raise UserError(
                f"must divide the {frames} frames of a recording",
                where="train.timestep_ramp",
                value=steps,
                remedy="Use divisors, or another data.steps",
            )
