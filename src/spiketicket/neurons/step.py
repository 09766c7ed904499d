"""Binary activation 0/1 without a membrane.

A spike that remembers nothing: LIF with ``decay = 0`` gives the same output and gradient. The
gradient is a surrogate's (see ``surrogate.py``).
"""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Gt, Le
from torch import Tensor, nn

from spiketicket.neurons import lif
from spiketicket.neurons.surrogate import SurrogateName, spike
from spiketicket.recipe import NeuronConfig


class Config(NeuronConfig):
    """Threshold and surrogate gradient of the step."""

    name: Literal["step"] = "step"
    v_threshold: float = 0.0
    """Input from which on the output is 1."""
    surrogate: SurrogateName = "sigmoid"
    """Smooth step whose derivative is the gradient."""
    alpha: Annotated[float, Gt(0), Le(1e4)] = 4.0
    """Steepness of the surrogate."""


class Step(nn.Module):
    r"""``[T, ...]`` to ``[T, ...]`` of 0/1; ``kernel`` is for who computes more in one pass.

    $$y = 1 \text{ if } x \ge V_{\text{th}} \text{, else } 0$$
    """

    def __init__(self, config: Config, kernel: lif.Kernel = "auto") -> None:
        super().__init__()
        self.config, self.kernel = config, kernel

    def forward(self, x: Tensor) -> Tensor:
        c = self.config
        return spike(x - c.v_threshold, c.surrogate, c.alpha)


def as_lif(config: Config) -> lif.Config:
    """The LIF neuron without memory that gives the same; its threshold may be any number."""
    return lif.Config.model_construct(
        decay=0.0, v_threshold=config.v_threshold, surrogate=config.surrogate, alpha=config.alpha
    )


def make(config: Config, kernel: lif.Kernel = "auto") -> nn.Module:
    """The activation as a module."""
    return Step(config, kernel)
