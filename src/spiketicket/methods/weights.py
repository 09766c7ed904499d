"""Trained weights, for the dense net and the random-mask controls: optional fixed mask, optional
binary weights with the straight-through estimator.

    W_eff  = W * M    or    alpha * sign(W) * M,  alpha = sum(|W|*M) / sum(M)
    dL/dW := dL/dW_eff * M

(BinaryConnect/XNOR-Net: Courbariaux et al. 2015, Rastegari et al. 2016.) A masked weight can
never come back: the mask is part of the forward pass, not a correction after the step.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from spiketicket.methods.layers import WeightStart, initial_weight
from spiketicket.models.prunable import TrainedWeight, prunable
from spiketicket.streams import Stream


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
