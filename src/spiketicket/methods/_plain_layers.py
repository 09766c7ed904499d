"""Whether layers compute with the weight they store.

A layer that standardises, normalises or quantises its weight in ``forward`` makes other numbers of
a mask's zeros: the ticket would say that half of the weights are gone where none is. So every layer
is called with a masked weight and random inputs, and must give what its kind makes of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from spiketicket.errors import UserError
from spiketicket.methods._layers import PRUNABLE, prunable
from spiketicket.models._probe import Probe, said

_BATCHED = {nn.Conv1d: 3, nn.Conv2d: 4, nn.Conv3d: 5}
"""Axes of a convolution's input."""
_TOLERANCE = {torch.float32: 1e-4}
"""How far apart the outputs may be, as a part of the largest one; 2e-2 in shorter formats."""
_REMEDY = "Use a plain layer, or name it in leave, to keep it as it is"

_Call = tuple[tuple[Any, ...], dict[str, Any]]


@torch.no_grad()
def require_plain_layers(probe: Probe) -> None:
    """Refuse layers whose output is not the convolution or product of their weight and bias.

    ``probe.model`` is called in evaluation and in training mode.

    Raises:
        UserError: there is one, or one that is never called; names it.
    """
    layers = prunable(probe.model)
    called: set[str] = set()
    for training in (False, True):
        probe.model.train(training)
        with _recorded(layers) as calls:
            probe.call()
        called |= calls.keys()
        for name, call in calls.items():
            if not _is_stock(layers[name]):
                _require_plain(name, layers[name], *call)
    if missing := [name for name in layers if name not in called]:
        raise UserError(
            "is never called: a module around it uses its weight, nobody can tell how",
            where=", ".join(missing),
            remedy="Call the layer, or name it in leave",
        )


@contextmanager
def _recorded(layers: dict[str, nn.Module]) -> Iterator[dict[str, _Call]]:
    """The arguments of each layer's first call, while in the context."""
    calls: dict[str, _Call] = {}

    def watch(name: str, layer: nn.Module) -> Any:
        def before(_layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            calls.setdefault(name, (args, kwargs))

        return layer.register_forward_pre_hook(before, with_kwargs=True)

    handles = [watch(name, layer) for name, layer in layers.items()]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def _is_stock(layer: nn.Module) -> bool:
    """Whether it is torch's own, with nothing added."""
    return (
        type(layer) in PRUNABLE
        and not {"forward", "_conv_forward"} & layer.__dict__.keys()
        and not layer._forward_hooks
        and not layer._forward_pre_hooks
    )


def _require_plain(name: str, layer: nn.Module, args: Any, kwargs: Any) -> None:
    given = args[0] if args else kwargs.get("input")
    if not isinstance(given, Tensor):
        raise _refused(name, layer, "is not called with a tensor")
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(given.shape, generator=draw).to(given)
    kept = cast("Tensor", layer.weight).detach().clone()
    weight = torch.randn(kept.shape, generator=draw) * (
        torch.rand(kept.shape, generator=draw) < 0.5
    )
    weight = weight.to(kept)
    layer.weight.copy_(weight)  # type: ignore[operator]
    try:
        rest = {k: v for k, v in kwargs.items() if k != "input"}
        found = layer(x, *args[1:], **rest)
        expected = _computed(layer, x, weight)
    except Exception as error:
        raise _refused(name, layer, f"fails on random inputs: {said(error)}") from error
    finally:
        layer.weight.copy_(kept)  # type: ignore[operator]
    if not isinstance(found, Tensor) or found.shape != expected.shape:
        shown = list(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise _refused(name, layer, f"gives {shown}, where its weight gives {list(expected.shape)}")
    apart = float((found - expected).abs().max() / expected.abs().max())
    if not apart <= _TOLERANCE.get(expected.dtype, 2e-2):
        raise _refused(name, layer, f"its output is {apart:.0%} off that of its weight")


def _computed(layer: nn.Module, x: Tensor, weight: Tensor) -> Tensor:
    """What the layer's kind makes of a weight; of further axes, as of time, every part alone."""
    bias = cast("Tensor | None", layer.bias)
    if isinstance(layer, nn.Linear):
        return functional.linear(x, weight, bias)
    kind = next(kind for kind in _BATCHED if isinstance(layer, kind))
    more = max(x.dim() - _BATCHED[kind], 0)
    flat = x.flatten(0, more) if more else x
    made: Tensor = kind._conv_forward(cast("Any", layer), flat, weight, bias)
    return made.unflatten(0, x.shape[: more + 1]) if more else made


def _refused(name: str, layer: nn.Module, found: str) -> UserError:
    return UserError(
        f"does not compute with its weight as it is: {found}",
        where=name,
        value=type(layer).__name__,
        remedy=_REMEDY,
    )
