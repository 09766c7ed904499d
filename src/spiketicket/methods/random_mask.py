"""A random mask of the same density in every layer, its weights trained: the least a method must
beat.

Liu et al., "The Unreasonable Effectiveness of Random Pruning", ICLR 2022 (arXiv 2202.02643), find
it strong where networks are wide. Its own control ``random_trained`` is another such mask.
"""

from __future__ import annotations

from typing import Literal

from spiketicket.methods.densities import kept_count
from spiketicket.methods.masks import random_masks
from spiketicket.methods.pruning import PruningConfig, the_ticket, with_controls
from spiketicket.methods.scene import Prepared, Scene
from spiketicket.methods.stages import Stage
from spiketicket.recipe import Recipe
from spiketicket.streams import Stream


class Config(PruningConfig):
    """Nothing beside the density."""

    name: Literal["random_mask"] = "random_mask"


def stages(recipe: Recipe) -> tuple[Stage, ...]:
    """One training."""
    return with_controls(recipe, the_ticket())


def prepare(stage: Stage, scene: Scene) -> Prepared:
    """Make the training ready."""
    del stage
    shapes = {name: tuple(weight.shape) for name, weight in scene.layers().items()}
    kept = {
        name: kept_count(weight.numel(), scene.config.density, f"layer {name}")
        for name, weight in scene.layers().items()
    }
    masks = random_masks(shapes, kept, Stream(scene.seed, "random mask ticket"))
    return scene.trained({n: m.to(scene.layers()[n].device) for n, m in masks.items()})
