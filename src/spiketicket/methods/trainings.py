"""The stages of a search that trains weights under masks: its trainings before the ticket's.

    probe, pretrained, search, round_1, round_2, ..    as the method names them, and last
    ticket                                             whose controls are those of every ticket

Each is trained, tested and resumed as any stage. What later ones read of it lies in its folder:

    weights.safetensors    its weights, of binary layers the latent ones, BatchNorm, masks
    rewind.safetensors     the same after the step that is rewound to
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import torch

from spiketicket.errors import UserError
from spiketicket.machine.files import write_bytes
from spiketicket.methods.controls import PreparedStage, build_network, shorter
from spiketicket.methods.pruning import (
    REWIND,
    WEIGHTS,
    Plan,
    PruningConfig,
    Scene,
    require_density,
    save_plain,
)
from spiketicket.models.blocks import DataShape
from spiketicket.models.prunable import prunable
from spiketicket.recipe import ModelConfig, Recipe, TrainConfig, registry
from spiketicket.training.callback import StopAfter
from spiketicket.training.loop import Batches

TICKET = "ticket"


@dataclass(frozen=True)
class Work:
    """The training data of a search, and how it writes its files."""

    batches: Batches
    write: Callable[[Path, bytes], None] = write_bytes


def is_pruning(recipe: Recipe) -> bool:
    """Whether the recipe's ticket has weights trained under a mask."""
    return isinstance(recipe.ticket, PruningConfig)


def plans(recipe: Recipe) -> tuple[Plan, ...]:
    """The trainings of the search, the ticket's last.

    Raises:
        UserError: the method names none, or the last one is not the ticket.
    """
    module = registry.load("methods", recipe.ticket.name)
    found: tuple[Plan, ...] = tuple(module.plans(recipe.ticket))
    if not found or found[-1].name != TICKET:
        what = "the last plan of a method must be named ticket"
        raise UserError(what, where="ticket.name", value=recipe.ticket.name)
    return found


def search_names(recipe: Recipe) -> tuple[str, ...]:
    """The stages before the ticket; none of other tickets."""
    return tuple(plan.name for plan in plans(recipe)[:-1]) if is_pruning(recipe) else ()


def dense_twin(recipe: Recipe) -> str:
    """The stage that trains exactly what the dense control does; empty where there is none."""
    if not is_pruning(recipe) or recipe.controls.bn_affine not in (None, recipe.model.bn_affine):
        return ""
    found = next((plan.name for plan in plans(recipe) if plan.is_dense), "")
    return found if found and schedules(recipe)[found] == recipe.train.epochs else ""


def is_search(recipe: Recipe, name: str) -> bool:
    """Whether a stage is one of such a search, or its ticket."""
    return is_pruning(recipe) and name in (*search_names(recipe), TICKET)


def schedules(recipe: Recipe) -> dict[str, int]:
    """The epochs of every training's schedule.

    Raises:
        UserError: so many trainings do not fit into a total budget.
    """
    found, epochs = plans(recipe), recipe.train.epochs
    if cast("PruningConfig", recipe.ticket).budget == "each":
        return {plan.name: epochs for plan in found}
    fixed = {plan.name: plan.stops_after for plan in found if plan.stops_after}
    shared = [plan.name for plan in found if not plan.stops_after]
    each, rest = divmod(epochs - sum(fixed.values()), len(shared))
    if each < 1:
        raise UserError(
            f"the search has {len(found)} trainings, {epochs} epochs together are too few",
            where="ticket.budget",
            value="total",
            remedy="Use more train.epochs, or fewer rounds",
        )
    return {**dict.fromkeys(shared, each), **dict.fromkeys(fixed, epochs), TICKET: each + rest}


def stage_epochs(recipe: Recipe) -> dict[str, int]:
    """How many epochs every training has, at most."""
    limits = {plan.name: plan.stops_after for plan in plans(recipe)}
    return {name: min(limits[name] or e, e) for name, e in schedules(recipe).items()}


def budget(recipe: Recipe, name: str) -> TrainConfig:
    """The schedule of a training."""
    return shorter(recipe.train, schedules(recipe)[name])


def check(recipe: Recipe, shape: DataShape) -> None:
    """Refuse what would fail in a later stage, before the first one is trained.

    Raises:
        UserError: a density that keeps nothing, a budget too small, or as the method says.
    """
    if not is_pruning(recipe):
        return
    config = cast("PruningConfig", recipe.ticket)
    schedules(recipe)
    for plan in plans(recipe):
        if plan.stops_after > recipe.train.epochs:
            raise UserError(
                f"stage {plan.name} is to have {plan.stops_after} epochs",
                where="train.epochs",
                value=recipe.train.epochs,
                remedy="Use more epochs",
            )
    module = registry.load("methods", config.name)
    if hasattr(module, "check"):
        module.check(recipe)
    with torch.device("meta"):
        model = build_network(recipe, shape)
    sizes = {n: cast("torch.Tensor", m.weight).numel() for n, m in prunable(model).items()}
    require_density(config, sizes)


def prepare(
    name: str,
    recipe: Recipe,
    shape: DataShape,
    seed: int,
    device: torch.device,
    seed_folder: Path | None,
    work: Work | None,
) -> PreparedStage:
    """Make a training of the search ready.

    Raises:
        UserError: an earlier stage has lost its files, or as the method says.
    """
    if seed_folder is None or work is None:
        raise UserError("a search by pruning needs its data and its folder", where=name)
    plan = next(plan for plan in plans(recipe) if plan.name == name)

    def build(config: ModelConfig) -> torch.nn.Module:
        made = build_network(recipe.model_copy(update={"model": config}), shape)
        return made if next(made.parameters()).is_meta else made.to(device)

    scene = Scene(
        recipe.ticket,
        build(recipe.model),
        recipe.model,
        build,
        recipe.model.weights == "binary",
        seed,
        budget(recipe, name),
        work.batches,
        seed_folder / name,
        work.write,
    )
    made = registry.load("methods", recipe.ticket.name).prepare(plan, scene)
    trainee = made.trainee
    if plan.stops_after:
        stop = StopAfter(plan.stops_after)
        trainee = replace(trainee, callbacks=(*trainee.callbacks, stop))
    return PreparedStage(
        name,
        trainee,
        recipe.model.bn_affine,
        made.model,
        scene.train,
        plan.keeps,
        made.finish,
        name != TICKET,
        made.search_passes,
        made.dense_weights,
    )


def keep_weights(stage: PreparedStage, folder: Path, work: Work) -> None:
    """Write what later stages read of a finished training."""
    if stage.keeps:
        work.write(folder / WEIGHTS, save_plain(stage.trainee.model))


def leave_untrained(stage: PreparedStage, folder: Path) -> None:
    """Write what later stages read as if the training were over: for estimates of time."""
    if stage.keeps:
        for file in (WEIGHTS, REWIND):
            write_bytes(folder / file, save_plain(stage.trainee.model))
