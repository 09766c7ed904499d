"""Trained weights, for the dense net and the random-mask controls: optional fixed mask, optional
binary weights with the straight-through estimator.

    W_eff  = W * M    or    alpha * sign(W) * M,  alpha = sum(|W|*M) / sum(M)
    dL/dW := dL/dW_eff * M

(BinaryConnect/XNOR-Net: Courbariaux et al. 2015, Rastegari et al. 2016.) A masked weight can
never come back: the mask is part of the forward pass, not a correction after the step.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils import parametrize

from spiketicket.models.prunable import TrainedWeight, prunable
from spiketicket.streams import Stream


@dataclass(frozen=True)
class WeightStart:
    """How weights start: ``kaiming_normal`` is N(0, 2/fan), ``signed_constant`` +-sqrt(2/fan).

    ``fan`` is the fan-in times ``fan_scale`` (the density, in the "scaled" initialisation of
    Ramanujan et al. 2020).
    """

    kind: Literal["kaiming_normal", "signed_constant"]
    fan_scale: float = 1.0


def initial_weight(start: WeightStart, shape: tuple[int, ...], stream: Stream) -> Tensor:
    """A random weight from our own counter stream: the same bytes everywhere."""
    count, std = math.prod(shape), math.sqrt(2.0 / (fan_in(shape) * start.fan_scale))
    values: NDArray[np.float32]
    if start.kind == "signed_constant":
        values = stream.signs(count).astype(np.float32) * np.float32(std)
    else:
        values = stream.normal(count) * np.float32(std)
    return torch.from_numpy(values.reshape(shape))


def fan_in(shape: tuple[int, ...]) -> int:
    """Inputs of one output: all axes of a weight but the first."""
    return math.prod(shape[1:])


def norm_parameters(model: nn.Module) -> list[nn.Parameter]:
    """Scales and shifts of all normalisation layers."""
    kinds = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm)
    return [p for m in model.modules() if isinstance(m, kinds) for p in m.parameters()]


def attach_trained(
    model: nn.Module,
    *,
    binary: bool,
    seed: int,
    start: WeightStart,
    frozen: bool,
    masks: Mapping[str, Tensor] | None = None,
) -> list[nn.Parameter]:
    """Give every prunable layer fresh weights of the seed, a mask if any, and return the weights.

    The weights start from the same streams as a ticket search with the same seed does; ``frozen``
    leaves them untrained, so that only BatchNorm statistics move.
    """
    for name, layer in prunable(model).items():
        weight = cast("nn.Parameter", layer.weight)
        shape = tuple(weight.shape)
        value = initial_weight(start, shape, Stream(seed, "weight", name))
        with torch.no_grad():
            weight.copy_(value)
        mask = None if masks is None else masks[name].to(weight.device)
        parametrize.register_parametrization(
            layer, "weight", TrainedWeight(mask, binary), unsafe=True
        )
        cast("nn.Parameter", cast("Any", layer).parametrizations.weight.original).requires_grad_(
            not frozen
        )
    return [p for p in model.parameters() if p.requires_grad]


def attach_kept(model: nn.Module, layers: Mapping[str, Any], *, frozen: bool) -> list[nn.Parameter]:
    """Keep the weights a model has now, under the masks of a ticket's layers, for fine-tuning.

    ``layers`` are :class:`~spiketicket.ticket.TicketLayer` by path; a layer without one is dense
    and float. Returns what is trained: all of it, or nothing where ``frozen``.
    """
    for name, layer in prunable(model).items():
        known = layers.get(name)
        mask = None if known is None else torch.from_numpy(known.mask.copy())
        binary = known is not None and known.kind == "binary"
        if mask is not None:
            mask = mask.to(cast("Tensor", layer.weight).device)
        parametrize.register_parametrization(
            layer, "weight", TrainedWeight(mask, binary), unsafe=True
        )
    for parameter in model.parameters():
        parameter.requires_grad_(not frozen)
    return [] if frozen else list(model.parameters())


@torch.no_grad()
def flip_signs(model: nn.Module, seed: int) -> None:
    """Flip the sign of every weight by a coin of the seed, in place; pruned ones stay zero."""
    for name, layer in prunable(model).items():
        weight = cast("nn.Parameter", layer.weight)
        coins = Stream(seed, "flipped sign", name).signs(weight.numel()).astype(np.float32)
        weight.mul_(torch.from_numpy(coins).view(weight.shape).to(weight.device))
