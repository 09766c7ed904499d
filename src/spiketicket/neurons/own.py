"""The neurons a network of your own brings along (``model.name = "package.module:function"``)."""

from __future__ import annotations

from typing import Literal

from torch import nn

from spiketicket.errors import UserError
from spiketicket.recipe import NeuronConfig


class Config(NeuronConfig):
    """The network's own neurons have their parameters in its code."""

    name: Literal["own"] = "own"


def make(config: Config, kernel: str = "auto") -> nn.Module:
    """Nothing: this package does not make them.

    Raises:
        UserError: always.
    """
    raise UserError(
        "is for a network of your own, which brings its neurons",
        where="neuron.name",
        value=config.name,
        remedy='Name a neuron, or your network: model.name = "package.module:function"',
    )
