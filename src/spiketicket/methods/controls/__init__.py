"""The controls that a weight ticket is judged against: one file each, named as its stage.

A file of this folder has

    stage(asked)            the control's :class:`~spiketicket.methods.stages.Stage`
    impossible(recipe)      why a recipe cannot have it, or ""; may be left out
    READS_SCORES            True where it reads what the ticket's mask was chosen by

A recipe asks for it by the field of that name in ``[controls]``, a command by the name. The
controls that are on by default come first; then the others by name; fine-tuning is last.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import replace
from types import ModuleType

from spiketicket.errors import UserError, argument
from spiketicket.methods.controls.asked import Asked
from spiketicket.methods.fine_tuning import tuned
from spiketicket.methods.rung_config import CHANGED
from spiketicket.methods.scene import TRAINED_START
from spiketicket.methods.stages import Stage
from spiketicket.methods.weights import WeightStart
from spiketicket.recipe import Recipe, registry


def beside(
    recipe: Recipe,
    *search: Stage,
    dense_as: str = "",
    frozen_start: WeightStart = TRAINED_START,
) -> tuple[Stage, ...]:
    """A search's stages, the last one the ticket, with the controls that the recipe asks for.

    Args:
        recipe: says which controls, and how long fine-tuning is.
        search: what the method itself trains.
        dense_as: the stage that trains exactly what the dense control does, if there is one.
        frozen_start: how the weights of the frozen control start: as those of the ticket.

    Raises:
        UserError: a control that the recipe's method cannot have.
    """
    asked = Asked(recipe=recipe, dense_as=dense_as, frozen_start=frozen_start)
    modules = [_module(name) for name in wanted(recipe)]
    controls = tuple(module.stage(asked) for module in modules)
    if any(getattr(module, "READS_SCORES", False) for module in modules):
        search = (*search[:-1], replace(search[-1], keeps_scores=True))
    return (*search, *controls, *tuned(recipe))


def wanted(recipe: Recipe) -> Iterator[str]:
    """The controls that a recipe asks for, in the order they run.

    Raises:
        UserError: its method cannot have one of them.
    """
    for name in registry.controls():
        if not getattr(recipe.controls, name):
            continue
        if why := impossible(recipe, name):
            raise UserError(
                why,
                where=f"controls.{name}",
                value=True,
                remedy=f"Leave it out, or take all that {recipe.ticket.name} can have: "
                f"{argument('controls', 'all')}",
            )
        yield name


def impossible(recipe: Recipe, name: str) -> str:
    """Why a recipe cannot have a control; "" where it can."""
    rungs = getattr(recipe.ticket, "rungs", None)
    if rungs is not None:
        return _impossible_on_ladder(recipe, name, {*rungs} <= {"patch"})
    own = getattr(_module(name), "impossible", None)
    return "" if own is None else str(own(recipe))


def _impossible_on_ladder(recipe: Recipe, name: str, patches_only: bool) -> str:
    if name in registry.DEFAULT_CONTROLS:
        return ""
    if name not in CHANGED:
        return f"the ladder of {recipe.ticket.name} has no such control"
    return f"{recipe.ticket.name} has no rung with a mask of weights" if patches_only else ""


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"{__name__}.{name}")
