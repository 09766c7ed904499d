"""Uniformly quantised ReLU: the activation of an ANN that has as many bits as spikes over time.

Zhou et al., "DoReFa-Net" (arXiv 1606.06160), section 2.3: activations in a bounded range, quantised
uniformly, the gradient straight through the rounding. The range is fixed and not learned as in PACT
(Choi et al., arXiv 1805.06085): after BatchNorm inputs have one scale, and a half-wave quantiser of
a fixed step fits them (Cai et al., "HWGQ", CVPR 2017, arXiv 1702.00953).

The output is the number of the level, a whole number of ``bits`` bits. Its step, ``clip / (2**bits
- 1)``, is one scale for all, which the weights' scale or the BatchNorm after them takes up.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch
from annotated_types import Gt, Interval, Le
from torch import Tensor, nn

from spiketicket.recipe import NeuronConfig


class Config(NeuronConfig):
    """Levels of the activation."""

    name: Literal["quantised"] = "quantised"
    bits: Annotated[int, Interval(ge=1, le=8)] = 2
    """Bits of an output, which has 2**bits levels."""
    clip: Annotated[float, Gt(0), Le(1e4)] = 2.0
    """Input from which on the output is the highest level."""


class _Levels(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, highest: int, clip: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.scale, ctx.clip = highest / clip, clip
        return (x * (highest / clip)).clamp(0, highest).round()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (x,) = ctx.saved_tensors
        return grads[0] * ctx.scale * ((x >= 0) & (x <= ctx.clip)), None, None


class Quantised(nn.Module):
    r"""``[T, ...]`` to ``[T, ...]`` of whole numbers from 0 to n = 2^bits - 1, of equals the even.

    $$y = \text{round}(\min(\max(n x / c, 0), n))$$

    $$\frac{dy}{dx} = n / c \text{ if } 0 \le x \le c \text{, else } 0$$
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config

    def forward(self, x: Tensor) -> Tensor:
        config = self.config
        out: Tensor = _Levels.apply(x, 2**config.bits - 1, config.clip)  # type: ignore[no-untyped-call]
        return out


def make(config: Config, kernel: str = "auto") -> nn.Module:
    """The activation as a module; it has one way to be computed."""
    return Quantised(config)
