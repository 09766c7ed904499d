"""Rectified linear unit: the activation of the non-spiking ANN and BNN."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from spiketicket.recipe import NeuronConfig


class Config(NeuronConfig):
    """A ReLU has no parameters."""

    name: Literal["relu"] = "relu"


class ReLU(nn.Module):
    r"""``[T, ...]`` to ``[T, ...]``, elementwise.

    $$y = \max(0, x)$$
    """

    def forward(self, x: Tensor) -> Tensor:
        return x.relu()


def make(config: Config, kernel: str = "auto") -> nn.Module:
    """The activation as a module; it has one way to be computed."""
    return ReLU()
