"""Studies: TOML files that say which recipes a table or figure of the paper stands on."""

from __future__ import annotations

import functools
import math
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge
from pydantic import BeforeValidator, Field, ValidationError, model_validator

from spiketicket.errors import UserError
from spiketicket.recipe import Section, read_tables

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

_STUDIES = Path(__file__).parent / "studies"
_BASES = "bases"


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
    set: Changes = Field(default_factory=dict)
    images: Changes = Field(default_factory=dict)
    events: Changes = Field(default_factory=dict)
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
    set: Changes = Field(default_factory=dict)
    published: str = ""
    stands_for: str = ""
    """Title of the paper's panel in whose place it is; its own where this is empty."""


class ScalePlan(Section):
    """A study at one scale."""

    seeds: Annotated[int, Ge(1)]
    set: Changes = Field(default_factory=dict)
    panels: tuple[Panel, ...] = ()


class Term(Section):
    """One side of a claim: a stage of a series, at one value of the axis or at each."""

    stage: str
    series: str = ""
    """The claim's own series where it is empty."""
    at: Literal["each", "first", "last"] = "each"
    price: Literal["nonzero", "all"] = "nonzero"
    """Of a ratio of energies: what is multiplied, non-zero inputs or every weight everywhere."""


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
    most: bool = False
    """Whether that figure is the paper's most: "up to"."""
    band: tuple[float, float] | None = None
    """Where a value of the paper's size lies, in points or as a ratio; None: it gives no size.
    Of ``holds`` it is the margin to both sides where none is given."""

    @model_validator(mode="after")
    def _band_fits(self) -> Claim:
        if self.band is None:
            if self.published is not None:
                raise ValueError(f"{self.text}: a published figure needs a band")
            return self
        low, high = self.band
        bound = {"falls": (-math.inf, -self.margin), "holds": (-self.margin, math.inf)}
        least, most = bound.get(self.expect, (0.0, math.inf))
        if self.kind == "ratio":
            least, most = 1.0, math.inf
        if not least <= low < high <= most:
            raise ValueError(f"{self.text}: the band must lie in {least:g} to {most:g}, low first")
        if self.most and (self.published is None or high < self.published):
            raise ValueError(f"{self.text}: the band must reach the paper's figure")
        return self

    @property
    def sizes(self) -> tuple[float, float] | None:
        """The band that counts: the one given, or the margin of ``holds`` to both sides."""
        if self.band is None and self.kind == "difference" and self.expect == "holds":
            return (-self.margin, self.margin)
        return self.band


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
    axes: dict[str, Axis] = Field(default_factory=dict)
    series: tuple[Series, ...] = Field(min_length=1)
    stages: tuple[str, ...] = Field(min_length=1)
    """What is drawn, the most important first: stages, or roles, see
    :func:`spiketicket.reproduce.collect.stage_of`."""
    claims: tuple[Claim, ...] = ()
    scales: dict[Scale, ScalePlan] = Field(default_factory=dict)

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
    set: Changes = Field(default_factory=dict)


def study_names() -> tuple[str, ...]:
    """The studies there are, in the order of the paper."""
    found = {path.stem for path in _STUDIES.glob("*.toml")} - {_BASES}
    papers = ("table1", "table2", "fig2", "fig3", "fig4", "fig5", "energy", "reward1", "reward2")
    order = (*papers, "multisp")
    return (*(n for n in order if n in found), *sorted(found - set(order)))


def load_study(name: str) -> Study:
    """A study of the package by its name.

    Raises:
        UserError: there is none of that name; names those there are.
    """
    if name not in study_names():
        remedy = f"There are {', '.join(study_names())}"
        raise UserError("there is no such study", where="reproduce", value=name, remedy=remedy)
    path = _STUDIES / f"{name}.toml"
    found: Study = _parsed(Study, {"name": name, **read_tables(path)}, path)
    if not found.of:
        return found
    source = load_study(found.of)
    names = {series.name for series in found.series}
    series = tuple(s for s in source.series if s.name in names)
    return found.model_copy(update={"series": series, "axes": source.axes, "scales": source.scales})


def load_base(scale: str, name: str) -> Base:
    """A base of a scale by its name.

    Raises:
        UserError: there is none of that name.
    """
    path = _STUDIES / f"{_BASES}.toml"
    tables = _all_bases(path).get(scale, {})
    if name not in tables:
        raise UserError(
            f"there is no base {scale}.{name}",
            where=str(path),
            remedy=f"There are {', '.join(tables)}",
        )
    found: Base = _parsed(Base, tables[name], path)
    return found


@functools.cache
def _all_bases(path: Path) -> dict[str, Any]:
    return read_tables(path)


def _parsed(kind: type[Any], table: Mapping[str, Any], path: Path) -> Any:
    try:
        return kind.model_validate(table)
    except (ValidationError, tomllib.TOMLDecodeError) as error:
        lines = "; ".join(
            f"{'.'.join(str(part) for part in detail['loc'])}: {detail['msg']}"
            for detail in getattr(error, "errors", list)()
        )
        raise UserError(f"is no sound study: {lines}", where=str(path)) from error
