"""``plan.json`` of a run folder: which times came to the run's schedule, and how."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Len
from pydantic import BaseModel, ConfigDict, ValidationError

from spiketicket.errors import UserError
from spiketicket.experiment.folder import TIME_PLAN, RunFolder
from spiketicket.experiment.results import read_result, write_result
from spiketicket.experiment.schemas import Count
from spiketicket.experiment.seed import held_briefly
from spiketicket.experiment.setup import Context
from spiketicket.machine.files import refuse_link
from spiketicket.methods.budgets import rescheduled
from spiketicket.recipe import Recipe


class Chosen(BaseModel):
    """One plan in a run's folder; ``of``, ``budget_s``, ``device`` and ``threads`` were asked."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False, strict=True)

    of: str
    budget_s: Count
    device: str
    threads: int | None
    epochs: Annotated[int, Ge(1)]
    timestep_ramp: list[Annotated[list[int], Len(2, 2)]]
    batch_size: Annotated[int, Ge(1)]
    longest: str
    longest_s: Count
    epoch_s: dict[str, Count]
    """Of the longest stage, by time steps."""
    stages_s: Count
    trials_s: Count
    threads_used: int


class _TimePlans(BaseModel):
    """The file: the plans that came to this run's recipe."""

    version: Literal[1]
    plans: Annotated[list[Chosen], Len(1)]


def applied(recipe: Recipe, chosen: Chosen) -> Recipe:
    """The recipe with what was chosen."""
    ramp = tuple((epochs, steps) for epochs, steps in chosen.timestep_ramp)
    chosen_of = {"epochs": chosen.epochs, "timestep_ramp": ramp, "batch_size": chosen.batch_size}
    return rescheduled(recipe, recipe.train.model_copy(update=chosen_of))


def earlier(recipe: Recipe, asked: Mapping[str, Any], runs_dir: Path) -> Chosen | None:
    """The plan that was made of the same recipe, budget, device and threads.

    Raises:
        UserError: a file is damaged, or lies in the folder of another run.
    """
    for path in sorted(runs_dir.glob(f"{recipe.name}-*/{TIME_PLAN}")):
        refuse_link(path.parent, path)
        found = read_result(path, _TimePlans)
        for plan in _TimePlans.model_validate(found).plans if found else ():
            if dict(asked).items() <= plan.model_dump().items():
                _check_place(recipe, plan, path)
                return plan
    return None


def _check_place(recipe: Recipe, plan: Chosen, path: Path) -> None:
    remedy = "Delete it, and a new plan is made"
    try:
        made = applied(recipe, plan)
    except ValidationError as error:
        raise UserError("has no schedule that can be", where=str(path), remedy=remedy) from error
    if made.folder_name != path.parent.name:
        raise UserError("is of another run", where=str(path), remedy=remedy)


def write(folder: RunFolder, chosen: Chosen, context: Context) -> None:
    """Add a plan to those that came to the same recipe."""
    refuse_link(folder.path, folder.time_plan)
    with held_briefly(folder.path, context):
        found = read_result(folder.time_plan, _TimePlans)
        plans = [*(found or {}).get("plans", []), chosen.model_dump()]
        write_result(folder.time_plan, {"version": 1, "plans": plans})
