"""The ticket's own mask shuffled, its weights trained: does it matter which weights are kept?

Each layer's mask is shuffled inside every output channel's row, so that layers and channels keep
as many weights as in the ticket, and only their places are chance. Su et al., "Sanity-Checking
Pruning Methods: Random Tickets can Win the Jackpot", NeurIPS 2020 (arXiv 2009.11094), and Frankle
et al., "Pruning Neural Networks at Initialization: Why Are We Missing the Mark?", ICLR 2021 (arXiv
2009.08576), shuffle within each layer.
"""

from __future__ import annotations

from spiketicket.methods.controls.asked import Asked, ticket_masks, trained
from spiketicket.methods.masks import shuffled_masks
from spiketicket.methods.scene import Prepared, Scene
from spiketicket.methods.stages import ALL, Stage
from spiketicket.streams import Stream


def stage(asked: Asked) -> Stage:
    """One training under the shuffled mask."""
    return Stage(
        name="shuffled",
        title="mask shuffled, trained",
        role="control",
        model=asked.trained_model,
        needs=("ticket",),
        ignores=ALL,
        prepare=_prepare,
    )


def _prepare(stage: Stage, scene: Scene) -> Prepared:
    del stage
    return trained(scene, shuffled_masks(ticket_masks(scene), Stream(scene.seed, "shuffled mask")))
