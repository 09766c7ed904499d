"""Binary activation -1/+1 with the clipped straight-through estimator (Hubara et al. 2016).

The activation of the binary-activation BNN: no membrane, no time.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

from spiketicket.recipe import NeuronConfig


class Config(NeuronConfig):
    """A sign has no parameters."""

    name: Literal["sign"] = "sign"


class _Sign(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return (x >= 0).to(x.dtype) * 2 - 1

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        grad: Tensor = grads[0] * (x.abs() <= 1)
        return grad


class Sign(nn.Module):
    r"""``[T, ...]`` to ``[T, ...]`` of -1 and +1, with a clipped straight-through gradient.

    $$y = 1 \text{ if } x \ge 0 \text{, else } -1$$

    $$\frac{dy}{dx} = 1 \text{ if } |x| \le 1 \text{, else } 0$$
    """

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = _Sign.apply(x)  # type: ignore[no-untyped-call]
        return out


def make(config: Config, kernel: str = "auto") -> nn.Module:
    """The activation as a module; it has one way to be computed."""
    return Sign()
