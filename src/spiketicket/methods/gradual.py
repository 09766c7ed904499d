"""Gradual magnitude pruning: one training in which ever more of the smallest weights go.

Zhu & Gupta, "To prune, or not to prune", 2017 (arXiv 1710.01878):

    s(t) = s_f + (s_0 - s_f) * (1 - (t - t_0) / (t_1 - t_0))**3,    t_0 <= t <= t_1

with sparsity s_0 = 0 at the share ``begin`` of the training and s_f = 1 - density from the share
``end`` on. A removed weight is set to zero and stays so: its optimizer state is cleared, or its
momentum would bring it back. Only epochs after ``end`` are chosen from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt, Le, Lt
from pydantic import model_validator

from spiketicket.methods.masks import Scope, largest_masks
from spiketicket.methods.pruning import PruningConfig, the_ticket, with_controls
from spiketicket.methods.scene import Prepared, Scene
from spiketicket.methods.stages import Stage
from spiketicket.methods.states import masked, zero_pruned
from spiketicket.recipe import Count, Recipe
from spiketicket.training.callback import Callback


class Config(PruningConfig):
    """Hyper-parameters."""

    name: Literal["gradual"] = "gradual"
    scope: Scope = "global"
    """One threshold for all layers, or one per layer."""
    begin: Annotated[float, Ge(0), Lt(1)] = 0.1
    """Share of the training after which pruning begins."""
    end: Annotated[float, Gt(0), Le(1)] = 0.7
    """Share of the training after which the density is the one asked for."""
    interval: Count = 10
    """Optimizer steps from one pruning to the next; the paper takes 100 of many more."""

    @model_validator(mode="after")
    def _in_order(self) -> Config:
        if self.begin >= self.end:
            raise ValueError("begin must be less than end")
        return self


def stages(recipe: Recipe) -> tuple[Stage, ...]:
    """One training."""
    return with_controls(recipe, the_ticket())


def prepare(stage: Stage, scene: Scene) -> Prepared:
    """Make the training ready."""
    del stage
    everything = {n: torch.ones_like(w, dtype=torch.bool) for n, w in scene.layers().items()}
    schedule = Schedule(scene.config, scene.train.epochs, scene.batches.steps)
    return scene.trained(everything, callbacks=(Pruner(scene.model, schedule),))


@dataclass(frozen=True)
class Schedule:
    """When how much is pruned; ``epochs`` of so many ``steps``."""

    config: Config
    epochs: int
    steps: int

    @property
    def first(self) -> int:
        """The first step after which there is pruning."""
        return max(1, round(self.config.begin * self.epochs * self.steps))

    @property
    def last(self) -> int:
        """The step after which the density is reached."""
        return max(self.first, round(self.config.end * self.epochs * self.steps))

    def density_after(self, step: int) -> float | None:
        """The density from this step on, None where nothing is pruned at it."""
        if not self.first <= step <= self.last:
            return None
        if step == self.last:
            return self.config.density
        if (step - self.first) % self.config.interval:
            return None
        left = 1.0 - (step - self.first) / (self.last - self.first)
        return self.config.density + (1.0 - self.config.density) * left**3

    def is_complete(self, epoch: int) -> bool:
        """Whether an epoch ends at the density asked for."""
        return (epoch + 1) * self.steps >= self.last


class Pruner(Callback):
    """Prunes the model while it is trained."""

    def __init__(self, model: torch.nn.Module, schedule: Schedule) -> None:
        self.model, self.schedule = model, schedule
        self.optimizer: torch.optim.Optimizer | None = None

    def on_optimizer(self, optimizer: torch.optim.Optimizer) -> None:
        """Keep it: a pruned weight's momentum goes, too."""
        self.optimizer = optimizer

    def is_complete(self, epoch: int) -> bool:
        """Whether an epoch ends at the density asked for."""
        return self.schedule.is_complete(epoch)

    @torch.no_grad()
    def on_step_end(self, epochs: float) -> None:
        """Prune where the schedule says so."""
        density = self.schedule.density_after(round(epochs * self.schedule.steps))
        if density is None:
            if self.optimizer is None:  # whose momentum moves what is stored
                zero_pruned(self.model)
            return
        layers = masked(self.model)
        # what is pruned already ranks below every weight that is left
        magnitudes = {n: w.detach().abs().masked_fill(~m, -1.0) for n, (w, m) in layers.items()}
        masks = largest_masks(magnitudes, density, self.schedule.config.scope)
        for name, (_, mask) in layers.items():
            mask.copy_(masks[name])
        zero_pruned(self.model, self.optimizer)

    def on_averaged(self, epochs: float) -> None:
        """Means remember weights that are pruned by now."""
        del epochs
        zero_pruned(self.model)
