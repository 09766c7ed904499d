"""One-shot magnitude pruning: train, keep the largest weights, train again.

Han et al., "Learning both Weights and Connections for Efficient Neural Networks", NIPS 2015
(arXiv 1506.02626). What the second training starts from decides much: ``trained`` goes on from
the trained weights under the whole schedule (learning-rate rewinding of Renda et al., ICLR 2020,
arXiv 2003.02389), ``rewound`` from an early step (weight rewinding, one-shot).
"""

from __future__ import annotations

from typing import Literal

from spiketicket.methods.layers import Scope, largest_masks
from spiketicket.methods.pruning import (
    Plan,
    Prepared,
    PruningConfig,
    Scene,
    magnitudes_in,
    weight_start,
)
from spiketicket.methods.rewinding import (
    PRETRAINED,
    RewindOptions,
    prepare_pretrained,
    pretrained,
    rewound,
)

__all__ = ["Config", "plans", "prepare", "weight_start"]


class Config(PruningConfig, RewindOptions):
    """Hyper-parameters."""

    name: Literal["magnitude"] = "magnitude"
    scope: Scope = "global"
    """One threshold for all layers, or one per layer."""
    start: Literal["trained", "rewound"] = "trained"
    """What the pruned net is trained from."""


def plans(config: Config) -> tuple[Plan, ...]:
    """The dense training and the ticket's."""
    reads = {
        "masks": "magnitude",
        "density": config.density,
        "scope": config.scope,
        "start": config.start,
    }
    return pretrained(config), Plan("ticket", reads, needs=(PRETRAINED,))


def prepare(plan: Plan, scene: Scene) -> Prepared:
    """Make a training ready."""
    config = scene.config
    if plan.name == PRETRAINED:
        return prepare_pretrained(scene, config)
    state = scene.weights(PRETRAINED)
    magnitudes = magnitudes_in(state, scene.layers())
    masks = largest_masks(magnitudes, config.density, config.scope)
    if config.start == "rewound":
        return rewound(scene, config, masks)
    return scene.trained(masks, state)
