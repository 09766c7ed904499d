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

from spiketicket.methods._layers import WeightStart, initial_weight, prunable
from spiketicket.philox import Stream


class _Binary(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, alpha: Tensor, mask: Tensor | None) -> Tensor:
        ctx.save_for_backward(mask)
        values = torch.where(weight < 0, -alpha, alpha)
        return values if mask is None else values * mask

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (mask,) = ctx.saved_tensors
        return grads[0] if mask is None else grads[0] * mask, None, None


class TrainedWeight(nn.Module):
    """Parametrization of one layer's weight; buffer ``mask`` (bool) or None for a dense layer."""

    mask: Tensor | None

    def __init__(self, mask: Tensor | None, binary: bool) -> None:
        super().__init__()
        self.binary = binary
        self.register_buffer("mask", mask)

    def scale(self, weight: Tensor) -> Tensor:
        """alpha, float32 scalar, no gradient."""
        magnitude = weight.detach().double().abs()
        if self.mask is None:
            return magnitude.mean().float()
        return ((magnitude * self.mask).sum() / self.mask.sum()).float()

    def forward(self, weight: Tensor) -> Tensor:
        if self.binary:
            out: Tensor = _Binary.apply(weight, self.scale(weight), self.mask)  # type: ignore[no-untyped-call]
            return out
        return weight if self.mask is None else weight * self.mask


def attach_trained(
    model: nn.Module, *, binary: bool, seed: int, start: WeightStart, frozen: bool,
    masks: Mapping[str, Tensor] | None = None,
) -> list[nn.Parameter]:  # fmt: skip
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
