"""BatchNorm as a part of the layer before it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from spiketicket.models.blocks import scale_and_shift


def folded(
    layer: nn.Conv2d | nn.Linear, norm: nn.BatchNorm1d | nn.BatchNorm2d | None
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Weight and bias, float32, that do what the layer and the BatchNorm after it do.

    The products are made in float64 and rounded once.
    """
    weight = layer.weight.detach().cpu().double()
    zero = torch.zeros(weight.shape[0], dtype=torch.float64)
    bias = zero if layer.bias is None else layer.bias.detach().cpu().double()
    if norm is not None:
        a, b = (part.detach().cpu().double() for part in scale_and_shift(norm))
        weight, bias = weight * a.view(-1, *[1] * (weight.dim() - 1)), a * bias + b
    return weight.float().numpy(), bias.float().numpy()
