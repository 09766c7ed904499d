"""Whether a ticket can be searched in a network this package knows nothing about.

What a search would do wrong without a word is refused by name: weights it would not cover, layers
that take no part, statistics that depend on the batch, state that outlives a call. So is a
network that cannot be called at all, or gives something else than logits.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from spiketicket.errors import UserError
from spiketicket.methods._layers import is_left, prunable
from spiketicket.models._own import require_initialised

Forward = Callable[[nn.Module, Tensor], Tensor]
"""Logits of a model for an input, its neurons reset before."""
Outputs = list[tuple[str, list[Tensor]]]
"""What each module gave, in the order they were done."""

_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_NORMS = (nn.modules.batchnorm._BatchNorm,)
_LEAVE = "Name it in leave, to keep it as it is, or replace it"
_FORGET = (
    "Forget the state at the start of forward; that of SpikingJelly, snnTorch and norse neurons"
    " is forgotten for you"
)
_DEEPEST = 3
"""How many lists and dicts inside one another are looked through for tensors."""


def require_usable(
    model: nn.Module, x: Tensor, forward: Forward, *, logits: tuple[int, int] | None = None,
    where: str = "", inputs: str = "",
) -> None:  # fmt: skip
    """Refuse a network in which a search would silently do something else than it says.

    Args:
        model: as it is before any search; not changed.
        x: a small batch of inputs.
        forward: how the model is called.
        logits: the shape of its output for ``x``; without it any ``[B, classes]`` will do.
        where: what a problem of the whole network is said to be of; its type by default.
        inputs: the shape of its inputs in words; made from that of ``x`` by default.

    Raises:
        UserError: the first problem, by the layer's name.
    """
    where = where or type(model).__name__
    inputs = inputs or f"[{', '.join(['B', *map(str, x.shape[1:])])}]"
    probe = _Probe(copied(model, where), x, forward, where, inputs)
    layers = prunable(model)
    _weights_are_plain(model, layers)
    _no_shared_parameter(model)
    _no_uncovered_weight(model, layers)
    _norms_have_statistics(model)
    _no_state_between_calls(probe, logits)
    _all_take_part(probe)


def copied(model: nn.Module, where: str = "") -> nn.Module:
    """A deep copy of a model.

    Raises:
        UserError: it cannot be copied, or the shape of a layer is not known yet.
    """
    require_initialised(model)
    try:
        return copy.deepcopy(model)
    except Exception as error:
        where = where or type(model).__name__
        for name, module in model.named_modules():
            # These are what torch refuses to copy.
            key = next((k for k, tensor in _held(module) if not tensor.is_leaf), None)
            if key == "weight":
                raise _computed_weight(name or where) from error
            if key is not None:
                raise UserError(
                    f"keeps {key}, the result of an earlier call, and so cannot be copied",
                    where=name or where, remedy="Give the network as it is before any call",
                ) from error  # fmt: skip
        raise UserError(f"cannot be copied: {_said(error)}", where=where) from error


def _computed_weight(name: str) -> UserError:
    return UserError(
        "has a weight that is computed from others, as by torch.nn.utils.weight_norm",
        where=name,
        remedy="A ticket needs a plain weight: build the layer without it, or call"
        " torch.nn.utils.remove_weight_norm",
    )


def _weights_are_plain(model: nn.Module, layers: dict[str, nn.Module]) -> None:
    for name, layer in layers.items():
        if "weight" not in layer._parameters:
            raise _computed_weight(name or type(model).__name__)


@dataclass(frozen=True)
class _Probe:
    """A copy of a model, to be called as it will be in training."""

    model: nn.Module
    x: Tensor
    forward: Forward
    where: str
    inputs: str

    def call(self) -> tuple[Any, Outputs]:
        """The model's output, and that of every module.

        Raises:
            UserError: it fails; names the layer.
        """
        entered: list[str] = []
        outputs: Outputs = []
        handles = list(_watched(self.model, entered, outputs))
        try:
            return self.forward(self.model, self.x), outputs
        except UserError:
            raise
        except Exception as error:
            raise UserError(
                f"fails in forward: {_said(error)}",
                where=(entered[-1] if entered else "") or self.where,
                remedy=f"The network is called with inputs {self.inputs}",
            ) from error
        finally:
            for handle in handles:
                handle.remove()


def _watched(model: nn.Module, entered: list[str], outputs: Outputs) -> Iterator[Any]:
    """Keep account of the modules being called, the innermost last, and of what they gave."""

    def watch(name: str, module: nn.Module) -> Iterator[Any]:
        def before(*_: Any) -> None:
            entered.append(name)

        def after(_module: nn.Module, _inputs: Any, output: Any) -> None:
            entered.pop()
            # Later modules may change it in place.
            outputs.append((name, [t.detach().clone() for _, t in _tensors("", output)]))

        yield module.register_forward_pre_hook(before)
        yield module.register_forward_hook(after)

    for name, module in model.named_modules():
        yield from watch(name, module)


def _tensors(key: str, value: Any, depth: int = 0) -> Iterator[tuple[str, Tensor]]:
    """The tensors in a value, with where in it they are; parameters are none of them."""
    if isinstance(value, Tensor):
        if not isinstance(value, nn.Parameter):
            yield key, value
    elif depth < _DEEPEST and isinstance(value, dict):
        for inner, part in value.items():
            yield from _tensors(f"{key}.{inner}", part, depth + 1)
    elif depth < _DEEPEST and isinstance(value, list | tuple):
        for number, part in enumerate(value):
            yield from _tensors(f"{key}[{number}]", part, depth + 1)


def _held(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The buffers and other tensors a module keeps itself."""
    for key, value in module.__dict__.items():
        if key not in ("_parameters", "_modules"):
            for path, tensor in _tensors(key, value):
                yield path.removeprefix("_buffers."), tensor


def _said(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


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
def _no_state_between_calls(probe: _Probe, logits: tuple[int, int] | None) -> None:
    probe.model.eval()
    output, first = probe.call()
    _is_logits(output, logits, probe)
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
                where=name or probe.where, remedy=_FORGET,
            )  # fmt: skip


def _states(model: nn.Module) -> dict[str, dict[str, Tensor]]:
    """Module -> the numbers it keeps. Integers count things, and statistics are no state."""
    return {
        name: {k: t.detach().clone() for k, t in _held(module) if t.is_floating_point()}
        for name, module in model.named_modules()
        if not isinstance(module, nn.modules.batchnorm._NormBase)
    }


def _no_state_held(before: dict[str, dict[str, Tensor]], probe: _Probe) -> None:
    for name, after in _states(probe.model).items():
        for key, old in before[name].items():
            # A list that only grows is a record of what happened.
            if key in after and not _same(old, after[key]):
                raise UserError(
                    f"keeps state between calls: after the same input, its {key} is not the same"
                    " the second time",
                    where=name or probe.where, remedy=_FORGET,
                )  # fmt: skip


def _is_logits(output: Any, shape: tuple[int, int] | None, probe: _Probe) -> None:
    if not isinstance(output, Tensor) or output.dim() != 2 or not output.is_floating_point():
        shown = f"{output.dtype} {list(output.shape)}" if isinstance(output, Tensor) else ""
        raise UserError(
            f"must return logits [B, classes] as floats, not {shown or type(output).__name__}",
            where=probe.where, remedy=f"The network is called with inputs {probe.inputs}",
        )  # fmt: skip
    if shape is not None and tuple(output.shape) != shape:
        raise UserError(
            f"must return logits [B, classes], which is {list(shape)} for {shape[0]} inputs of"
            f" {shape[1]} classes, not {list(output.shape)}",
            where=probe.where, remedy=f"The network is called with inputs {probe.inputs}",
        )  # fmt: skip


def _all_take_part(probe: _Probe) -> None:
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


def _gradients(probe: _Probe, weights: list[Any]) -> Any:
    with torch.enable_grad():
        output, _ = probe.call()
        if not output.requires_grad:
            raise UserError("no gradient reaches any layer", where=probe.where)
        try:
            return torch.autograd.grad(output.sum(), weights, allow_unused=True)
        except RuntimeError as error:
            what = f"has no gradient, or none the second time: {_said(error)}"
            raise UserError(what, where=probe.where, remedy=_FORGET) from error
