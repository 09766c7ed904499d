"""A custom network, named ``package.module:function`` where a recipe names its network.

The function returns an ``nn.Module`` that takes what the data set gives, images ``[B, C, H, W]``
or frames ``[T, B, C, H, W]``, and returns logits ``[B, classes]``, or ``[T, B, classes]`` to be
averaged over time. It is called with ``model.options`` and, of the following, with those that it
has a parameter for: ``shape`` (a :class:`~spiketicket.models.blocks.DataShape`), ``timesteps``,
``width``, and ``neuron``, a function that makes a fresh neuron of the recipe's.
"""

from __future__ import annotations

import importlib
import inspect
import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, cast

import torch
from annotated_types import Len
from pydantic import AfterValidator, Field, StringConstraints
from torch import Tensor, nn

from spiketicket.errors import UserError, argument
from spiketicket.machine.bounded import parse_json
from spiketicket.machine.typed import typed
from spiketicket.models.blocks import DataShape, make_neuron
from spiketicket.models.probe import inputs_probe, require_initialised
from spiketicket.neurons.lif import Kernel
from spiketicket.recipe import ModelConfig, NeuronConfig, consent
from spiketicket.recipe.registry import CUSTOM_PATTERN
from spiketicket.ticket.kinds import Table

LEFT = "_spiketicket_left"
"""Attribute of a layer that a ticket leaves as it is."""
_NORMS = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm)


def _as_in_a_ticket(options: dict[str, Any]) -> dict[str, Any]:
    """Refuse what a ticket, which states them, could not hold: a date, NaN, a number too long."""
    try:
        parse_json(json.dumps(options, allow_nan=False))
        Table().check(options, "options")
    except TypeError as error:
        raise ValueError("must be made of numbers, texts, truth values, lists, tables") from error
    except UserError as error:
        raise ValueError(f"{error.where} {error.what}") from error
    return options


class CustomConfig(ModelConfig):
    """A network of your own."""

    name: Annotated[str, StringConstraints(pattern=f"^{CUSTOM_PATTERN}$", max_length=500)]
    """``package.module:function``, the function that makes it."""
    options: Annotated[dict[str, Any], AfterValidator(_as_in_a_ticket)] = Field(
        default_factory=dict
    )
    """Arguments of the function."""
    leave: Annotated[tuple[str, ...], Len(0, 10_000)] = ()
    """Layers that are no part of the ticket and stay as the function made them."""

    def __hash__(self) -> int:
        return hash(self.model_dump_json())


Config = CustomConfig


def build(
    config: Config, neuron: NeuronConfig, shape: DataShape, kernel: Kernel = "auto"
) -> nn.Module:
    """The network the function makes, always with the same initial values.

    It resets its neurons' state before every call, and its output is averaged over time.

    Raises:
        UserError: the user did not name the function (:mod:`spiketicket.recipe.consent`), it is
            not there, fails, does not take what the recipe says, or returns no module, or one that
            does not give a row of logits for each input.
    """
    named = consent.require(config.name, config.options)
    function = _function(config.name, here=named)
    arguments = _arguments(function, config, neuron, shape, kernel)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        try:
            net = function(**arguments)
        except UserError:
            raise
        except Exception as error:
            raise UserError(
                f"the function failed: {type(error).__name__}: {error}",
                where="model.name",
                value=config.name,
            ) from error
    if not isinstance(net, nn.Module):
        what = f"must return an nn.Module, not {type(net).__name__}"
        raise UserError(what, where="model.name", value=config.name)
    require_initialised(net)
    leave(net, config.leave)
    for module in net.modules():
        if isinstance(module, _NORMS):
            for parameter in module.parameters(recurse=False):
                parameter.requires_grad_(config.bn_affine)
    if not hasattr(net, "timesteps"):
        net.timesteps = config.timesteps  # type: ignore[assignment]
    net.register_forward_pre_hook(reset_before)
    net.register_forward_hook(_after)
    if not any(parameter.is_meta for parameter in net.parameters()):
        inputs_probe(net, shape).require_rows()
    return net


def leave(net: nn.Module, names: tuple[str, ...]) -> None:
    """Mark layers, by path, that a ticket leaves as they are; nothing in them is trained.

    Raises:
        UserError: there is no such layer.
    """
    for name in names:
        try:
            module = net.get_submodule(name)
        except AttributeError as error:
            known = ", ".join(n for n, _ in net.named_modules() if n)
            raise UserError(
                "no such layer", where="leave", value=name, remedy=f"Known: {known}"
            ) from error
        for inner in module.modules():
            setattr(inner, LEFT, True)
        for parameter in module.parameters():
            parameter.requires_grad_(False)


@typed
def reset_state(model: nn.Module) -> None:
    """Forget the membrane potentials of a model's neurons.

    Known are SpikingJelly (``reset()``) and snnTorch (``reset_mem()``). Those of norse keep none:
    they are handed their state and start fresh without one.
    """
    for module in model.modules():
        libraries = {kind.__module__.partition(".")[0] for kind in type(module).__mro__}
        for library, name in (("spikingjelly", "reset"), ("snntorch", "reset_mem")):
            if library in libraries and callable(method := getattr(module, name, None)):
                method()


def mean_over_time(output: Any) -> Tensor:
    """Logits ``[B, classes]`` of those, or of ``[T, B, classes]``; the first of norse's
    ``(output, state)``.

    Raises:
        UserError: it is neither.
    """
    if isinstance(output, tuple) and len(output) == 2 and not isinstance(output[1], Tensor):
        output = output[0] if _is_state(output[1]) else output
    if not isinstance(output, Tensor) or output.dim() not in (2, 3):
        shown = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise UserError(
            "the model must return logits [B, classes] or [T, B, classes]",
            value=shown,
            remedy="Give search(..., logits=function of the output)",
        )
    return output.mean(0) if output.dim() == 3 else output


def _is_state(value: Any) -> bool:
    """Whether it is a state of norse: one of its tuples, or a list with one per layer."""
    parts = value if isinstance(value, list) else [value]
    return bool(parts) and any(type(part).__module__.startswith("norse.") for part in parts)


def reset_before(net: nn.Module, inputs: Any) -> None:
    """Forget the state of a network that is about to be called: a forward pre-hook."""
    del inputs
    reset_state(net)


def _after(net: nn.Module, inputs: Any, output: Any) -> Tensor:
    del net, inputs
    return mean_over_time(output)


def _function(name: str, *, here: bool) -> Callable[..., Any]:
    path, _, attribute = name.partition(":")
    module = _module(path, name, Path.cwd() if here else None)
    function = getattr(module, attribute, None)
    if not callable(function):
        raise UserError(f"{path} has no function {attribute}", where="model.name", value=name)
    return cast("Callable[..., Any]", function)


def _module(path: str, name: str, here: Path | None) -> ModuleType:
    """The module, which may lie in the folder ``here``."""
    added = here is not None and str(here) not in sys.path
    if added:
        sys.path.append(str(here))  # as `python -m` has it: a recipe's module lies beside it
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError as error:
        remedy = "It must be importable, or lie in the folder the command is run in"
        if here is None:
            remedy = "One that your own file trusts must be installed, or named: " + argument(
                "network", name
            )
        what = f"there is no Python module {error.name}"
        raise UserError(what, where="model.name", value=name, remedy=remedy) from error
    except (ImportError, SyntaxError) as error:
        raise UserError(f"cannot import: {error}", where="model.name", value=name) from error
    finally:
        if added:
            sys.path.remove(str(here))


def _arguments(
    function: Callable[..., Any],
    config: Config,
    neuron: NeuronConfig,
    shape: DataShape,
    kernel: Kernel,
) -> dict[str, Any]:
    parameters = inspect.signature(function).parameters
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    if unknown := [k for k in config.options if k not in parameters and not open_ended]:
        what = f"{config.name} has no such argument"
        raise UserError(what, where="model.options", value=unknown[0])
    offered = {
        "shape": shape,
        "timesteps": config.timesteps,
        "width": config.width,
        "neuron": partial(make_neuron, neuron, kernel),
    }
    usual = (Config.model_fields["timesteps"].default, shape.frames)
    needed = {
        "timesteps": config.timesteps not in usual,
        "width": config.width != 1.0,
        "neuron": neuron.name != "custom",
    }
    for key, asked in needed.items():
        if asked and key not in parameters:
            remedy = 'Set neuron.name = "custom"' if key == "neuron" else f"Leave out model.{key}"
            raise UserError(
                f"{config.name} takes no argument {key}, which the recipe sets",
                where="neuron.name" if key == "neuron" else f"model.{key}",
                remedy=f"{remedy}, or give the function that parameter",
            )
    return {**{k: v for k, v in offered.items() if k in parameters}, **config.options}
