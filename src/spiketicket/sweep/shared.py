"""Stages that several runs have in common: their keys, and taking one over from where it is.

A stage's key is the hash of exactly what its result is a function of: data, network, budget, seed
and the stages it starts from, but not the recipe's name or the parts of it that other stages read.
Two stages with one key differ in nothing but the recipe that their files name.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spiketicket import _measured_file, _sample_file, pruning
from spiketicket._bounded import read_regular
from spiketicket._files import explained, json_bytes, read_json, write_bytes, write_json
from spiketicket._measured_file import is_whole
from spiketicket._run_files import read_result, read_table, write_result
from spiketicket._run_models import FinishedStage
from spiketicket._sample_file import UNREADABLE, drawn_sample
from spiketicket._ticket_codec import MAX_FILE_BYTES
from spiketicket.arms import TUNED, tuning_budget, tuning_epochs
from spiketicket.errors import UserError
from spiketicket.ladder import altered_recipe, arm_names, budget, is_ladder, plans
from spiketicket.recipe import Recipe, TrainConfig
from spiketicket.stage import Experiment, provenance, versions
from spiketicket.stage_names import SCORES
from spiketicket.ticket import Ticket

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
    found = _ladder_inputs(recipe, seed) if is_ladder(recipe) else _arm_inputs(recipe)
    return {name: StageInputs({**shared, **i.values}, i.needs) for name, i in found.items()}


def stage_keys(
    recipe: Recipe, seed: int, device: str, made_by: Mapping[str, str]
) -> dict[str, str]:
    """The key of every stage on ``cpu`` or ``cuda``, with the versions that make it."""
    keys: dict[str, str] = {}
    for name, inputs in stage_inputs(recipe, seed).items():
        content = {
            "stage": name, "device": device, "versions": dict(made_by), "values": inputs.values,
            "needs": {need: keys[need] for need in inputs.needs},
        }  # fmt: skip
        text = json.dumps(content, sort_keys=True)
        keys[name] = hashlib.sha256(text.encode()).hexdigest()[:16]
    return keys


def _arm_inputs(recipe: Recipe) -> dict[str, StageInputs]:
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
        "ticket": StageInputs({
            "model": _plain(model), "ticket": search,
            "train": _budget(recipe.train, "scores"),
        }),
        "dense": StageInputs(trained),
        # The random masks have as many weights in every layer as the ticket.
        "random_trained": StageInputs(trained, ("ticket",)),
        "random_frozen": StageInputs({"train": _budget(recipe.train)}, ("ticket",)),
        **{name: StageInputs(tuned, ("ticket",)) for name in TUNED},
    }  # fmt: skip
    if pruning.is_pruning(recipe):
        known |= _pruning_inputs(recipe)
    return {name: known[name] for name in arm_names(recipe)}


def _pruning_inputs(recipe: Recipe) -> dict[str, StageInputs]:
    return {
        plan.name: StageInputs(
            {
                "model": _plain(recipe.model), "reads": dict(plan.reads),
                "train": _budget(pruning.budget(recipe, plan.name), "weights"),
                "stops_after": plan.stops_after,
            },
            plan.needs,
        )
        for plan in pruning.plans(recipe)
    }  # fmt: skip


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


def adopt(experiment: Experiment, source: Path, folder: Path) -> bool:
    """Put the finished stage in ``source`` into ``folder``, as if it had been run there.

    All its files come along, byte for byte as the recipe's own would be, but for ``timing.json``,
    which says that the stage is ``shared``. Returns False, and changes nothing, where ``source``
    is not finished or was made with other data or versions than are here.

    Raises:
        UserError: a damaged source, or a place that cannot be written.
    """
    facts = read_result(source / "result.json", FinishedStage)
    if facts is None or not (source / "timing.json").exists():
        return False
    timing = read_table(source / "timing.json", {})
    ticket = Ticket.load(source / "model.ticket")
    meta = {**ticket.metadata, **provenance(experiment)}
    made_of = ticket.metadata.get("data", {}).get("checksum"), ticket.metadata.get("versions")
    if made_of != (experiment.dataset.checksum, versions()):
        return False
    own = Ticket(ticket.layers, ticket.tensors, meta)
    content = own.to_bytes()
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        copies = _others(source) | _measured(source, ticket, own, len(content))
    facts |= {"condition": meta["condition"], "file_bytes": len(content)}
    experiment.guard()
    for name, copy in {"model.ticket": content, **copies}.items():
        write_bytes(folder / name, copy)
    write_json(folder / "timing.json", {**timing, "shared": True})
    experiment.guard()
    write_result(folder / "result.json", facts)
    (folder / "checkpoint.pt").unlink(missing_ok=True)
    return True


_OF_THE_RECIPE = ("model.ticket", "timing.json", "result.json", "measure.json", "sample.npz")
_OF_THE_PROCESS = ("checkpoint.pt", "error.json")


def _others(source: Path) -> dict[str, bytes]:
    """The files of a stage that are the same whatever the recipe."""
    left_out = (*_OF_THE_RECIPE, *_OF_THE_PROCESS)
    return {
        path.name: read_regular(path, MAX_FILE_BYTES)
        for path in source.iterdir()
        if path.is_file() and path.name not in left_out and not path.name.startswith(".")
    }


def _measured(source: Path, ticket: Ticket, own: Ticket, size: int) -> dict[str, bytes]:
    """What was measured of a stage, about its ticket in another recipe; none where it is damaged or
    of another ticket, so that it is measured again.
    """
    found, sample = source / "measure.json", source / "sample.npz"
    known, digest = ticket.digest(), own.digest()
    files = {}
    with contextlib.suppress(UserError):
        measured = read_json(found)
        if is_whole(measured) and measured["ticket_digest"] == known:
            files[found.name] = json_bytes(_measured_file.of_equal_ticket(measured, digest, size))
    drawn = drawn_sample(sample)
    if drawn is not None and drawn[0] == known:
        with contextlib.suppress(*UNREADABLE):
            files[sample.name] = _sample_file.of_equal_ticket(read_regular(sample), digest)
    return files
