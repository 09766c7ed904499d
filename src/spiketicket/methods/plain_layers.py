"""Whether layers compute with the weight they store.

A layer that standardises, normalises or quantises its weight in ``forward`` makes other numbers of
a mask's zeros: the ticket would say that half of the weights are gone where none is. So every layer
is called with a masked weight and random inputs, and must give what its kind makes of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from spiketicket.errors import UserError
from spiketicket.models.probe import Probe, said
from spiketicket.models.prunable import PRUNABLE, prunable

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
    _require_used_by_their_calls(probe, layers)


def _require_used_by_their_calls(probe: Probe, layers: dict[str, nn.Module]) -> None:
    """Refuse layers whose weight a module around them uses or changes beside calling them.

    The network is called again with other weights, and every layer gives what it gave before: what
    differs then, at a layer's input or at the end, comes of a weight that was read by others.
    """
    probe.model.eval()
    made = {name: _Made() for name in layers}
    with _hooked(layers, lambda name, given, output: made[name].add(given, output)):
        output, _ = probe.call()
    if _is_read(probe, layers, made, output, layers):
        apart = (name for name in layers if _is_read(probe, layers, made, output, [name]))
        raise UserError(
            "a module around it uses or changes its weight beside calling it",
            where=next(apart, probe.where),
            remedy="Use nothing but the layer's output, or name it in leave",
        )


def _is_read(
    probe: Probe,
    layers: dict[str, nn.Module],
    made: dict[str, _Made],
    output: Tensor,
    names: Iterable[str],
) -> bool:
    """Whether anything but their own outputs depends on the weights of layers."""
    again = {name: replace(made[name], calls=0) for name in layers}
    weights = {name: cast("Tensor", layers[name].weight) for name in names}
    before = {name: weight.detach().clone() for name, weight in weights.items()}
    draw = torch.Generator().manual_seed(0)
    other = {k: torch.randn(w.shape, generator=draw).to(w) for k, w in before.items()}
    for name, weight in weights.items():
        weight.copy_(other[name])
    try:
        with _hooked(layers, lambda name, given, _: again[name].repeat(given)):
            end, _ = probe.call()
        changed = any(not torch.equal(weights[name], other[name]) for name in weights)
    finally:
        for name, weight in weights.items():
            weight.copy_(before[name])
    return changed or not _same(output, end) or any(one.differs for one in again.values())


@dataclass
class _Made:
    """What a layer was given and gave, in all calls of one pass."""

    given: list[Any] = field(default_factory=list)
    outputs: list[Any] = field(default_factory=list)
    calls: int = 0
    differs: bool = False

    def add(self, given: Any, output: Any) -> None:
        # Copies: later modules may change them in place.
        self.given.append(_copy(given))
        self.outputs.append(_copy(output))

    def repeat(self, given: Any) -> Any:
        """What it gave at this call; keeps whether it is given the same."""
        number, self.calls = self.calls, self.calls + 1
        if number >= len(self.outputs) or not _same(self.given[number], given):
            self.differs = True
        return _copy(self.outputs[number]) if number < len(self.outputs) else None


@contextmanager
def _hooked(layers: dict[str, nn.Module], hook: Callable[[str, Any, Any], Any]) -> Iterator[None]:
    """Each layer's first input and its output go to ``hook``, which may answer with another."""

    def after(name: str) -> Any:
        return lambda _layer, args, output: hook(name, args[0] if args else None, output)

    handles = [layer.register_forward_hook(after(name)) for name, layer in layers.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _copy(value: Any) -> Any:
    return value.detach().clone() if isinstance(value, Tensor) else value


def _same(a: Any, b: Any) -> bool:
    if not isinstance(a, Tensor) or not isinstance(b, Tensor):
        return type(a) is type(b)
    return a.shape == b.shape and torch.allclose(a, b, equal_nan=True)


@contextmanager
def _recorded(layers: dict[str, nn.Module]) -> Iterator[dict[str, _Call]]:
    """The arguments of each layer's first call, while in the context."""
    calls: dict[str, _Call] = {}
    weights = {name: layer.weight for name, layer in layers.items()}

    def watch(name: str, layer: nn.Module) -> Any:
        def before(_layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            if layer.weight is not weights[name]:
                raise _refused(name, layer, "is called with another weight")
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
        raise _refused(name, layer, f"its output is {100 * apart:.3g} % off that of its weight")


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
