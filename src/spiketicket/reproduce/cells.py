"""From a study to its recipes.

A cell is one recipe of a study: a panel, a series in it (a curve, a condition), and a value on
the panel's axis where it has one. Its recipe is a base from ``bases.toml``, which is a recipe
of the package with changes, and the changes of scale, panel, series and axis, in this order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from spiketicket.errors import RecipeError, UserError
from spiketicket.recipe import Recipe, parse_recipe, read_tables, registry
from spiketicket.recipe.registry import SHIPPED
from spiketicket.reproduce.study import (
    Base,
    Changes,
    Panel,
    ScalePlan,
    Series,
    Study,
    load_base,
)

_FAMILIES = {"data": "data", "model": "models", "neuron": "neurons", "ticket": "methods"}


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One recipe of a study, with its place in the figure."""

    study: str
    panel: str
    title: str
    """The panel's."""
    series: str
    x: float | None
    """As shown on the axis."""
    recipe: Recipe
    seeds: tuple[int, ...]
    published: str = ""
    """Key of the published values that belong to the panel; empty where there are none."""
    printed: str = ""
    """What the series is called in them."""


def cells_of(study: Study, scale: str, seeds: int | None = None) -> list[Cell]:
    """Every recipe of a study at a scale; ``seeds`` replaces its number of repetitions.

    Raises:
        UserError: the study has nothing at this scale.
        RecipeError: one line for every mistake in any of the recipes.
    """
    plan = study.scales.get(scale)  # type: ignore[call-overload]
    if plan is None or not plan.panels:
        known = ", ".join(study.scales)
        raise UserError(f"{study.name} has no scale {scale}", remedy=f"It has {known}")
    cells: list[Cell] = []
    problems: dict[str, None] = {}
    for panel, series in _parts(study, plan):
        for value in panel.values or (None,):
            try:
                cells.append(
                    _cell(
                        study,
                        scale=scale,
                        plan=plan,
                        panel=panel,
                        series=series,
                        value=value,
                        seeds=seeds,
                    )
                )
            except RecipeError as error:
                problems |= dict.fromkeys(error.problems)
    if problems:
        raise RecipeError(list(problems))
    return cells


def _parts(study: Study, plan: ScalePlan) -> Iterator[tuple[Panel, Series]]:
    for panel in plan.panels:
        for series in study.series:
            if not panel.series or series.name in panel.series:
                yield panel, series


def _cell(
    study: Study,
    *,
    scale: str,
    plan: ScalePlan,
    panel: Panel,
    series: Series,
    value: float | None,
    seeds: int | None,
) -> Cell:
    base = load_base(scale, panel.base.replace("*", series.base))
    kind = series.events if base.events else series.images
    changes = [base.set, plan.set, panel.set, series.set, kind]
    axis = study.axes.get(panel.axis)
    if axis is not None and value is not None:
        keys = axis.keys + (axis.event_keys if base.events else ())
        changes.append(dict.fromkeys(keys, _plain(value)))
    where = f"{study.name}, {scale}, {panel.base}, {series.name}"
    recipe = _recipe(base, changes, where)
    count = seeds or plan.seeds
    x = None if axis is None or value is None else axis.place(value)
    title = panel.title or base.title
    chosen = recipe.repetitions(count)
    return Cell(
        study=study.name,
        panel=panel_key(panel),
        title=title,
        series=series.name,
        x=x,
        recipe=recipe,
        seeds=chosen,
        published=panel.published,
        printed=series.published or series.name,
    )


def panel_key(panel: Panel) -> str:
    """A panel's name within its study."""
    name = panel.base.replace("*", "").strip("-")
    return f"{name}/{panel.axis}" if panel.axis else name


def _recipe(base: Base, layers: Sequence[Changes], where: str) -> Recipe:
    tables = read_tables(SHIPPED / f"{base.recipe}.toml")
    tables["name"] = base.name
    for changes in layers:
        # names first: another choice of a family may have other keys
        for key in sorted(changes, key=lambda key: not key.endswith(".name")):
            _put(tables, key.split("."), changes[key])
    return parse_recipe(tables, where)


def _put(tables: dict[str, Any], path: Sequence[str], value: Any) -> None:
    section = path[0]
    if list(path[1:]) == ["name"] and section in _FAMILIES:
        known = registry.load(_FAMILIES[section], value).Config.model_fields
        kept = {k: v for k, v in tables.get(section, {}).items() if k in known}
        tables[section] = {**kept, "name": value}
        return
    *outer, last = path
    for key in outer:
        tables = tables.setdefault(key, {})
    tables[last] = value


def _plain(value: float) -> float | int:
    return int(value) if float(value).is_integer() else value
