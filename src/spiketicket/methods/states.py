"""The state of a network whose weights are trained under masks: in memory, and as a file.

A pruned weight is exactly zero at all times: masked in the forward pass, zero where it is stored,
without a gradient, and without a momentum that could revive it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from spiketicket.errors import UserError
from spiketicket.machine.bounded import max_memory, read_regular
from spiketicket.models.prunable import TrainedWeight
from spiketicket.ticket import Ticket

_MASK = "mask:"
_INSIDE = ".parametrizations."


def read_state(path: Path, model: nn.Module) -> dict[str, Tensor]:
    """What :func:`save_plain` wrote of a network like ``model``.

    Raises:
        UserError: the file is missing or damaged, or is of another network.
    """
    found = _read(path)
    if wrong := _misfit(found, plain_state(model)):
        raise UserError(f"is of another network: {wrong}", where=str(path), remedy=_again(path))
    return found


def _read(path: Path) -> dict[str, Tensor]:
    try:
        found: dict[str, Tensor] = load_tensors(read_regular(path, max_memory()))
    except OSError as error:
        what = f"the stage before it has lost its {path.name}"
        raise UserError(what, where=str(path.parent), remedy=_again(path)) from error
    except UserError:
        raise
    except (SafetensorError, ValueError, KeyError) as error:
        raise UserError(f"is damaged: {error}", where=str(path), remedy=_again(path)) from error
    return found


def _again(path: Path) -> str:
    return f"Delete {path.parent} and find again"


def originals(model: nn.Module) -> dict[str, tuple[nn.Parameter, TrainedWeight]]:
    """The stored weight and the parametrization of every layer, by its name."""
    found = {}
    for name, layer in model.named_modules():
        inside = getattr(layer, "parametrizations", None)
        if inside is not None and "weight" in inside:
            found[name] = (inside.weight.original, inside.weight[0])
    return found


def masked(model: nn.Module) -> dict[str, tuple[nn.Parameter, Tensor]]:
    """The stored weight and the mask of every layer that has one."""
    found = {name: (weight, trained.mask) for name, (weight, trained) in originals(model).items()}
    return {name: (weight, mask) for name, (weight, mask) in found.items() if mask is not None}


@torch.no_grad()
def zero_pruned(model: nn.Module, optimizer: torch.optim.Optimizer | None = None) -> None:
    """Set stored weights where a mask prunes to exactly zero, and their optimizer state too."""
    for weight, mask in masked(model).values():
        weight.mul_(mask)
        state = {} if optimizer is None else optimizer.state.get(weight, {})
        for value in state.values():
            if isinstance(value, Tensor) and value.shape == weight.shape:
                value.mul_(mask)


@torch.no_grad()
def invert(model: nn.Module, scores: Mapping[str, Tensor]) -> None:
    """Invert the stored weights whose score, by layer, is negative; in place."""
    for name, (weight, _) in originals(model).items():
        weight.copy_(torch.where(scores[name].to(weight.device) < 0, -weight, weight))


def plain_state(model: nn.Module) -> dict[str, Tensor]:
    """The state of the network without parametrizations; of binary layers the latent weights."""
    found = {}
    for key, value in model.state_dict().items():
        layer, inside, rest = key.partition(_INSIDE)
        if not inside:
            found[key] = value.detach()
        elif rest == "weight.original":
            found[f"{layer}.weight"] = value.detach()
    return found


@torch.no_grad()
def load_plain(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Copy a :func:`plain_state`, or a part of one, into a network with parametrizations."""
    own = plain_state(model)
    for key, value in state.items():
        if not key.startswith(_MASK):
            own[key].copy_(value)


def save_plain(model: nn.Module) -> bytes:
    """State and masks as safetensors; the same state gives the same bytes."""
    masks = {f"{_MASK}{name}": mask for name, (_, mask) in masked(model).items()}
    state = {**plain_state(model), **masks}
    return save_tensors({k: v.cpu().contiguous().clone() for k, v in state.items()})


def load_state(
    model: nn.Module, ticket: Ticket, path: Path, prefixes: tuple[str, ...] = ("",)
) -> None:
    """Copy into a model what a ticket has of it below some prefixes.

    Raises:
        UserError: the ticket, from ``path``, is for another network.
    """
    state = {
        k: torch.from_numpy(v.copy()) for k, v in ticket.state().items() if k.startswith(prefixes)
    }
    _, unexpected = model.load_state_dict(state, strict=False)
    if unexpected:
        raise UserError("the ticket is for another network", where=str(path), value=unexpected[0])


def save_scores(scores: Mapping[str, Tensor]) -> bytes:
    """Scores by layer as safetensors; the same scores give the same bytes."""
    return save_tensors({k: v.detach().float().cpu().contiguous() for k, v in scores.items()})


def read_scores(path: Path, shapes: Mapping[str, torch.Size]) -> dict[str, Tensor]:
    """What :func:`save_scores` wrote of layers of these shapes.

    Raises:
        UserError: the file is missing or damaged, or is of another network.
    """
    found = _read(path)
    for name, shape in shapes.items():
        scores = found.get(name)
        if scores is None or scores.shape != shape or scores.dtype != torch.float32:
            raise UserError(f"is of another network: {name}", where=str(path), remedy=_again(path))
        if bool(scores.isnan().any()):
            raise UserError(f"has no number: {name}", where=str(path), remedy=_again(path))
    return found


def _misfit(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> str:
    """The first entry of a kept state that a network with the state ``own`` cannot take, or ""."""
    for key, value in own.items():
        found = state.get(key)
        if found is None or found.shape != value.shape or found.dtype != value.dtype:
            return key
    for name, mask in masks_in(state).items():
        weight = own.get(f"{name}.weight")
        if weight is None or mask.dtype != torch.bool or mask.shape != weight.shape:
            return f"{_MASK}{name}"
    return next((key for key in state if key not in own and not key.startswith(_MASK)), "")


def masks_in(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The masks of a state; none of a dense net's."""
    return {k.removeprefix(_MASK): v for k, v in state.items() if k.startswith(_MASK)}


def magnitudes_in(state: Mapping[str, Tensor], layers: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """|w| by layer; -1 where a mask of the state has pruned already, so that nothing returns."""
    masks = masks_in(state)
    found = {}
    for name, own in layers.items():
        magnitude = state[f"{name}.weight"].abs()
        if name in masks:
            magnitude = magnitude.masked_fill(~masks[name], -1.0)
        found[name] = magnitude.to(own.device)
    return found
