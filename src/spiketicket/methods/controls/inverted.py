"""The weights of the smallest scores, as many of every layer as the ticket keeps.

Frankle et al., "Pruning Neural Networks at Initialization: Why Are We Missing the Mark?", ICLR 2021
(arXiv 2009.08576), invert scores: a criterion that knows something must do worse upside down. The
weights are frozen as drawn where the method trains scores (edge-popup), and with the signs that
their scores give them where it searches signs; else drawn anew and trained, as those of the other
controls. Of a method that prunes in rounds, the scores are those of
the dense net, before the first round.
"""

from __future__ import annotations

import functools

from spiketicket.methods.controls.asked import Asked, frozen, ticket_masks, trained
from spiketicket.methods.masks import inverted_masks
from spiketicket.methods.scene import Prepared, Scene
from spiketicket.methods.stages import ALL, Stage
from spiketicket.methods.states import read_scores
from spiketicket.methods.weights import WeightStart
from spiketicket.recipe import Recipe

READS_SCORES = True


def impossible(recipe: Recipe) -> str:
    """A method without scores has nothing to invert."""
    return "" if recipe.ticket.scored else f"{recipe.ticket.name} keeps no scores to invert"


def stage(asked: Asked) -> Stage:
    """One training, or an estimate of BatchNorm statistics."""
    freeze = asked.recipe.ticket.trains == "scores"
    return Stage(
        name="inverted",
        title=f"smallest scores, {'frozen' if freeze else 'trained'}",
        role="control",
        model=None if freeze else asked.trained_model,
        trains=() if freeze else ("weights",),
        needs=("ticket",),
        ignores=ALL,
        prepare=functools.partial(_prepare, start=asked.frozen_start),
    )


def _prepare(stage: Stage, scene: Scene, *, start: WeightStart) -> Prepared:
    masks = ticket_masks(scene)
    shapes = {name: mask.shape for name, mask in masks.items()}
    scores = read_scores(scene.earlier("ticket").scores, shapes)
    chosen = inverted_masks(masks, scores)
    if stage.trains:
        return trained(scene, chosen)
    signs = scores if scene.config.signs_searched else None
    return frozen(scene, start, chosen, signs)
