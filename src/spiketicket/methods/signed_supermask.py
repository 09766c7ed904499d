r"""Signed supermask: find a ticket and the signs of its weights without training a weight.

Koster, Grothe & Rettinger, "Signing the Supermask: Keep, Hide, Invert", ICLR 2022 (arXiv
2201.13361). A score s says of its frozen random weight W whether it is kept, hidden or inverted.
The mask M is 1 for the fraction ``density`` of the weights with the largest absolute scores, else
0: the density is exact, where the paper has two fixed thresholds. The layer computes with

$$W_{\text{eff}} = W \cdot \text{sign}(s) \cdot M$$

and in a binary ticket, with one scale per layer, with

$$W_{\text{eff}} = \alpha \cdot \text{sign}(W) \cdot \text{sign}(s) \cdot M, \quad
\alpha = \frac{\sum |W| M}{\sum M}$$

where sign(0) is 1. The gradient goes straight through to the scores, without the scale:

$$\frac{\partial L}{\partial s} := \frac{\partial L}{\partial W_{\text{eff}}} \cdot W$$

No seed draws the signs that were found: a binary ticket's file holds one more bit per kept weight.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal, cast

import torch
from annotated_types import Gt, Le
from torch import Tensor

from spiketicket.methods.scene import Prepared, Scene
from spiketicket.methods.score_search import ScoreConfig, ScoreSearch, prepared, searched
from spiketicket.methods.stages import Stage
from spiketicket.recipe import Recipe
from spiketicket.streams import Stream


class Config(ScoreConfig):
    """Hyper-parameters of the search."""

    signs_searched = True

    name: Literal["signed_supermask"] = "signed_supermask"
    score_std: Annotated[float, Gt(0), Le(1000)] = 0.05
    """Standard deviation of the scores, which start from a normal around 0."""


class SignedSupermask(ScoreSearch):
    """The search attached to a model."""

    signed = True

    def initial_scores(self, shape: tuple[int, ...], stream: Stream) -> Tensor:
        """Normal around 0: half of the weights start inverted."""
        values = stream.normal(math.prod(shape)).reshape(shape)
        return torch.from_numpy(values) * cast("Config", self.config).score_std


def stages(recipe: Recipe) -> tuple[Stage, ...]:
    """The search, which is the ticket, and its controls."""
    return searched(recipe)


def prepare(stage: Stage, scene: Scene) -> Prepared:
    """Make the search ready."""
    del stage
    return prepared(scene, SignedSupermask)
