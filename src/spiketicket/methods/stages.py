"""The protocol of a method: which stages a search has, and what each of them depends on.

A stage is one training with one seed. A method is a module of this folder with

    Config               its settings, see :class:`~spiketicket.recipe.MethodConfig`
    stages(recipe)       its stages with their controls, in the order they run
    prepare(stage, scene)  makes one of its own stages ready

and, where it has more to say, ``check_settings(recipe)``, ``check(recipe, shape)`` and
``condition(recipe)``. ``find``, sweeps and comparisons ask only the functions below. This module
needs no PyTorch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import Any, Final, Literal

from spiketicket.methods.budgets import shorter
from spiketicket.recipe import ModelConfig, NeuronConfig, Recipe, TrainConfig, registry
from spiketicket.recipe.shapes import encoder_words

Role = Literal["search", "preparation", "ticket", "control", "tuned", "twin"]
"""``search``: a training of the search, whose cost counts as the ticket's. ``preparation``: what
ranks patches or finds a part. ``ticket``: a net that is judged. ``control``: what it is judged
against. ``tuned``: a fine-tuning, and its control. ``twin``: what is shown beside it, and never
judged."""
ALL: Final = ("*",)
"""For :attr:`Stage.ignores` of a stage that is never given the method's settings."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One training of a run with one seed. What a method leaves out is as in the recipe.

    Args:
        name: the stage's folder, unique in the run.
        title: the same in words.
        role: see :data:`Role`; the last stage of role ``ticket`` is the run's ticket.
        rung: of a ladder's stages, the ticket that this is or is a control of.
        model: the network; None is the recipe's.
        neuron: its neurons; None is the recipe's.
        train: the schedule; None is the recipe's.
        stops_after: epochs after which it ends, whatever its schedule; 0 is never.
        trains: which optimizers move something; empty where only BatchNorm statistics move.
        needs: the earlier stages whose files it reads.
        ignores: fields of the method's ``Config`` that cannot change its result; a field of a
            section in it is ``section.field``. Every other field is part of the stage's key.
        settings: what else decides the result, as plain values; ``prepare`` may read it.
        keeps: whether later stages need its weights: they are written into its folder.
        rate_of: the stage whose tuned learning rate it takes; its own where that is empty.
        keeps_scores: whether the scores that its mask was chosen by are written there too.
        same_as: an earlier stage that trains exactly the same, so that once is enough.
        prepare: makes it ready, where that is not the method's own ``prepare``.
    """

    name: str
    title: str = ""
    role: Role = "search"
    rung: str = ""
    model: ModelConfig | None = None
    neuron: NeuronConfig | None = None
    train: TrainConfig | None = None
    stops_after: int = 0
    trains: tuple[Literal["scores", "weights"], ...] = ("weights",)
    needs: tuple[str, ...] = ()
    ignores: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    keeps: bool = False
    rate_of: str = ""
    keeps_scores: bool = False
    same_as: str = ""
    prepare: Callable[[Stage, Any], Any] | None = None

    def schedule(self, recipe: Recipe) -> TrainConfig:
        """The schedule of its training."""
        return self.train or recipe.train

    def network(self, recipe: Recipe) -> ModelConfig:
        """The config of its network."""
        return self.model or recipe.model

    def neurons(self, recipe: Recipe) -> NeuronConfig:
        """The config of its neurons."""
        return self.neuron or recipe.neuron

    def epochs(self, recipe: Recipe) -> int:
        """How many epochs it trains, at most; 0 where it trains nothing."""
        if not self.trains:
            return 0
        most = self.schedule(recipe).epochs
        return min(self.stops_after or most, most)


def stages_of(recipe: Recipe) -> tuple[Stage, ...]:
    """The stages of a recipe, in the order they run.

    Raises:
        UserError: its method cannot be run with its settings.
    """
    found: tuple[Stage, ...] = tuple(_method(recipe).stages(recipe))
    return tuple(s if s.title else replace(s, title=in_words(s.name)) for s in found)


def ticket_of(stages: Iterable[Stage]) -> Stage:
    """The stage whose net is the run's ticket: the last one of that role."""
    return [stage for stage in stages if stage.role == "ticket"][-1]


def rate_stage(recipe: Recipe, stage: Stage) -> Stage:
    """The stage whose trials choose a stage's learning rate."""
    if not stage.rate_of:
        return stage
    found = {known.name: known for known in stages_of(recipe)}
    return found[stage.rate_of] if stage.rate_of in found else stage_of(recipe, stage.rate_of)


def stage_of(recipe: Recipe, name: str) -> Stage:
    """A stage of a recipe by its name; the dense control also where it is not asked for."""
    controls = recipe.controls.model_copy(update={"dense": True})
    asked = recipe.model_copy(update={"controls": controls})
    return next(stage for stage in stages_of(asked) if stage.name == name)


def halved(stage: Stage, recipe: Recipe) -> Stage:
    """A stage with half of its epochs, rounded up."""
    train = stage.schedule(recipe)
    return replace(stage, train=shorter(train, math.ceil(train.epochs / 2)))


def at_rate(stage: Stage, recipe: Recipe, factor: float) -> Stage:
    """A stage with its learning rates times a factor."""
    if factor == 1:
        return stage
    train = stage.schedule(recipe)
    rates = {
        kind: optimizer.model_copy(update={"lr": optimizer.lr * factor})
        for kind, optimizer in (("scores", train.scores), ("weights", train.weights))
    }
    return replace(stage, train=train.model_copy(update=rates))


def condition(recipe: Recipe, stage: Stage | None = None) -> str:
    """What kind of net the recipe is about, or a stage of it is, in a few words.

    An encoder is part of it: every table and page that names the kind of net names it too.
    """
    own = getattr(_method(recipe), "condition", weights_condition)
    if stage is not None and stage.neuron is not None:
        own, recipe = weights_condition, recipe.model_copy(update={"neuron": stage.neuron})
    encoder = encoder_words(recipe.model.encoder)
    return f"{own(recipe)} behind an encoder ({encoder})" if encoder else str(own(recipe))


def _method(recipe: Recipe) -> ModuleType:
    return registry.load("methods", recipe.ticket.name)


def weights_condition(recipe: Recipe) -> str:
    """The condition's name by neuron and weights (METHOD: ANN, BNN, BinAct-BNN, SNN, BinW-SNN)."""
    known = {
        ("relu", "float"): "ANN",
        ("relu", "binary"): "BNN",
        ("sign", "binary"): "BinAct-BNN",
        ("lif", "float"): "SNN",
        ("lif", "binary"): "BinW-SNN",
    }
    neuron, weights = recipe.neuron.name, recipe.model.weights
    if bits := getattr(recipe.neuron, "bits", 0):
        return f"ANN with {bits} bit activations and {weights} weights"
    return known.get((neuron, weights), f"{neuron}, {weights} weights")


def in_words(name: str) -> str:
    """A stage's name in words, where nothing else says it."""
    return name.replace("_", " ")
