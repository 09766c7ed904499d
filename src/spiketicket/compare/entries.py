"""The runs of a comparison: a recipe with every method at every density."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from spiketicket.errors import RecipeError, UserError, argument
from spiketicket.machine.typed import typed
from spiketicket.recipe import parse_recipe, registry
from spiketicket.recipe.named import override_texts
from spiketicket.sweep import Run

Budget = Literal["each", "total"]


@dataclass(frozen=True)
class Entry:
    """One method at one density."""

    method: str
    density: float
    run: Run


@typed
def make_entries(
    tables: Mapping[str, Any],
    methods: Sequence[str],
    densities: Sequence[float],
    seeds: int,
    *,
    overrides: Sequence[str] | Mapping[str, Any] = (),
    method_options: Sequence[str] | Mapping[str, Any] = (),
    budget: Budget = "each",
    source: str = "recipe",
) -> list[Entry]:
    """All combinations, validated.

    The recipe's own ``[ticket]`` settings hold for its own method; the others have their defaults.

    Args:
        tables: the recipe's TOML.
        methods, densities: each once.
        seeds: repetitions, counted from the recipe's seed.
        overrides: for every run, as of :func:`spiketicket.load_recipe`; not of ``[ticket]``.
        method_options: ``method.key=value`` texts for one method's ``[ticket]`` section, or a
            mapping: ``{"imp": {"rounds": 3}}``.
        budget: see :class:`~spiketicket.methods.pruning.PruningConfig`.
        source: says in errors where the tables came from.

    Raises:
        RecipeError: one line for every mistake in any of the recipes.
        UserError: a method that is unknown, is not for this comparison, or is given twice.
    """
    overrides, method_options = override_texts(overrides), override_texts(method_options)
    _check(methods, densities, overrides, method_options)
    found: list[Entry] = []
    problems: dict[str, None] = {}
    for method in methods:
        own = [text for text in method_options if text.partition(".")[0].strip() == method]
        changes = [f"ticket.{text.partition('.')[2]}" for text in own]
        for density in densities:
            try:
                recipe = parse_recipe(
                    {**tables, "ticket": _ticket(tables, method, density, budget)},
                    source,
                    [*overrides, *changes],
                )
            except RecipeError as error:
                problems |= dict.fromkeys(f"{method}: {line}" for line in error.problems)
                continue
            if hasattr(recipe.ticket, "rungs"):
                raise UserError(
                    "makes patch tickets, which have another comparison",
                    where=argument("methods"),
                    value=method,
                    remedy="Use `spiketicket find`",
                )
            numbers = recipe.repetitions(seeds)
            axes = {"method": method, "density": f"{density:g}"}
            found.append(Entry(method, density, Run(recipe, numbers, axes)))
    if problems:
        raise RecipeError(list(problems))
    if budget == "total" and not any(hasattr(entry.run.recipe.ticket, "budget") for entry in found):
        raise UserError(
            "no method here has several trainings", where=argument("budget"), value=budget
        )
    return found


def _check(
    methods: Sequence[str],
    densities: Sequence[float],
    overrides: Sequence[str],
    options: Sequence[str],
) -> None:
    for where, values in (("methods", methods), ("densities", densities)):
        if not values:
            raise UserError("names none", where=argument(where))
        twice = next((v for i, v in enumerate(values) if v in values[:i]), None)
        if twice is not None:
            raise UserError("is given twice", where=argument(where), value=twice)
    for method in methods:
        registry.load("methods", method)
    for text in overrides:
        if text.partition("=")[0].strip().partition(".")[0] == "ticket":
            raise UserError(
                "the ticket is what differs",
                where=argument("overrides"),
                value=text,
                remedy=f"Use {argument('method_options')} METHOD.KEY=VALUE",
            )
    for text in options:
        method, dot, rest = text.partition(".")
        if not dot or "=" not in rest or method.strip() not in methods:
            raise UserError(
                "must be METHOD.KEY=VALUE of one of the methods",
                where=argument("method_options"),
                value=text,
            )


def _ticket(
    tables: Mapping[str, Any], method: str, density: float, budget: Budget
) -> dict[str, Any]:
    given = tables.get("ticket")
    own = dict(given) if isinstance(given, dict) and given.get("name") == method else {}
    shared = budget == "total" and "budget" in registry.load("methods", method).Config.model_fields
    return {**own, "name": method, "density": density, **({"budget": "total"} if shared else {})}
