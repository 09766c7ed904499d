"""Studies: TOML files that say which recipes a table or figure of the paper stands on.

A cell is one recipe of a study: a panel, a series in it (a curve, a condition), and a value on
the panel's axis where it has one. Its recipe is a base from ``bases.toml``, which is a recipe
of the package with changes, and the changes of scale, panel, series and axis, in this order.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge
from pydantic import BeforeValidator, Field, ValidationError, model_validator

from spiketicket import registry
from spiketicket.errors import RecipeError, UserError
from spiketicket.recipe import Recipe, Section, parse_recipe, read_tables

Scale = Literal["paper", "small", "smoke"]
SCALES: tuple[Scale, ...] = ("paper", "small", "smoke")


def _dotted(table: Any, prefix: str = "") -> Any:
    """Nested tables as dotted keys."""
    if not isinstance(table, dict):
        return table
    found: dict[str, Any] = {}
    for key, value in table.items():
        inner = isinstance(value, dict)
        found |= _dotted(value, f"{prefix}{key}.") if inner else {prefix + key: value}
    return found


Changes = Annotated[dict[str, Any], BeforeValidator(_dotted)]
"""Changes of a recipe; what nests is read as dotted keys."""

_HERE = Path(__file__).parent.parent
_BASES = "bases"
_FAMILIES = {"data": "data", "model": "models", "neuron": "neurons", "ticket": "methods"}


class Axis(Section):
    """What a panel's x axis varies; ``keys`` all get the value, ``event_keys`` on recordings."""

    keys: tuple[str, ...]
    event_keys: tuple[str, ...] = ()
    label: str
    shown: Literal["value", "pruned"] = "value"
    """``pruned`` shows a fraction kept as the percentage that is pruned."""

    def place(self, value: float) -> float:
        """Where a value is drawn."""
        return round(100 * (1 - value), 9) if self.shown == "pruned" else value


class Series(Section):
    """A curve, or a condition; ``images`` and ``events`` are changes on that kind of data only."""

    name: str
    base: str = ""
    """Takes the place of the ``*`` in the panel's base."""
    set: Changes = {}
    images: Changes = {}
    events: Changes = {}
    published: str = ""
    """What it is called in the published values; its own name where this is empty."""


class Panel(Section):
    """One plot of a study; ``base`` names a base, ``published`` the values that belong to it.

    Where the series of a panel differ in their base, a ``*`` stands for what they bring.
    """

    base: str
    title: str = ""
    axis: str = ""
    values: tuple[float, ...] = ()
    series: tuple[str, ...] = ()
    """Which of the study's series are in it; all where it is empty."""
    set: Changes = {}
    published: str = ""


class ScalePlan(Section):
    """A study at one scale."""

    seeds: Annotated[int, Ge(1)]
    set: Changes = {}
    panels: tuple[Panel, ...] = ()


class Term(Section):
    """One side of a claim: an arm of a series, at one value of the axis or at each."""

    arm: str
    series: str = ""
    """The claim's own series where it is empty."""
    at: Literal["each", "first", "last"] = "each"


class Claim(Section):
    """What the paper states, as something our rows can contradict; see :mod:`.claims`."""

    kind: Literal["difference", "peak", "cliff", "ratio"] = "difference"
    text: str
    a: Term
    b: Term | None = None
    expect: Literal["holds", "falls", "above"] = "holds"
    margin: Annotated[float, Ge(0)] = 0.0
    """Percentage points."""
    near: float = 0.0
    """Of a peak or a cliff: where on the axis, as it is shown."""
    until: float = 0.0
    series: tuple[str, ...] = ()
    """Which series it is about; all where it is empty."""
    panels: tuple[str, ...] = ()
    """Bases of the panels it is about; all where it is empty."""
    published: float | None = None
    """The figure the paper gives, where it is not a difference of its values."""


class Study(Section):
    """One table, figure or statement of the paper."""

    name: str
    title: str
    place: str
    """Where in the paper."""
    states: str
    """What it states there, in words of ours."""
    of: str = ""
    """Another study whose cells these are."""
    metric: Literal["accuracy", "energy", "difference"] = "accuracy"
    axes: dict[str, Axis] = {}
    series: tuple[Series, ...] = Field(min_length=1)
    arms: tuple[str, ...] = Field(min_length=1)
    """What is drawn, the most important first: stages, or roles as in :func:`.collect.stage_of`."""
    claims: tuple[Claim, ...] = ()
    scales: dict[Scale, ScalePlan] = {}

    @model_validator(mode="after")
    def _names_fit(self) -> Study:
        known = {series.name for series in self.series}
        terms = [t for c in self.claims for t in (c.a, c.b) if t is not None]
        used = [s for c in self.claims for s in c.series] + [t.series for t in terms if t.series]
        for scale in self.scales.values():
            for panel in scale.panels:
                used += panel.series
                if panel.axis and panel.axis not in self.axes:
                    raise ValueError(f"panel {panel.base}: there is no axis {panel.axis}")
                if bool(panel.axis) != bool(panel.values):
                    raise ValueError(f"panel {panel.base}: an axis and its values go together")
        if unknown := sorted(set(used) - known):
            raise ValueError(f"there is no series {unknown[0]}")
        return self


class Base(Section):
    """A recipe of the package with changes, and what it is called in figures."""

    title: str
    recipe: str
    name: str
    events: bool = False
    set: Changes = {}


@dataclass(frozen=True)
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


def study_names() -> tuple[str, ...]:
    """The studies there are, in the order of the paper."""
    found = {path.stem for path in (_HERE / "studies").glob("*.toml")} - {_BASES}
    order = ("table1", "table2", "fig2", "fig3", "fig4", "fig5", "energy", "reward1", "reward2")
    return (*(n for n in order if n in found), *sorted(found - set(order)))


def load_study(name: str) -> Study:
    """A study of the package by its name.

    Raises:
        UserError: there is none of that name; names those there are.
    """
    if name not in study_names():
        remedy = f"There are {', '.join(study_names())}"
        raise UserError("there is no such study", where="reproduce", value=name, remedy=remedy)
    path = _HERE / "studies" / f"{name}.toml"
    found: Study = _parsed(Study, {"name": name, **read_tables(path)}, path)
    if not found.of:
        return found
    source = load_study(found.of)
    names = {series.name for series in found.series}
    series = tuple(s for s in source.series if s.name in names)
    return found.model_copy(
        update={"series": series, "axes": source.axes, "scales": source.scales}
    )


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
                cells.append(_cell(study, scale, plan, panel, series, value, seeds))
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
    study: Study, scale: str, plan: ScalePlan, panel: Panel, series: Series,
    value: float | None, seeds: int | None,
) -> Cell:  # fmt: skip
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
    chosen = tuple(range(recipe.seed, recipe.seed + count))
    return Cell(study.name, panel_key(panel), title, series.name, x, recipe, chosen,
                panel.published, series.published or series.name)  # fmt: skip


def panel_key(panel: Panel) -> str:
    """A panel's name within its study."""
    name = panel.base.replace("*", "").strip("-")
    return f"{name}/{panel.axis}" if panel.axis else name


def load_base(scale: str, name: str) -> Base:
    """A base of a scale by its name.

    Raises:
        UserError: there is none of that name.
    """
    path = _HERE / "studies" / f"{_BASES}.toml"
    tables = read_tables(path).get(scale, {})
    if name not in tables:
        raise UserError(f"there is no base {scale}.{name}", where=str(path),
                        remedy=f"There are {', '.join(tables)}")  # fmt: skip
    found: Base = _parsed(Base, tables[name], path)
    return found


def _recipe(base: Base, layers: Sequence[Changes], where: str) -> Recipe:
    tables = read_tables(_HERE / "recipes" / f"{base.recipe}.toml")
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


def _parsed(kind: type[Any], table: Mapping[str, Any], path: Path) -> Any:
    try:
        return kind.model_validate(table)
    except (ValidationError, tomllib.TOMLDecodeError) as error:
        lines = "; ".join(
            f"{'.'.join(str(part) for part in detail['loc'])}: {detail['msg']}"
            for detail in getattr(error, "errors", list)()
        )
        raise UserError(f"is no sound study: {lines}", where=str(path)) from error
