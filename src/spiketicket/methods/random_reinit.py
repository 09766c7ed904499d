"""The mask of iterative magnitude pruning on new random weights: the lottery ticket's own control.

Frankle & Carbin, ICLR 2019 (arXiv 1803.03635): if a ticket is more than its mask, it must do
better than the same mask with weights drawn anew. The rounds are those of ``imp`` with the same
settings (a sweep trains them once); the ticket starts from other random weights and has the whole
schedule.
"""

from __future__ import annotations

from typing import Literal

from spiketicket.methods import imp
from spiketicket.methods.masks import largest_masks
from spiketicket.methods.pruning import PruningConfig, with_controls
from spiketicket.methods.rewinding import PRETRAINED
from spiketicket.methods.scene import Prepared, Scene
from spiketicket.methods.stages import Stage
from spiketicket.methods.states import magnitudes_in
from spiketicket.recipe import Recipe


class Config(PruningConfig, imp.Options):
    """The settings of the rounds, as of ``imp``."""

    scored = True

    name: Literal["random_reinit"] = "random_reinit"


def stages(recipe: Recipe) -> tuple[Stage, ...]:
    """The stages of ``imp``, the ticket from other weights."""
    return with_controls(recipe, *imp.trainings(recipe.ticket), dense=PRETRAINED)


def prepare(stage: Stage, scene: Scene) -> Prepared:
    """Make a training ready."""
    if stage.name != "ticket":
        return imp.prepare(stage, scene)
    config = scene.config
    magnitudes = magnitudes_in(scene.weights(stage.needs[-1]), scene.layers())
    if scene.keeps_scores:
        scene.keep_scores(magnitudes_in(scene.weights(PRETRAINED), scene.layers()))
    masks = largest_masks(magnitudes, config.density, config.scope)
    return scene.trained(masks, scene.fresh("weight, drawn anew"))
