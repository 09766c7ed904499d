"""The mask of iterative magnitude pruning on new random weights: the lottery ticket's own control.

Frankle & Carbin, ICLR 2019 (arXiv 1803.03635): if a ticket is more than its mask, it must do
better than the same mask with weights drawn anew. The rounds are those of ``imp`` with the same
settings (a sweep trains them once); the ticket starts from other random weights and has the whole
schedule.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from spiketicket.methods import imp
from spiketicket.methods.layers import largest_masks
from spiketicket.methods.pruning import (
    Plan,
    Prepared,
    PruningConfig,
    Scene,
    magnitudes_in,
    weight_start,
)

__all__ = ["Config", "plans", "prepare", "weight_start"]


class Config(PruningConfig, imp.Options):
    """The settings of the rounds, as of ``imp``."""

    name: Literal["random_reinit"] = "random_reinit"


def plans(config: Config) -> tuple[Plan, ...]:
    """The stages of ``imp``, the ticket from other weights."""
    *rounds, ticket = imp.plans(config)
    return (*rounds, replace(ticket, reads={**ticket.reads, "start": "drawn anew"}))


def prepare(plan: Plan, scene: Scene) -> Prepared:
    """Make a training ready."""
    if plan.name != "ticket":
        return imp.prepare(plan, scene)
    config = scene.config
    magnitudes = magnitudes_in(scene.weights(plan.needs[-1]), scene.layers())
    masks = largest_masks(magnitudes, config.density, config.scope)
    return scene.trained(masks, scene.fresh("weight, drawn anew"))
