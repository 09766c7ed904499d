r"""edge-popup with float or binary weights: find a ticket without training a weight.

Ramanujan et al., "What's Hidden in a Randomly Weighted Neural Network?", CVPR 2020 (float) and
Diffenderfer & Kailkhura, "Multi-Prize Lottery Ticket Hypothesis", ICLR 2021 (biprop, binary);
on spiking networks: Cheng et al., IROS 2024.

Every frozen random weight W has a score s. The mask M is 1 for the fraction ``density`` of the
weights with the largest absolute scores, else 0. The layer computes with the effective weight, in a
float ticket

$$W_{\text{eff}} = W \cdot M$$

and in a binary one, with one scale per layer,

$$W_{\text{eff}} = \alpha \cdot \text{sign}(W) \cdot M, \quad \alpha = \frac{\sum |W| M}{\sum M}$$

The gradient goes straight through to the scores, without the scale:

$$\frac{\partial L}{\partial s} :=
\frac{\partial L}{\partial W_{\text{eff}}} \cdot W \cdot \text{sign}(s)$$
"""

from __future__ import annotations

import math
from typing import Literal, cast

import torch
from torch import Tensor, nn

from spiketicket.methods.scene import Prepared, Scene
from spiketicket.methods.score_search import ScoreConfig, ScoreSearch, prepared, searched
from spiketicket.methods.stages import Stage
from spiketicket.methods.weights import fan_in
from spiketicket.recipe import Recipe
from spiketicket.streams import Stream


class Config(ScoreConfig):
    """Hyper-parameters of the search."""

    name: Literal["edge_popup"] = "edge_popup"
    score_init: Literal["kaiming_uniform", "constant"] = "kaiming_uniform"
    """What scores start from: uniform on +-1/sqrt(fan in), or all of them 1."""


class EdgePopup(ScoreSearch):
    """The search attached to a model."""

    def initial_scores(self, shape: tuple[int, ...], stream: Stream) -> Tensor:
        """Uniform on +-1/sqrt(fan in), which is kaiming_uniform(a=sqrt(5)), or all of them 1."""
        if cast("Config", self.config).score_init == "constant":
            return torch.ones(shape)
        bound = 1.0 / math.sqrt(fan_in(shape))
        values = stream.uniform(math.prod(shape)) * 2 - 1
        return torch.from_numpy(values.reshape(shape)) * bound


def stages(recipe: Recipe) -> tuple[Stage, ...]:
    """The search, which is the ticket, and its controls."""
    return searched(recipe)


def prepare(stage: Stage, scene: Scene) -> Prepared:
    """Make the search ready."""
    del stage
    return prepared(scene, EdgePopup)


def attach(model: nn.Module, config: Config, *, binary: bool, seed: int, epochs: int) -> EdgePopup:
    """Put the search on every convolution and linear layer of ``model``, in place.

    The layers' weights are replaced by random ones of the seed and are never touched again.
    """
    return EdgePopup(model, config, binary=binary, seed=seed, epochs=epochs)
