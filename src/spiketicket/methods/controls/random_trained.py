"""A random mask with as many weights in every layer as the ticket keeps, its weights trained.

What sparsity alone gives: Liu et al., "The Unreasonable Effectiveness of Random Pruning", ICLR 2022
(arXiv 2202.02643).
"""

from __future__ import annotations

from torch import Tensor

from spiketicket.methods.controls.asked import Asked, trained
from spiketicket.methods.masks import random_masks
from spiketicket.methods.scene import Prepared, Scene
from spiketicket.methods.stages import ALL, Stage
from spiketicket.streams import Stream


def stage(asked: Asked) -> Stage:
    """One training under the mask."""
    return Stage(
        name="random_trained",
        title="random mask, trained",
        role="control",
        model=asked.trained_model,
        needs=("ticket",),
        ignores=ALL,
        prepare=_prepare,
    )


def masks_like_ticket(scene: Scene) -> dict[str, Tensor]:
    """The random mask of the seed by layer; as many weights as the ticket keeps of each."""
    shapes = {name: tuple(weight.shape) for name, weight in scene.layers().items()}
    kept = scene.earlier("ticket").kept_by_layer()
    return random_masks(shapes, kept, Stream(scene.seed, "random mask"))


def _prepare(stage: Stage, scene: Scene) -> Prepared:
    del stage
    return trained(scene, masks_like_ticket(scene))
