"""Whether a ticket can be searched in a network this package knows nothing about.

What a search would do wrong without a word is refused by name: weights it would not cover, layers
that take no part, statistics that depend on the batch, state that outlives a call.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from spiketicket.errors import UserError
from spiketicket.methods._layers import is_left, prunable

Forward = Callable[[nn.Module, Tensor], Tensor]
"""Logits of a model for an input, its neurons reset before."""

_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_NORMS = (nn.modules.batchnorm._BatchNorm,)
_LEAVE = "Name it in leave, to keep it as it is, or replace it"


def require_usable(model: nn.Module, x: Tensor, forward: Forward) -> None:
    """Refuse a network in which a search would silently do something else than it says.

    Args:
        model: as it is before any search; not changed.
        x: a small batch of inputs.
        forward: how the model is called.

    Raises:
        UserError: the first problem, by the layer's name.
    """
    layers = prunable(model)
    _no_shared_parameter(model)
    _no_uncovered_weight(model, layers)
    _norms_have_statistics(model)
    probe = copy.deepcopy(model)
    _no_state_between_calls(probe, x, forward)
    _all_take_part(probe, x, forward)


def _no_shared_parameter(model: nn.Module) -> None:
    seen: dict[int, str] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        first = seen.setdefault(id(parameter), name)
        if first != name:
            raise UserError(
                f"is the same parameter as {first}; a ticket needs them apart", where=name,
                remedy="A layer that is used twice may have one name and be called twice",
            )  # fmt: skip


def _no_uncovered_weight(model: nn.Module, layers: dict[str, nn.Module]) -> None:
    for name, module in model.named_modules():
        if name in layers or is_left(module):
            continue
        if isinstance(module, _TRANSPOSED):
            what = "is a transposed convolution, which no ticket covers"
            raise UserError(what, where=name, remedy=_LEAVE + " by nn.Upsample and a convolution")
        for key, parameter in module.named_parameters(recurse=False):
            if parameter.dim() > 1:
                raise UserError(
                    f"is a weight of {type(module).__name__}, which no ticket covers",
                    where=f"{name}.{key}".lstrip("."), value=tuple(parameter.shape), remedy=_LEAVE,
                )  # fmt: skip


def _norms_have_statistics(model: nn.Module) -> None:
    for name, module in model.named_modules():
        if isinstance(module, _NORMS) and module.running_mean is None:
            raise UserError(
                "has no running statistics: an answer would depend on the batch it is in",
                where=name, value="track_running_stats=False", remedy="Build it with True",
            )  # fmt: skip


@torch.no_grad()
def _no_state_between_calls(model: nn.Module, x: Tensor, forward: Forward) -> None:
    model.eval()
    first, second = forward(model, x), forward(model, x)
    if not torch.equal(torch.nan_to_num(first), torch.nan_to_num(second)):
        raise UserError(
            "answers the same input differently the second time: it keeps state between calls,"
            " or draws random numbers in evaluation mode",
            where=type(model).__name__,
            remedy="Forget the state at the start of forward; that of SpikingJelly, snnTorch and"
            " norse neurons is forgotten for you",
        )


def _all_take_part(model: nn.Module, x: Tensor, forward: Forward) -> None:
    model.train()
    layers = prunable(model)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    weights: list[Any] = [layer.weight.requires_grad_(True) for layer in layers.values()]
    with torch.enable_grad():
        output = forward(model, x)
        if not output.requires_grad:
            raise UserError("no gradient reaches any layer", where=type(model).__name__)
        grads: Any = torch.autograd.grad(output.sum(), weights, allow_unused=True)
    unused = [name for name, grad in zip(layers, grads, strict=True) if grad is None]
    if unused:
        raise UserError(
            "takes no part in the output: forward never calls it, or nothing it computes is used",
            where=", ".join(unused),
            remedy="Remove it, or name it in leave",
        )
