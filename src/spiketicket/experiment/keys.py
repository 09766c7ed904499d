"""Keys of stages: the hash of exactly what a result is a function of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from spiketicket.methods import trainings
from spiketicket.methods.controls import TUNED, tuning_budget, tuning_epochs
from spiketicket.methods.ladder import altered_recipe, budget, is_ladder, plans, stage_names
from spiketicket.recipe import Recipe, TrainConfig
from spiketicket.recipe.shapes import SCORES

_OPTIMIZERS = {"scores", "weights"}


_MASKED = ("searched", "random_trained", "random_frozen")


@dataclass(frozen=True)
class StageInputs:
    """What a stage's result depends on: values, and other stages of the same seed by name."""

    values: Mapping[str, Any]
    needs: tuple[str, ...] = ()


def stage_inputs(recipe: Recipe, seed: int) -> dict[str, StageInputs]:
    """The inputs of every stage of a recipe, in the order the stages run."""
    shared = {"seed": seed, "data": _plain(recipe.data), "neuron": _plain(recipe.neuron)}
    found = _ladder_inputs(recipe, seed) if is_ladder(recipe) else _control_inputs(recipe)
    return {name: StageInputs({**shared, **i.values}, i.needs) for name, i in found.items()}


def stage_keys(
    recipe: Recipe, seed: int, device: str, made_by: Mapping[str, str]
) -> dict[str, str]:
    """The key of every stage on ``cpu`` or ``cuda``, with the versions that make it."""
    keys: dict[str, str] = {}
    for name, inputs in stage_inputs(recipe, seed).items():
        content = {
            "stage": name,
            "device": device,
            "versions": dict(made_by),
            "values": inputs.values,
            "needs": {need: keys[need] for need in inputs.needs},
        }
        text = json.dumps(content, sort_keys=True)
        keys[name] = hashlib.sha256(text.encode()).hexdigest()[:16]
    return keys


def _control_inputs(recipe: Recipe) -> dict[str, StageInputs]:
    model, affine = recipe.model, recipe.controls.bn_affine
    control = model if affine is None else model.model_copy(update={"bn_affine": affine})
    trained = {"model": _plain(control), "train": _budget(recipe.train, "weights")}
    search = {k: v for k, v in _plain(recipe.ticket).items() if not k.startswith("fine_tune_")}
    tuning = {k: v for k, v in _plain(recipe.ticket).items() if k.startswith("fine_tune_")}
    tuned = {
        "ticket": tuning,
        "train": _budget(tuning_budget(recipe.train, tuning_epochs(recipe)), "weights"),
    }
    known = {
        "ticket": StageInputs(
            {
                "model": _plain(model),
                "ticket": search,
                "train": _budget(recipe.train, "scores"),
            }
        ),
        "dense": StageInputs(trained),
        # The random masks have as many weights in every layer as the ticket.
        "random_trained": StageInputs(trained, ("ticket",)),
        "random_frozen": StageInputs({"train": _budget(recipe.train)}, ("ticket",)),
        **{name: StageInputs(tuned, ("ticket",)) for name in TUNED},
    }
    if trainings.is_pruning(recipe):
        known |= _pruning_inputs(recipe)
    return {name: known[name] for name in stage_names(recipe)}


def _pruning_inputs(recipe: Recipe) -> dict[str, StageInputs]:
    return {
        plan.name: StageInputs(
            {
                "model": _plain(recipe.model),
                "reads": dict(plan.reads),
                "train": _budget(trainings.budget(recipe, plan.name), "weights"),
                "stops_after": plan.stops_after,
            },
            plan.needs,
        )
        for plan in trainings.plans(recipe)
    }


def _ladder_inputs(recipe: Recipe, seed: int) -> dict[str, StageInputs]:
    config: Any = recipe.ticket
    found = {}
    for plan in plans(recipe):
        ranking = str(config.score) if plan.ranking == "ticket" else plan.ranking
        trials = tuple(f"try_{s}" for s in SCORES) if ranking == "auto" else ()
        selector = ("selector",) if ranking in SCORES or ranking == "auto" else ()
        optimizers = ("scores", "weights") if plan.pep == "searched" else ("weights",)
        values = {
            "model": _plain(altered_recipe(recipe, plan, ranking, seed).model),
            "train": _budget(budget(recipe.train, plan), *optimizers),
            "conv_pep": plan.pep,
        } | ({"density": config.density} if plan.pep in _MASKED else {})
        start = (plan.start,) if plan.start else ()
        found[plan.name] = StageInputs(values, (*selector, *trials, *start))
    return found


def _budget(train: TrainConfig, *optimizers: str) -> dict[str, Any]:
    """What decides a training: not when it is saved, and no optimizer that it does not use."""
    unused = {*(_OPTIMIZERS - set(optimizers)), "checkpoint_steps"}
    return {k: v for k, v in _plain(train).items() if k not in unused}


def _plain(section: Any) -> dict[str, Any]:
    plain: dict[str, Any] = section.model_dump(mode="json")
    return plain
