"""Axes of a sweep: texts such as ``ticket.density=0.2:0.8:0.1``, and the recipes they give.

key=a,b,c          values as a recipe has them; lists keep their commas: [],[[2,1]]
key=low:high:step  both ends included, in exact decimals
key=low:high       whole numbers, in steps of 1
seed=0:2           which repetitions every run has: seeds are no recipes
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any

from spiketicket.errors import RecipeError, UserError, argument
from spiketicket.machine.typed import need, typed
from spiketicket.recipe import Recipe, parse_recipe
from spiketicket.recipe.named import override_texts
from spiketicket.recipe.parsing import OVERRIDES

SEED = "seed"
_AXES = argument("axes")
MOST_VALUES = 1_000_000
"""Values of one axis, and runs of a sweep."""
_NUMBER = r"[+-]?\d{1,400}(?:\.\d{1,400})?(?:[eE][+-]?\d{1,3})?"
_RANGE = re.compile(rf"\s*({_NUMBER}):({_NUMBER})(?::({_NUMBER}))?\s*")


@dataclass(frozen=True)
class Axis:
    """A key of the recipe and the values it takes, as texts for ``overrides``."""

    key: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Run:
    """A recipe, the seeds it is repeated with, and the values that tell it from the others."""

    recipe: Recipe
    seeds: tuple[int, ...]
    axes: Mapping[str, str]

    @cached_property
    def folder(self) -> str:
        """Name of the run folder."""
        return self.recipe.folder_name


@typed
def parse_axes(
    texts: Sequence[str] | Mapping[str, Any], overrides: Sequence[str] | Mapping[str, Any] = ()
) -> list[Axis]:
    """The axes, checked against each other and against ``overrides``.

    ``texts`` are ``section.key=values``, with commas between them, or a mapping of lists:
    ``{"ticket.density": [0.5, 0.2]}``.

    Raises:
        RecipeError: one line for every axis that makes no sense.
    """
    axes: list[Axis] = []
    problems: list[str] = []
    taken = {_keys(text): OVERRIDES for text in override_texts(overrides)}
    for text in _axis_texts(texts):
        try:
            axis = _axis(text)
            _check_clash(axis.key, taken)
        except UserError as error:
            problems.append(str(error))
        else:
            taken[_keys(text)] = _AXES
            axes.append(axis)
    if problems:
        raise RecipeError(problems)
    return axes


def _axis_texts(axes: Sequence[str] | Mapping[str, Any]) -> list[str]:
    """Axes as texts; of a mapping, each value as TOML."""
    if not isinstance(axes, Mapping):
        return list(axes)
    texts = []
    for key, values in axes.items():
        if isinstance(values, str):  # as on the command line
            texts.append(f"{key}={values}")
            continue
        need(f"axes {key}", values, Sequence)
        given = [override_texts({key: value})[0].partition("=")[2] for value in values]
        texts.append(f"{key}={','.join(given)}")
    return texts


def count(axes: Sequence[Axis], *, zipped: bool) -> tuple[int, int]:
    """How many run folders the axes make, and how many seeds each of them has.

    Raises:
        UserError: axes that are zipped differ in length, or the runs are too many to list.
    """
    lengths = {axis.key: len(axis.values) for axis in axes if axis.key != SEED}
    seeds = next((len(axis.values) for axis in axes if axis.key == SEED), 1)
    if not zipped:
        runs = 1
        for length in lengths.values():
            runs *= length
    elif len(set(lengths.values())) > 1:
        told = ", ".join(f"{key} has {length}" for key, length in lengths.items())
        raise UserError(
            "axes must have as many values as each other", where=argument("zipped"), value=told
        )
    else:
        runs = next(iter(lengths.values()), 1)
    if runs > MOST_VALUES:
        what = f"makes {runs:,} runs; a sweep has at most {MOST_VALUES:,}"
        raise UserError(what, where=_AXES, remedy="Use fewer values, or several sweeps")
    return runs, seeds


@typed
def make_runs(
    tables: Mapping[str, Any],
    axes: Sequence[Axis],
    overrides: Sequence[str] | Mapping[str, Any] = (),
    *,
    zipped: bool = False,
    source: str = "recipe",
) -> list[Run]:
    """Every combination of the axes as a run; all of them are validated.

    ``tables`` is the recipe's TOML. A run's recipe has the first of its seeds as ``seed``, so that
    ``find(recipe, seeds=n)`` of it means the same folder.

    Raises:
        RecipeError: one line for every mistake in any of the recipes.
        UserError: as :func:`count`, or two combinations give the same run folder.
    """
    count(axes, zipped=zipped)
    seeds = _seeds(axes)
    overrides = override_texts(overrides)
    first = () if seeds is None else (f"seed={seeds[0]}",)
    found: dict[str, Run] = {}
    problems: dict[str, None] = {}
    for values in _combinations(axes, zipped):
        texts = [*overrides, *first, *(f"{key}={value}" for key, value in values.items())]
        try:
            recipe = parse_recipe(tables, source, texts)
        except RecipeError as error:
            problems |= dict.fromkeys(_of_axes(line, values) for line in error.problems)
            continue
        run = Run(recipe, seeds or (recipe.seed,), values)
        same = found.setdefault(run.folder, run)
        if same is not run:
            problems[str(_same(same, run))] = None
    if problems:
        raise RecipeError(list(problems))
    return list(found.values())


def _same(first: Run, second: Run) -> UserError:
    one, other = (
        ", ".join(f"{k}={v}" for k, v in run.axes.items() if v != rest.axes[k])
        for run, rest in ((first, second), (second, first))
    )
    what = f"{one} and {other} give the same run, {first.folder}"
    return UserError(what, where=_AXES, remedy="Leave one of them out")


def _combinations(axes: Sequence[Axis], zipped: bool) -> Iterator[dict[str, str]]:
    keys = [axis.key for axis in axes if axis.key != SEED]
    values = [axis.values for axis in axes if axis.key != SEED]
    rows = zip(*values, strict=True) if zipped and values else itertools.product(*values)
    return (dict(zip(keys, row, strict=True)) for row in rows)


def _seeds(axes: Sequence[Axis]) -> tuple[int, ...] | None:
    found = [axis.values for axis in axes if axis.key == SEED]
    if not found:
        return None
    bad = [text for text in found[0] if not re.fullmatch(r"\d{1,18}", text)]
    if bad:
        raise UserError("must be a whole number >= 0", where=f"{_AXES} seed", value=bad[0])
    return tuple(sorted(int(text) for text in found[0]))


def _axis(text: str) -> Axis:
    key, equals, given = text.partition("=")
    key = ".".join(_keys(text))
    if not equals or not key or ".." in f".{key}.":
        raise UserError("must have the form section.key=values", where=_AXES, value=text)
    if key == "name":
        remedy = "Runs are told apart by the hash of their recipe"
        raise UserError("the recipe's name is no axis", where=f"{_AXES} name", remedy=remedy)
    ends = _RANGE.fullmatch(given)
    values = _range(key, *ends.groups()) if ends else _list(given)
    for index, value in enumerate(values):
        if not value:
            raise UserError("has an empty value", where=f"{_AXES} {key}", value=given)
        if value in values[:index] and not ends:
            raise UserError("has a value twice", where=f"{_AXES} {key}", value=value)
    return Axis(key, tuple(values))


def _range(key: str, low: str, high: str, step: str | None) -> list[str]:
    where = f"{_AXES} {key}"
    start, end = Decimal(low), Decimal(high)
    whole = all(re.fullmatch(r"[+-]?\d+", part) for part in (low, high, step or "1"))
    if step is None and not whole:
        raise UserError("a range of decimals needs a step: low:high:step", where=where)
    by = Decimal(step or "1")
    if by == 0 or (end - start) * by < 0:
        raise UserError(f"never gets from {low} to {high} in steps of {by}", where=where)
    steps = (end - start) / by
    if steps > MOST_VALUES:
        raise UserError(f"has more than {MOST_VALUES:,} values", where=where)
    if steps != steps.to_integral_value():
        nearest = start + int(steps) * by
        remedy = f"The range is inclusive: end it at {nearest} or {nearest + by}"
        raise UserError(
            f"{high} is not a whole number of steps from {low}",
            where=where,
            value=f"step {by}",
            remedy=remedy,
        )
    # As many decimals as were written, so that 1:2:0.5 are all decimals and 1:3:1 whole numbers.
    digits = max(0, *(-int(d.as_tuple().exponent) for d in (start, end, by)))
    return [f"{start + index * by:.{digits}f}" for index in range(int(steps) + 1)]


def _list(text: str) -> list[str]:
    """Pieces between the commas that are in no brackets, braces or quotes."""
    pieces, depth, quote = [""], 0, ""
    for char in text:
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        elif char == "," and depth == 0:
            pieces.append("")
            continue
        else:
            depth += (char in "[{") - (char in "]}")
        pieces[-1] += char
    return [piece.strip() for piece in pieces]


def _check_clash(key: str, taken: Mapping[tuple[str, ...], str]) -> None:
    own = tuple(key.split("."))
    for other, option in taken.items():
        shorter = min(len(own), len(other))
        if own[:shorter] == other[:shorter]:
            what = f"collides with {option} {'.'.join(other)}"
            raise UserError(what, where=f"{_AXES} {key}", remedy="Give one of the two")


def _keys(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.partition("=")[0].split("."))


def _of_axes(line: str, values: Mapping[str, str]) -> str:
    """A problem of an override, told as one of the axis that made it."""
    for key in values:
        if re.match(rf"{OVERRIDES} {re.escape(key)}\b", line):
            return line.replace(OVERRIDES, _AXES, 1)
    return line
