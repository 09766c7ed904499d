"""One stage of a recipe made ready, without its data: for images of any shape."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from spiketicket.experiment.folder import SeedFolder
from spiketicket.experiment.train import scene_of
from spiketicket.machine.claims import unguarded
from spiketicket.machine.workers import ALONE
from spiketicket.methods.method import prepare
from spiketicket.methods.scene import Prepared, Scene
from spiketicket.methods.stages import Stage, stages_of
from spiketicket.models.blocks import DataShape
from spiketicket.recipe import Recipe


def stage_of(recipe: Recipe, name: str) -> Stage:
    """A stage by its name."""
    return next(stage for stage in stages_of(recipe) if stage.name == name)


def scene_for(
    recipe: Recipe, name: str, shape: DataShape, place: Path, seed: int = 0, batches: Any = None
) -> Scene:
    """What the method is given; ``place`` has the folders of the earlier stages."""
    experiment: Any = SimpleNamespace(
        recipe=recipe,
        shape=shape,
        device=torch.device("cpu"),
        precision="fp32",
        workers=ALONE,
        guard=unguarded,
    )
    return scene_of(experiment, stage_of(recipe, name), seed, SeedFolder(place), batches)


def prepared(
    recipe: Recipe, name: str, shape: DataShape, place: Path, seed: int = 0, batches: Any = None
) -> Prepared:
    """The stage made ready."""
    scene = scene_for(recipe, name, shape, place, seed, batches)
    return prepare(stage_of(recipe, name), recipe, scene)


def names_of(recipe: Recipe) -> tuple[str, ...]:
    """The stages of a recipe by name, in the order they run."""
    return tuple(stage.name for stage in stages_of(recipe))
