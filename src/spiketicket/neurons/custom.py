"""The neurons a custom network brings along (``model.name = "package.module:function"``)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator
from torch import nn

from spiketicket.errors import UserError
from spiketicket.recipe import NeuronConfig


def _in_todays_words(name: object) -> object:
    return "custom" if name == "own" else name  # as version 0.2 calls them


class Config(NeuronConfig):
    """The network's own neurons have their parameters in its code."""

    name: Annotated[Literal["custom"], BeforeValidator(_in_todays_words)] = "custom"


def make(config: Config, kernel: str = "auto") -> nn.Module:
    """Nothing: this package does not make them.

    Raises:
        UserError: always.
    """
    raise UserError(
        "is for a custom network, which brings its neurons",
        where="neuron.name",
        value=config.name,
        remedy='Name a neuron, or your network: model.name = "package.module:function"',
    )
