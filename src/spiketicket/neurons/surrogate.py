"""Spikes with a surrogate gradient.

Forward: ``spike(x) = 1 if x >= 0 else 0``. Backward: the derivative of a smooth step, see
``derivative``; the functions are SpikingJelly's ``Sigmoid``, ``ATan`` and ``PiecewiseQuadratic``
(Neftci et al. 2019; Fang et al. 2021; Bellec et al. 2018).
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor

SurrogateName = Literal["sigmoid", "atan", "triangle"]


def derivative(name: SurrogateName, alpha: float, x: Tensor) -> Tensor:
    r"""Derivative of the smooth step at ``x``, elementwise, same shape.

    ``sigmoid``, with the logistic function $\sigma$:

    $$\alpha \, \sigma(\alpha x) (1 - \sigma(\alpha x))$$

    ``atan``:

    $$\frac{\alpha}{2} \cdot \frac{1}{1 + (\frac{\pi}{2} \alpha x)^2}$$

    ``triangle``:

    $$\max(0, \alpha - \alpha^2 |x|)$$
    """
    if name == "sigmoid":
        s = torch.sigmoid(alpha * x)
        return alpha * s * (1 - s)
    if name == "atan":
        return alpha / 2 / (1 + (math.pi / 2 * alpha * x) ** 2)
    return torch.clamp(alpha - alpha**2 * x.abs(), min=0)


class _Spike(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, name: SurrogateName, alpha: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.surrogate = (name, alpha)
        return (x >= 0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (x,) = ctx.saved_tensors
        name, alpha = ctx.surrogate
        return grads[0] * derivative(name, alpha, x), None, None


def spike(x: Tensor, name: SurrogateName, alpha: float) -> Tensor:
    """0/1 spikes of the dtype of ``x`` where ``x >= 0``, with a surrogate gradient."""
    out: Tensor = _Spike.apply(x, name, alpha)  # type: ignore[no-untyped-call]
    return out
