"""What the methods that train weights under a mask have in common.

A method of this kind names its trainings in order, the last one ``ticket``, and
:func:`with_controls` makes of them the stages of a recipe. Every training is a stage of the run:
its folder, its checkpoint, its test, its cost.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal, cast

from annotated_types import Gt, Lt
from pydantic import Field

from spiketicket.errors import UserError
from spiketicket.methods import controls
from spiketicket.methods.budgets import shorter
from spiketicket.methods.stages import Stage
from spiketicket.recipe import MethodConfig, Recipe

TICKET = "ticket"
SHARED = ("name", "budget", "density")
"""What an early training has nothing to do with, for :attr:`Stage.ignores`: methods share it."""


class PruningConfig(MethodConfig):
    """A search that ends in weights trained under a mask."""

    density: Annotated[float, Gt(0), Lt(1), Field(examples=[0.2])]
    """Fraction of the weights that the ticket KEEPS, exact to the weight."""
    budget: Literal["each", "total"] = "each"
    """Whether ``train.epochs`` are those of each training, or of all trainings of the search
    together, the ticket's included."""


def the_ticket(*, needs: tuple[str, ...] = (), **more: Any) -> Stage:
    """The last training of a search; ``more`` are further fields of the stage."""
    return Stage(
        name=TICKET, title="ticket", role="ticket", needs=needs, **{"ignores": ("budget",), **more}
    )


def with_controls(recipe: Recipe, *trainings: Stage, dense: str = "") -> tuple[Stage, ...]:
    """The stages of a recipe: a search's trainings, each with its schedule, and the controls.

    ``dense`` is the training that is the dense net's, if there is one: where the schedule and the
    network are the dense control's too, it is not trained twice.

    Raises:
        UserError: so many trainings do not fit into a total budget.
    """
    epochs = schedules(recipe, trainings)
    found = tuple(replace(t, train=shorter(recipe.train, epochs[t.name])) for t in trainings)
    same = recipe.controls.bn_affine in (None, recipe.model.bn_affine)
    whole = epochs.get(dense) == recipe.train.epochs
    return controls.beside(recipe, *found, dense_as=dense if same and whole else "")


def schedules(recipe: Recipe, trainings: tuple[Stage, ...]) -> dict[str, int]:
    """The epochs of every training's schedule.

    Raises:
        UserError: so many trainings do not fit into a total budget.
    """
    epochs = recipe.train.epochs
    if cast("PruningConfig", recipe.ticket).budget == "each":
        return {t.name: epochs for t in trainings}
    fixed = {t.name: t.stops_after for t in trainings if t.stops_after}
    shared = [t.name for t in trainings if not t.stops_after]
    each, rest = divmod(epochs - sum(fixed.values()), len(shared))
    if each < 1:
        raise UserError(
            f"the search has {len(trainings)} trainings, {epochs} epochs together are too few",
            where="ticket.budget",
            value="total",
            remedy="Use more train.epochs, or fewer rounds",
        )
    return {**dict.fromkeys(shared, each), **dict.fromkeys(fixed, epochs), TICKET: each + rest}
