"""Whether a ticket can be searched in a network this package knows nothing about.

What a search would do wrong without a word is refused by name: weights it would not cover, layers
that take no part or do not compute with their weight, statistics that depend on the batch, state
that outlives a call. So is a network that cannot be called at all, or gives something else than a
row of logits for each input.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from spiketicket.errors import UserError
from spiketicket.methods.plain_layers import require_plain_layers
from spiketicket.models.probe import Probe, computed_weight, held, said
from spiketicket.models.prunable import is_left, prunable
from spiketicket.ticket.codec import STORED

_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_NORMS = (nn.modules.batchnorm._BatchNorm,)
_LEAVE = "Name it in leave, to keep it as it is, or replace it"
_FORGET = (
    "Forget the state at the start of forward; that of SpikingJelly, snnTorch and norse neurons"
    " is forgotten for you"
)


def require_usable(model: nn.Module, probe: Probe, *, classes: int | None = None) -> int:
    """Refuse a network in which a search would silently do something else than it says.

    Args:
        model: as it is before any search; not changed.
        probe: a copy of it; its mode and its statistics change.
        classes: how many logits it must give; without it any number will do.

    Returns:
        How many logits it gives.

    Raises:
        UserError: the first problem, by the layer's name.
    """
    require_searchable(model)
    outputs = probe.require_rows(classes)
    _no_state_between_calls(probe)
    _all_take_part(probe)
    require_plain_layers(probe)
    return outputs


def require_searchable(model: nn.Module) -> dict[str, nn.Module]:
    """The layers of a ticket by path, of a network that is not called for it.

    Raises:
        UserError: as :func:`require_usable`, for what its parameters and modules alone tell.
    """
    _is_stored(model)
    layers = prunable(model)
    _weights_are_plain(model, layers)
    _no_shared_parameter(model)
    _no_uncovered_weight(model, layers)
    _norms_have_statistics(model)
    return layers


def _is_stored(model: nn.Module) -> None:
    """Refuse what a search does not compute with, or a ticket cannot hold."""
    for name, parameter in model.named_parameters():
        if parameter.is_floating_point() and parameter.dtype != torch.float32:
            raise UserError(
                "a search computes in float32",
                where=name,
                value=str(parameter.dtype),
                remedy='Call net.float() first; precision = "bf16" multiplies in bfloat16',
            )
    for name, buffer in model.state_dict().items():
        if str(buffer.dtype).removeprefix("torch.") not in STORED:
            raise UserError("a ticket cannot hold it", where=name, value=str(buffer.dtype))


def _weights_are_plain(model: nn.Module, layers: dict[str, nn.Module]) -> None:
    for name, layer in layers.items():
        if "weight" not in layer._parameters:
            raise computed_weight(name or type(model).__name__)


def _same(a: Tensor, b: Tensor) -> bool:
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    return torch.allclose(a, b, equal_nan=True) if a.is_floating_point() else torch.equal(a, b)


def _no_shared_parameter(model: nn.Module) -> None:
    seen: dict[int, str] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        first = seen.setdefault(id(parameter), name)
        if first != name:
            raise UserError(
                f"is the same parameter as {first}; a ticket needs them apart",
                where=name,
                remedy="A layer that is used twice may have one name and be called twice",
            )


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
                    where=f"{name}.{key}".lstrip("."),
                    value=tuple(parameter.shape),
                    remedy=_LEAVE,
                )


def _norms_have_statistics(model: nn.Module) -> None:
    for name, module in model.named_modules():
        if isinstance(module, _NORMS) and module.running_mean is None:
            raise UserError(
                "has no running statistics: an answer would depend on the batch it is in",
                where=name,
                value="track_running_stats=False",
                remedy="Build it with True",
            )


@torch.no_grad()
def _no_state_between_calls(probe: Probe) -> None:
    probe.model.eval()
    output, first = probe.call()
    kept = _states(probe.model)
    again, second = probe.call()
    # Before the outputs: neurons that have not fired yet show their state nowhere else, and where
    # it shows, it does so in later layers too.
    _no_state_held(kept, probe)
    pairs = zip([*first, ("", [output])], [*second, ("", [again])], strict=False)
    for (name, a), (other, b) in pairs:
        if name != other or len(a) != len(b) or not all(map(_same, a, b)):
            raise UserError(
                "answers the same input differently the second time: it keeps state between calls,"
                " or draws random numbers in evaluation mode",
                where=name or probe.where,
                remedy=_FORGET,
            )


def _states(model: nn.Module) -> dict[str, dict[str, Tensor]]:
    """Module -> the numbers it keeps. Integers count things, and statistics are no state."""
    return {
        name: {k: t.detach().clone() for k, t in held(module) if t.is_floating_point()}
        for name, module in model.named_modules()
        if not isinstance(module, nn.modules.batchnorm._NormBase)
    }


def _no_state_held(before: dict[str, dict[str, Tensor]], probe: Probe) -> None:
    for name, after in _states(probe.model).items():
        for key, old in before[name].items():
            # A list that only grows is a record of what happened.
            if key in after and not _same(old, after[key]):
                raise UserError(
                    f"keeps state between calls: after the same input, its {key} is not the same"
                    " the second time",
                    where=name or probe.where,
                    remedy=_FORGET,
                )


def _all_take_part(probe: Probe) -> None:
    model = probe.model.train()
    layers = prunable(model)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    weights: list[Any] = [layer.weight.requires_grad_(True) for layer in layers.values()]
    grads = _gradients(probe, weights)
    unused = [name for name, grad in zip(layers, grads, strict=True) if grad is None]
    if unused:
        raise UserError(
            "takes no part in the output: forward never calls it, or nothing it computes is used",
            where=", ".join(unused),
            remedy="Remove it, or name it in leave",
        )
    _gradients(probe, weights)  # state kept out of sight would still have the first one's graph


def _gradients(probe: Probe, weights: list[Any]) -> Any:
    with torch.enable_grad():
        output, _ = probe.call()
        if not output.requires_grad:
            raise UserError("no gradient reaches any layer", where=probe.where)
        try:
            return torch.autograd.grad(output.sum(), weights, allow_unused=True)
        except RuntimeError as error:
            what = f"has no gradient, or none the second time: {said(error)}"
            raise UserError(what, where=probe.where, remedy=_FORGET) from error
