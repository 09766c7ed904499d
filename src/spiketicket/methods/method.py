"""A recipe's method at work: what it refuses, and how a stage is made ready."""

from __future__ import annotations

import math
from types import ModuleType
from typing import cast

import torch
from torch import nn

from spiketicket.methods.building import build_network
from spiketicket.methods.densities import kept_count, kept_counts
from spiketicket.methods.scene import Prepared, Scene
from spiketicket.methods.stages import Stage
from spiketicket.models.blocks import DataShape
from spiketicket.models.prunable import prunable
from spiketicket.recipe import MethodConfig, Recipe, registry


def check(recipe: Recipe, shape: DataShape) -> None:
    """Refuse what would fail in a later stage, before the run has a folder.

    Raises:
        UserError: the network cannot be built for such data, the density keeps nothing, or as the
            method's own ``check`` says.
    """
    check_settings(recipe)
    getattr(_module(recipe), "check", check_density)(recipe, shape)


def check_settings(recipe: Recipe) -> None:
    """Refuse settings that do not go together, whatever the data.

    Raises:
        UserError: as the method says.
    """
    own = getattr(_module(recipe), "check_settings", None)
    if own is not None:
        own(recipe)


def check_density(recipe: Recipe, shape: DataShape) -> None:
    """Refuse a network that cannot be, and a density that keeps nothing of it.

    Raises:
        UserError: so; names the layer and the smallest density.
    """
    custom = registry.is_custom(recipe.model.name)
    with torch.device("cpu" if custom else "meta"):
        model = build_network(recipe, shape)
    require_density(recipe.ticket, model)


def require_density(config: MethodConfig, model: nn.Module) -> None:
    """Refuse a density that keeps nothing of a network.

    Raises:
        UserError: so; names the layer and the smallest density.
    """
    shapes = {n: tuple(cast("torch.Tensor", m.weight).shape) for n, m in prunable(model).items()}
    if getattr(config, "scope", "global") == "layer":
        kept_counts(shapes, config.density, getattr(config, "distribution", "uniform"))
    kept_count(sum(map(math.prod, shapes.values())), config.density, "the network")


def prepare(stage: Stage, recipe: Recipe, scene: Scene) -> Prepared:
    """Make a stage ready.

    Raises:
        UserError: an earlier stage has lost its files, or as the method says.
    """
    made: Prepared = (stage.prepare or _module(recipe).prepare)(stage, scene)
    return made


def _module(recipe: Recipe) -> ModuleType:
    return registry.load("methods", recipe.ticket.name)
