"""Early-Bird tickets: stop the dense training as soon as its mask no longer changes.

You et al., "Drawing Early-Bird Tickets", ICLR 2020 (arXiv 1909.11957); on spiking networks: Kim et
al., ECCV 2022 (arXiv 2207.01382), whose threshold of 0.02 over five masks is the default. After
every epoch of the dense training the mask of the asked density is drawn by magnitude; the training
stops once the newest mask differs from each of the others kept in less than ``distance`` of all
weights. The ticket goes on from there, or from the random start, under the whole schedule.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal, cast

import torch
from annotated_types import Gt, Interval, Le
from torch import Tensor, nn

from spiketicket.methods.masks import Scope, largest_masks
from spiketicket.methods.pruning import SHARED, PruningConfig, the_ticket, with_controls
from spiketicket.methods.scene import Prepared, Scene
from spiketicket.methods.stages import Stage
from spiketicket.methods.states import magnitudes_in, originals
from spiketicket.recipe import Recipe, Section
from spiketicket.training.callback import Callback

SEARCH = "search"


class Options(Section):
    """When the mask is taken, and what the ticket starts from."""

    scope: Scope = "global"
    """One threshold for all layers, or one per layer."""
    distance: Annotated[float, Gt(0), Le(1)] = 0.02
    """Share of all weights in which two masks may differ and still be the same."""
    masks: Annotated[int, Interval(ge=2, le=1000)] = 5
    """Masks of as many epochs in a row that must be the same."""
    start: Literal["found", "fresh"] = "found"
    """The weights of the epoch the mask was found in, or the random start."""


class Config(PruningConfig, Options):
    """Hyper-parameters."""

    scored = True

    name: Literal["early_bird"] = "early_bird"


def stages(recipe: Recipe) -> tuple[Stage, ...]:
    """The dense training that stops early, and the ticket's."""
    return with_controls(recipe, *trainings())


def trainings() -> tuple[Stage, ...]:
    """The search of :class:`Options`; when it stops depends on the density."""
    shared = tuple(name for name in SHARED if name != "density")
    title = "early-bird search"
    search = Stage(
        name=SEARCH, title=title, ignores=(*shared, "start"), keeps=True, rate_of="dense"
    )
    return search, the_ticket(needs=(SEARCH,))


def prepare(stage: Stage, scene: Scene) -> Prepared:
    """Make a training ready."""
    config = scene.config
    if stage.name == SEARCH:
        return _search(scene)
    state = scene.weights(SEARCH)
    magnitudes = magnitudes_in(state, scene.layers())
    scene.keep_scores(magnitudes)
    masks = largest_masks(magnitudes, config.density, config.scope)
    return scene.trained(masks, state if config.start == "found" else None)


def _search(scene: Scene) -> Prepared:
    watch = Watch(scene)
    prepared = scene.trained(callbacks=(watch,))
    watch.keep_masks()
    return replace(prepared, finish=watch.facts)


class Watch(Callback):
    """The masks of the last epochs, which lie in the model's state and so in its checkpoint."""

    def __init__(self, scene: Scene) -> None:
        self.model, self.config = scene.model, scene.config
        self.last = scene.train.epochs - 1

    def keep_masks(self) -> None:
        """Make room for them in the model."""
        for weight, trained in originals(self.model).values():
            shape = (self.config.masks, *weight.shape)
            recent = torch.zeros(shape, dtype=torch.bool, device=weight.device)
            trained.register_buffer("recent", recent)

    def should_stop(self, epoch: int) -> bool:
        """Draw the epoch's mask; whether it is the same as those before it."""
        del epoch
        layers = _layers(self.model)
        weights = {name: weight.detach().abs() for name, (weight, _) in layers.items()}
        drawn = largest_masks(weights, self.config.density, self.config.scope)
        for name, (_, recent) in layers.items():
            recent.copy_(torch.cat([recent[1:], drawn[name][None]]))
        return bool(self.facts()["converged"])

    def is_complete(self, epoch: int) -> bool:
        """The mask of the epoch in which the training ends is the one that is taken."""
        return bool(self.facts()["converged"]) or epoch == self.last

    def facts(self) -> Mapping[str, Any]:
        """How the newest mask differs from those before it; None before there are enough."""
        recent = {name: masks for name, (_, masks) in _layers(self.model).items()}
        if not all(bool(masks[0].any()) for masks in recent.values()):
            return {"converged": False, "distance": None}
        distance = mask_distance(recent)
        return {"converged": distance < self.config.distance, "distance": distance}


def _layers(model: nn.Module) -> dict[str, tuple[nn.Parameter, Tensor]]:
    return {
        name: (weight, cast("Tensor", trained.recent))
        for name, (weight, trained) in originals(model).items()
    }


def mask_distance(recent: Mapping[str, Tensor]) -> float:
    """The largest share of all weights in which the newest mask differs from one before it.

    ``recent`` has bool ``[masks, ...]`` by layer, the newest last.
    """
    differ = sum((r[:-1] ^ r[-1]).flatten(1).sum(1) for r in recent.values())
    size = sum(r[0].numel() for r in recent.values())
    return float(cast("Tensor", differ).max()) / size
