"""Calling a copy of a network nobody knows: what its modules give, and where the batch goes."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from spiketicket.errors import UserError
from spiketicket.models.blocks import DataShape
from spiketicket.streams import Stream

Forward = Callable[[nn.Module, Tensor], Tensor]
"""Logits of a model for an input, its neurons reset before."""
Outputs = list[tuple[str, list[Tensor]]]
"""What each module gave, in the order they were done."""

_DEEPEST = 3
"""How many lists and dicts inside one another are looked through for tensors."""


@dataclass(frozen=True, kw_only=True)
class Probe:
    """A copy of a model, to be called as it will be in training.

    Args:
        model: the copy.
        x: a small batch of inputs.
        forward: how the model is called.
        where: what a problem of the whole network is said to be of.
        inputs: the shape of its inputs in words.
        axis: that of ``x`` which is the batch.
    """

    model: nn.Module
    x: Tensor
    forward: Forward
    where: str
    inputs: str
    axis: int = 0

    @property
    def count(self) -> int:
        """Samples in the batch."""
        return self.x.shape[self.axis]

    def call(self, x: Tensor | None = None) -> tuple[Any, Outputs]:
        """The model's output for ``x``, or for the probe's own, and that of every module.

        Raises:
            UserError: it fails; names the layer.
        """
        entered: list[str] = []
        outputs: Outputs = []
        handles = list(_watched(self.model, entered, outputs))
        try:
            return self.forward(self.model, self.x if x is None else x), outputs
        except UserError as error:
            raise UserError(
                error.what, where=error.where or self.where, value=error.value, remedy=error.remedy
            ) from error
        except Exception as error:
            raise UserError(
                f"fails in forward: {said(error)}",
                where=(entered[-1] if entered else "") or self.where,
                remedy=f"The network is called with inputs {self.inputs}",
            ) from error
        finally:
            for handle in handles:
                handle.remove()

    @torch.no_grad()
    def require_rows(self, classes: int | None = None) -> int:
        """Refuse a network that does not give one row of logits for each input.

        It is called with two sizes of batches: with one alone, ``[B, T, classes]`` of as many
        steps as inputs would pass for ``[T, B, classes]``, and be averaged over the batch.
        Returns how many logits it gives.

        Raises:
            UserError: it does not, or gives another number of ``classes``.
        """
        self.model.eval()
        # A copy for each, so that state of the one does not meet the other.
        once, twice = (replace(self, model=copy.deepcopy(self.model)) for _ in range(2))
        output, made = once.call()
        self._require_logits(output, classes)
        more = torch.cat([self.x, self.x.narrow(self.axis, 0, 1)], self.axis)
        try:
            again, also_made = twice.call(more)
        except UserError as error:
            raise UserError(
                f"takes {self.count} inputs, but not {self.count + 1}: {error.what}",
                where=error.where,
                remedy="It must take batches of any size",
            ) from error
        if (len(output), len(again)) != (self.count, self.count + 1):
            raise self._mixed(_root(made), _root(also_made))
        return int(output.shape[1])

    def _require_logits(self, output: Any, classes: int | None) -> None:
        remedy = f"The network is called with inputs {self.inputs}"
        if not isinstance(output, Tensor) or output.dim() != 2 or not output.is_floating_point():
            shown = f"{output.dtype} {list(output.shape)}" if isinstance(output, Tensor) else ""
            raise UserError(
                f"must return logits [B, classes] as floats, not {shown or type(output).__name__}",
                where=self.where,
                remedy=remedy,
            )
        if classes is not None and output.shape[1] != classes:
            raise UserError(
                f"must return logits [B, classes], which is {[self.count, classes]} for"
                f" {self.count} inputs of {classes} classes, not {list(output.shape)}",
                where=self.where,
                remedy=remedy,
            )

    def _mixed(self, first: list[int], second: list[int]) -> UserError:
        count = self.count
        shown = f"it gives {first} for {count} inputs, and {second} for {count + 1}"
        if (len(first), *first[:1], *second[:1]) == (3, count, count + 1):
            return UserError(
                f"returns [B, T, classes], where [T, B, classes] is averaged over time: {shown}",
                where=self.where,
                remedy="Return output.transpose(0, 1), or output.mean(1)",
            )
        return UserError(
            f"must return logits [B, classes] or [T, B, classes], a row for each input: {shown}",
            where=self.where,
            remedy=f"The network is called with inputs {self.inputs}",
        )


def sample_inputs(shape: DataShape) -> Tensor:
    """Two inputs, as a data set of this shape gives them."""
    size = (2, shape.channels, shape.height, shape.width)
    values = Stream(0, "probe").normal(math.prod(size) * shape.frames).reshape(-1, *size)
    x = torch.from_numpy(values).float()
    return x if shape.frames > 1 else x[0]


def inputs_probe(model: nn.Module, shape: DataShape) -> Probe:
    """How a recipe calls a custom network on data of this shape.

    Raises:
        UserError: the model cannot be copied.
    """
    sizes = f"B, {shape.channels}, {shape.height}, {shape.width}"
    return Probe(
        model=copied(model, "model.name"),
        x=sample_inputs(shape),
        forward=lambda net, x: net(x),
        where="model.name",
        inputs=f"[{shape.frames}, {sizes}]" if shape.frames > 1 else f"[{sizes}]",
        axis=1 if shape.frames > 1 else 0,
    )


def copied(model: nn.Module, where: str = "") -> nn.Module:
    """A deep copy of a model.

    Raises:
        UserError: it cannot be copied, or the shape of a layer is not known yet.
    """
    require_initialised(model)
    for name, module in model.named_modules():
        if isinstance(module, torch.jit.ScriptModule) and any(True for _ in module.parameters()):
            raise UserError(
                "is a TorchScript program, into which nothing can be put",
                where=name or where or type(model).__name__,
                remedy="Give the network it was scripted or traced from",
            )
    try:
        return copy.deepcopy(model)
    except Exception as error:
        where = where or type(model).__name__
        for name, module in model.named_modules():
            # These are what torch refuses to copy.
            key = next((k for k, tensor in held(module) if not tensor.is_leaf), None)
            if key == "weight":
                raise computed_weight(name or where) from error
            if key is not None:
                raise UserError(
                    f"keeps {key}, the result of an earlier call, and so cannot be copied",
                    where=name or where,
                    remedy="Give the network as it is before any call",
                ) from error
        raise UserError(f"cannot be copied: {said(error)}", where=where) from error


def require_initialised(net: nn.Module) -> None:
    """Refuse a layer whose shape is not known before the first batch.

    Raises:
        UserError: there is one; names it.
    """
    for name, module in net.named_modules():
        held = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
        if any(nn.parameter.is_lazy(tensor) for tensor in held):
            raise UserError(
                f"is a {type(module).__name__} whose shape is not known yet",
                where=name or type(net).__name__,
                remedy="Call the network with one batch where it is built, or use"
                f" {type(module).__name__.removeprefix('Lazy')} with its sizes",
            )


def computed_weight(name: str) -> UserError:
    """What is said of a layer whose weight is no parameter."""
    return UserError(
        "has a weight that is computed from others, as by torch.nn.utils.weight_norm",
        where=name,
        remedy="A ticket needs a plain weight: build the layer without it, or call"
        " torch.nn.utils.remove_weight_norm",
    )


def _watched(model: nn.Module, entered: list[str], outputs: Outputs) -> Iterator[Any]:
    """Keep account of the modules being called, the innermost last, and of what they gave."""

    def watch(name: str, module: nn.Module) -> Iterator[Any]:
        def before(*_: Any) -> None:
            entered.append(name)

        def after(_module: nn.Module, _inputs: Any, output: Any) -> None:
            entered.pop()
            # Later modules may change it in place.
            outputs.append((name, [t.detach().clone() for _, t in tensors("", output)]))

        yield module.register_forward_pre_hook(before)
        # Before hooks that average over time.
        yield module.register_forward_hook(after, prepend=True)

    for name, module in model.named_modules():
        yield from watch(name, module)


def _root(outputs: Outputs) -> list[int]:
    """The shape of the network's own output."""
    name, made = outputs[-1]
    return list(made[0].shape) if not name and made else []


def tensors(key: str, value: Any, depth: int = 0) -> Iterator[tuple[str, Tensor]]:
    """The tensors in a value, with where in it they are; parameters are none of them."""
    if isinstance(value, Tensor):
        if not isinstance(value, nn.Parameter):
            yield key, value
    elif depth < _DEEPEST and isinstance(value, dict):
        for inner, part in value.items():
            yield from tensors(f"{key}.{inner}", part, depth + 1)
    elif depth < _DEEPEST and isinstance(value, list | tuple):
        for number, part in enumerate(value):
            yield from tensors(f"{key}[{number}]", part, depth + 1)


def held(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The buffers and other tensors a module keeps itself."""
    for key, value in module.__dict__.items():
        if key not in ("_parameters", "_modules"):
            for path, tensor in tensors(key, value):
                yield path.removeprefix("_buffers."), tensor


def said(error: Exception) -> str:
    """Type and first line of an error."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
