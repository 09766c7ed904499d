"""Layers of a network that a ticket can cover."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from spiketicket.errors import UserError
from spiketicket.models.custom import LEFT

PRUNABLE = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


def is_left(module: nn.Module) -> bool:
    """Whether the user wants a layer to stay as it is."""
    return bool(getattr(module, LEFT, False))


def prunable(model: nn.Module) -> dict[str, nn.Module]:
    """Module path -> layer with a weight that a ticket can cover, in the order of the module tree.

    Raises:
        UserError: there is none, or two layers share one weight.
    """
    layers: dict[str, nn.Module] = {
        name: m for name, m in model.named_modules() if isinstance(m, PRUNABLE) and not is_left(m)
    }
    if not layers:
        raise UserError("the network has no convolution and no linear layer to search")
    seen: dict[int, str] = {}
    for name, layer in layers.items():
        if parametrize.is_parametrized(layer, "weight"):
            raise UserError(
                "the weight is parametrized already",
                where=name,
                remedy="Give the network as it is before any search, or bake it first",
            )
        first = seen.setdefault(id(layer.weight), name)
        if first != name:
            raise UserError(
                f"shares its weight with {first}; a ticket needs them apart", where=name
            )
    return layers


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
