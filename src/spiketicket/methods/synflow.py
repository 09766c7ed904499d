"""SynFlow: prune before training and without data, in many small rounds.

Tanaka et al., "Pruning neural networks without any data by iteratively conserving synaptic flow",
NeurIPS 2020 (arXiv 2006.05467). In each of n rounds, on an input of ones:

    R = sum of the outputs of the net with |W| * M in place of W
    s = dR/dW * W,  M <- the density**(k/n) largest s of all layers

The flow is that of a linear net: neurons are left out (their spikes would cut it), and BatchNorm
is in evaluation mode, as it starts: one pass in training mode would normalise the flow away. In a
single round, n = 1, whole layers are lost; that is an error, never a result. So is the loss of a
shortcut beside other layers, which the paper does not count as one. Attention multiplies the flow
until it overflows: this is a method for convolutional networks.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Annotated, Literal, cast

import torch
from annotated_types import Ge
from torch import Tensor, nn

from spiketicket.errors import UserError
from spiketicket.methods._layers import largest_masks, prunable
from spiketicket.methods._pruning import (
    Plan,
    Prepared,
    PruningConfig,
    Scene,
    attach,
    weight_start,
)

__all__ = ["Config", "attach", "plans", "prepare", "weight_start"]
_REMEDY = "Use more ticket.rounds, a higher density, or another method"
_LIBRARIES = ("spikingjelly", "snntorch", "norse")


class Config(PruningConfig):
    """Hyper-parameters."""

    name: Literal["synflow"] = "synflow"
    rounds: Annotated[int, Ge(1)] = 100
    """Rounds of pruning, each a pass of one input; the paper's number."""


def plans(config: Config) -> tuple[Plan, ...]:
    """One training."""
    reads = {"masks": "synflow", "density": config.density, "rounds": config.rounds}
    return (Plan("ticket", reads),)


def prepare(plan: Plan, scene: Scene) -> Prepared:
    """Measure, prune and make the training ready."""
    del plan
    config = scene.config
    x, _ = next(iter(scene.batches.epoch(0)))
    ones = torch.ones((1, *x.shape[-3:]), device=x.device)
    masks = flow_masks(scene.model, scene.fresh(), ones, config.density, config.rounds)
    return replace(scene.trained(masks), search_passes=config.rounds)


def flow_masks(
    model: nn.Module, weights: dict[str, Tensor], ones: Tensor, density: float, rounds: int
) -> dict[str, Tensor]:
    """The masks after all rounds.

    ``weights`` has ``<layer>.weight`` for every layer, ``ones`` is the input ``[1, C, H, W]``.

    Raises:
        UserError: a layer would be emptied, the flow is not a finite number, or the network has
            neurons of another library.
    """
    twin = linear_twin(model)
    layers = {name: cast("nn.Parameter", layer.weight) for name, layer in prunable(twin).items()}
    start = {name: weights[f"{name}.weight"].abs() for name in layers}
    masks = {name: torch.ones_like(w, dtype=torch.bool) for name, w in start.items()}
    for k in range(1, rounds + 1):
        with torch.no_grad():
            for name, weight in layers.items():
                weight.copy_(start[name] * masks[name])
        flow = twin(ones).sum()
        if not bool(torch.isfinite(flow)):
            raise UserError(
                "the synaptic flow is too large for float32", where="ticket.name",
                value="synflow", remedy="Use another method for this network",
            )  # fmt: skip
        grads = torch.autograd.grad(flow, list(layers.values()))
        scores = {
            name: (grad * weight).detach().masked_fill(~masks[name], -1.0)
            for (name, weight), grad in zip(layers.items(), grads, strict=True)
        }
        reached = density if k == rounds else density ** (k / rounds)
        masks = largest_masks(scores, reached, "global", remedy=_REMEDY)
    return masks


def linear_twin(model: nn.Module) -> nn.Module:
    """A copy in evaluation mode whose neurons pass on what they get."""
    twin = copy.deepcopy(model).eval()
    if hasattr(twin, "timesteps"):
        twin.timesteps = 1  # type: ignore[assignment]
    for name, module in list(twin.named_modules()):
        library = type(module).__module__
        if library.partition(".")[0] in _LIBRARIES:
            raise UserError("has neurons that cannot be left out of the flow", where=name,
                            value=type(module).__name__, remedy="Use another method")  # fmt: skip
        if library.startswith("spiketicket.neurons"):
            parent, _, own = name.rpartition(".")
            setattr(twin.get_submodule(parent), own, nn.Identity())
    return twin
