"""One-shot magnitude pruning: train, keep the largest weights, train again.

Han et al., "Learning both Weights and Connections for Efficient Neural Networks", NIPS 2015
(arXiv 1506.02626). What the second training starts from decides much: ``trained`` goes on from
the trained weights under the whole schedule (learning-rate rewinding of Renda et al., ICLR 2020,
arXiv 2003.02389), ``rewound`` from an early step (weight rewinding, one-shot).
"""

from __future__ import annotations

from typing import Literal

from spiketicket.methods.masks import Scope, largest_masks
from spiketicket.methods.pruning import PruningConfig, the_ticket, with_controls
from spiketicket.methods.rewinding import (
    PRETRAINED,
    RewindOptions,
    prepare_pretrained,
    pretrained,
    rewound,
)
from spiketicket.methods.scene import Prepared, Scene
from spiketicket.methods.stages import Stage
from spiketicket.methods.states import magnitudes_in
from spiketicket.recipe import Recipe


class Config(PruningConfig, RewindOptions):
    """Hyper-parameters."""

    scored = True

    name: Literal["magnitude"] = "magnitude"
    scope: Scope = "global"
    """One threshold for all layers, or one per layer."""
    start: Literal["trained", "rewound"] = "trained"
    """What the pruned net is trained from."""


def stages(recipe: Recipe) -> tuple[Stage, ...]:
    """The dense training and the ticket's."""
    dense = pretrained("scope", "start")
    return with_controls(recipe, dense, the_ticket(needs=(PRETRAINED,)), dense=PRETRAINED)


def prepare(stage: Stage, scene: Scene) -> Prepared:
    """Make a training ready."""
    config = scene.config
    if stage.name == PRETRAINED:
        return prepare_pretrained(scene, config)
    state = scene.weights(PRETRAINED)
    magnitudes = magnitudes_in(state, scene.layers())
    scene.keep_scores(magnitudes)
    masks = largest_masks(magnitudes, config.density, config.scope)
    if config.start == "rewound":
        return rewound(scene, config, masks)
    return scene.trained(masks, state)
