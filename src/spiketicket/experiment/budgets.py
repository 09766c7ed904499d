"""What every stage of a recipe trains, known before anything is."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from spiketicket.methods import trainings
from spiketicket.methods.controls import TUNED, tuning_budget, tuning_epochs
from spiketicket.methods.ladder import budget, is_ladder, plans, stage_names
from spiketicket.methods.stages import title
from spiketicket.progress import PlannedStage
from spiketicket.recipe import Recipe, TrainConfig


def stage_budgets(recipe: Recipe) -> dict[str, TrainConfig]:
    """The training of every stage; one of no epochs trains nothing."""
    train = recipe.train
    if is_ladder(recipe):
        return {plan.name: budget(train, plan) for plan in plans(recipe)}
    tuned = tuning_budget(train, tuning_epochs(recipe))
    other = {"random_frozen": train.model_copy(update={"epochs": 0})}
    other |= dict.fromkeys(TUNED, tuned)
    if trainings.is_pruning(recipe):
        other |= {
            plan.name: trainings.budget(recipe, plan.name) for plan in trainings.plans(recipe)
        }
    return {name: other.get(name, train) for name in stage_names(recipe)}


def stage_epochs(recipe: Recipe) -> dict[str, int]:
    """How many epochs every stage trains, at most."""
    found = {name: train.epochs for name, train in stage_budgets(recipe).items()}
    return found | (trainings.stage_epochs(recipe) if trainings.is_pruning(recipe) else {})


def planned_stages(
    recipe: Recipe, seed_folders: Iterable[tuple[int, Path]], only: Iterable[str] | None = None
) -> list[PlannedStage]:
    """All stages of some seeds in the order they run; ``only`` some of each seed, or all.

    ``seed_folders`` are pairs of a seed and the folder of its stages, which need not be there.
    """
    epochs = stage_epochs(recipe)
    wanted = tuple(epochs) if only is None else tuple(only)
    return [
        PlannedStage(title(name), seed, epochs[name], (folder / name / "result.json").exists())
        for seed, folder in seed_folders
        for name in wanted
    ]
