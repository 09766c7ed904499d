"""Controls by name, as a command takes them: ``all``, ``default``, ``none``, or some names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from spiketicket.errors import UserError, argument, did_you_mean
from spiketicket.methods.controls import impossible
from spiketicket.recipe import Recipe, registry

_WORDS: Final = ("all", "default", "none")


@dataclass(frozen=True)
class Choice:
    """A recipe with the controls chosen, and why those of ``all`` that it cannot have are not."""

    recipe: Recipe
    left_out: Mapping[str, str]


def choose(recipe: Recipe, text: str) -> Choice:
    """The recipe with exactly the controls that a text names.

    Args:
        recipe: any.
        text: ``all`` are those that the recipe's method can have, ``default`` those that a recipe
            has unless it says otherwise; else names with commas between them.

    Raises:
        UserError: no such control, or one that the recipe's method cannot have.
    """
    known = registry.controls()
    words = dict(zip(_WORDS, (known, registry.DEFAULT_CONTROLS, ()), strict=True))
    word = text.strip()
    named = words[word] if word in words else _names(text, known)
    reasons = {name: impossible(recipe, name) for name in named}
    left_out = {name: why for name, why in reasons.items() if why}
    if left_out and word != "all":
        name, why = next(iter(left_out.items()))
        remedy = "Leave it out, or use all: every control that it can have"
        raise UserError(why, where=argument("controls"), value=name, remedy=remedy)
    change = {name: reasons.get(name) == "" for name in known}
    controls = recipe.controls.model_copy(update=change)
    return Choice(recipe.model_copy(update={"controls": controls}), left_out)


def _names(text: str, known: tuple[str, ...]) -> tuple[str, ...]:
    names = tuple(part.strip() for part in text.split(","))
    for place, name in enumerate(names):
        if name in _WORDS:
            raise UserError("stands alone, not among names", where=argument("controls"), value=name)
        if name not in known:
            remedy = did_you_mean(name, (*known, *_WORDS))
            raise UserError(
                "no such control", where=argument("controls"), value=name, remedy=remedy
            )
        if name in names[:place]:
            raise UserError("is given twice", where=argument("controls"), value=name)
    return names
