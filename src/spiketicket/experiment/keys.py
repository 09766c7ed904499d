"""Keys of stages: the hash of exactly what a result is a function of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from spiketicket.methods.stages import ALL, Stage, rate_stage, stages_of
from spiketicket.recipe import MethodConfig, Recipe, TrainConfig
from spiketicket.training.precision import with_precision

_OPTIMIZERS = {"scores", "weights"}


@dataclass(frozen=True)
class StageInputs:
    """What a stage's result depends on: values, and other stages of the same seed by name."""

    values: Mapping[str, Any]
    needs: tuple[str, ...] = ()


def stage_inputs(recipe: Recipe, seed: int) -> dict[str, StageInputs]:
    """The inputs of every stage of a recipe, in the order the stages run.

    Of the method's settings all are in them but those that the stage names as none of its business,
    see :attr:`spiketicket.methods.stages.Stage.ignores`.
    """
    shared = {"seed": seed, "data": _plain(recipe.data)}
    return {
        stage.name: StageInputs(
            {**shared, **_values(stage, recipe), **_rate(stage, recipe)}, stage.needs
        )
        for stage in stages_of(recipe)
    }


def _rate(stage: Stage, recipe: Recipe) -> dict[str, Any]:
    """What a stage's learning rate depends on beside the stage itself."""
    if recipe.train.tune == "off" or not stage.trains:
        return {}
    source = rate_stage(recipe, stage)
    own = {} if source.name == stage.name else {"rate_of": _values(source, recipe)}
    return {"rate_seed": recipe.seed, **own}


def rate_inputs(
    recipe: Recipe, stage: Stage, device: str, made_by: Mapping[str, str]
) -> dict[str, Any]:
    """All that the trials of a stage's learning rate are a function of, whatever its name."""
    recipe = with_precision(recipe, device)
    stage = replace(stage, train=_in_precision(stage, recipe))
    keys = stage_keys(recipe, recipe.seed, device, made_by) if stage.needs else {}
    return {
        "device": device,
        "versions": dict(made_by),
        "seed": recipe.seed,
        "data": _plain(recipe.data),
        **_values(stage, recipe),
        "needs": [keys[need] for need in stage.needs],
    }


def stage_keys(
    recipe: Recipe, seed: int, device: str, made_by: Mapping[str, str]
) -> dict[str, str]:
    """The key of every stage on ``cpu`` or ``cuda``, with the versions that make it.

    Stages of one key are trained in one precision: that which ``train.precision`` comes to here.
    """
    recipe = with_precision(recipe, device)
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


def _in_precision(stage: Stage, recipe: Recipe) -> TrainConfig | None:
    """The schedule of a stage that was made of a recipe without its precision."""
    if stage.train is None:
        return None
    return stage.train.model_copy(update={"precision": recipe.train.precision})


def _values(stage: Stage, recipe: Recipe) -> dict[str, Any]:
    return {
        "model": _plain(stage.network(recipe)),
        "neuron": _plain(stage.neurons(recipe)),
        "method": {**read_settings(recipe.ticket, stage.ignores), **stage.settings},
        "train": _budget(stage.schedule(recipe), stage.trains),
        "stops_after": stage.stops_after,
        **({"keeps_scores": True} if stage.keeps_scores else {}),
    }


def read_settings(config: MethodConfig, ignores: tuple[str, ...]) -> dict[str, Any]:
    """A method's settings without those that a stage ignores."""
    if ignores == ALL:
        return {}
    left = _plain(config)
    for path in ignores:
        section, _, field = path.rpartition(".")
        (left.get(section, {}) if section else left).pop(field, None)
    return left


def _budget(train: TrainConfig, optimizers: tuple[str, ...]) -> dict[str, Any]:
    """What decides a training: not when it is saved, and no optimizer that it does not use.

    Whether its rate is tuned is in :func:`_rate`.
    """
    unused = {*(_OPTIMIZERS - set(optimizers)), "checkpoint_steps", "tune"}
    return {k: v for k, v in _plain(train).items() if k not in unused}


def _plain(section: Any) -> dict[str, Any]:
    plain: dict[str, Any] = section.model_dump(mode="json")
    return plain
