"""SynFlow: prune before training and without data, in many small rounds.

Tanaka et al., "Pruning neural networks without any data by iteratively conserving synaptic flow",
NeurIPS 2020 (arXiv 2006.05467). In each of n rounds, on an input of ones:

    R = sum of the outputs of the net with |W| * M in place of W
    s = dR/dW * W,  M <- the density**(k/n) largest s of all layers

The flow is that of a linear net: neurons are left out (their spikes would cut it), and BatchNorm
is in evaluation mode, as it starts: one pass in training mode would normalise the flow away. In a
single round, n = 1, whole layers are lost and the flow is cut: that is an error, never a result.
Where the flow goes past a layer that was emptied, through a shortcut or beside one, the layer keeps
its largest weight in place of the least of all, and the result names it. Attention multiplies the
flow until it overflows: this is a method for convolutional networks.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Literal, cast

import torch
from annotated_types import Interval
from torch import Tensor, nn

from spiketicket.errors import UserError
from spiketicket.methods.masks import global_masks, largest_masks
from spiketicket.methods.pruning import PruningConfig, the_ticket, with_controls
from spiketicket.methods.scene import Prepared, Scene
from spiketicket.methods.stages import Stage
from spiketicket.models.prunable import prunable
from spiketicket.recipe import Recipe

_LIBRARIES = ("spikingjelly", "snntorch", "norse")


class Config(PruningConfig):
    """Hyper-parameters."""

    scored = True

    name: Literal["synflow"] = "synflow"
    rounds: Annotated[int, Interval(ge=1, le=1_000_000)] = 100
    """Rounds of pruning, each a pass of one input; the paper's number."""


def stages(recipe: Recipe) -> tuple[Stage, ...]:
    """One training."""
    return with_controls(recipe, the_ticket())


def prepare(stage: Stage, scene: Scene) -> Prepared:
    """Measure, prune and make the training ready."""
    del stage
    config = scene.config
    x, y = next(iter(scene.batches.epoch(0)))
    flow = Flow(scene.model, scene.fresh(), _ones(x, len(y)))
    masks = flow.masks(config.density, config.rounds)
    if scene.keeps_scores:
        whole = {n: torch.ones_like(w, dtype=torch.bool) for n, w in scene.layers().items()}
        scene.keep_scores(flow.scores(whole))
    facts = {"bypassed": flow.bypassed} if flow.bypassed else {}
    made = replace(scene.trained(masks), search_passes=config.rounds)
    return replace(made, finish=lambda: facts)


def _ones(x: Tensor, count: int) -> Tensor:
    """A sample of ones like those of a batch; of recordings, a single frame."""
    if x.dim() == 5:
        return torch.ones((1, *x.shape[2:]), device=x.device)
    sizes = (1, *x.shape[1:]) if len(x) == count else (1, 1, *x.shape[2:])
    return torch.ones(sizes, device=x.device)


class Flow:
    """The synaptic flow of a network with some weights.

    Args:
        model: is copied.
        weights: ``<layer>.weight`` for every layer.
        ones: the input, a sample of ones: ``[1, C, H, W]`` for pictures.

    Raises UserError where the network has neurons of another library.
    """

    def __init__(self, model: nn.Module, weights: Mapping[str, Tensor], ones: Tensor) -> None:
        self.twin, self.ones = linear_twin(model), ones
        layers = prunable(self.twin)
        self.layers = {name: cast("nn.Parameter", layer.weight) for name, layer in layers.items()}
        self.start = {name: weights[f"{name}.weight"].abs() for name in layers}
        self.bypassed: list[str] = []
        """Layers that keep one weight for the ticket's sake: the flow goes past them."""

    def masks(self, density: float, rounds: int) -> dict[str, Tensor]:
        """The masks after all rounds.

        Raises:
            UserError: the flow is cut, or is not a finite number.
        """
        masks = {name: torch.ones_like(w, dtype=torch.bool) for name, w in self.start.items()}
        scores: dict[str, Tensor] = {}
        for k in range(1, rounds + 1):
            scores = self.scores(masks)
            masks = global_masks(scores, density if k == rounds else density ** (k / rounds))
        self.scores(masks)  # says so where the last round has cut the flow
        self.bypassed = [name for name, mask in masks.items() if not bool(mask.any())]
        if not self.bypassed:
            return masks
        for name in self.bypassed:
            scores[name].view(-1)[self.start[name].argmax()] = torch.inf
        return largest_masks(scores, density, "global")

    def scores(self, masks: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """dR/dW * W by layer, -1 where a mask has pruned already."""
        with torch.no_grad():
            for name, weight in self.layers.items():
                weight.copy_(self.start[name] * masks[name])
        flow = self.twin(self.ones).sum()
        if not bool(torch.isfinite(flow)):
            raise UserError(
                "the synaptic flow is too large for float32, as where attention multiplies it",
                where="ticket.name",
                value="synflow",
                remedy="Use another method for this network",
            )
        if not bool(flow > 0):
            empty = [name for name, mask in masks.items() if not bool(mask.any())]
            raise UserError(
                "the layer collapsed: every weight was removed and nothing flows through the net",
                where=empty[0] if empty else "the network",
                remedy="Use more ticket.rounds, a higher density, or another method",
            )
        grads = torch.autograd.grad(flow, list(self.layers.values()))
        return {
            name: (grad * weight).detach().masked_fill(~masks[name], -1.0)
            for (name, weight), grad in zip(self.layers.items(), grads, strict=True)
        }


def linear_twin(model: nn.Module) -> nn.Module:
    """A copy in evaluation mode whose neurons pass on what they get."""
    twin = copy.deepcopy(model).eval()
    if hasattr(twin, "timesteps"):
        twin.timesteps = 1  # type: ignore[assignment]
    for name, module in list(twin.named_modules()):
        library = type(module).__module__
        if library.partition(".")[0] in _LIBRARIES:
            raise UserError(
                "has neurons that cannot be left out of the flow",
                where=name,
                value=type(module).__name__,
                remedy="Use another method",
            )
        if library.startswith("spiketicket.neurons"):
            parent, _, own = name.rpartition(".")
            setattr(twin.get_submodule(parent), own, nn.Identity())
    return twin
