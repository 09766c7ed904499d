"""Turning tables and ``section.key=value`` texts into validated sections, with every mistake.

Knows nothing about the sections themselves: :mod:`spiketicket.recipe` brings the types.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from spiketicket.errors import UNSET, RecipeError, UserError, argument, asked, nearest
from spiketicket.recipe import registry
from spiketicket.recipe.toml import toml_value

R = TypeVar("R", bound=BaseModel)
KeyPath = tuple[str | int, ...]
Choices = Mapping[str, tuple[str, type[BaseModel]]]
"""Section -> (family of the registry, base class of its configs)."""
_LONGEST_KEY: Final = 40
"""Of those that are looked for in other sections."""
MAX_KEYS: Final = 16
"""Parts of a key of an override."""

OVERRIDES: Final = argument("overrides")
"""Begins a message about one of the overrides; a key follows."""
_TEXTS = {
    "missing": "is missing",
    "extra_forbidden": "unknown key",
    "greater_than": "must be > {gt}",
    "greater_than_equal": "must be >= {ge}",
    "less_than": "must be < {lt}",
    "less_than_equal": "must be <= {le}",
    "literal_error": "must be {expected}",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "string_type": "must be a text",
    "string_pattern_mismatch": "must match {pattern}",
    "tuple_type": "must be a list",
    "too_long": "must have at most {max_length} entries",
    "model_type": "must be a table",
    "model_attributes_type": "must be a table",
    "value_error": "{error}",
}


class Overrides:
    """Parsed ``section.key=value`` texts.

    A value is a TOML value; what is not one is taken as a text, so that bare words work.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self.problems: list[str] = []
        self._values: dict[tuple[str, ...], Any] = {}
        self._made: set[KeyPath] = set()
        for text in texts:
            self._add(text)

    def _add(self, text: str) -> None:
        dotted, equals, value = text.partition("=")
        keys = tuple(part.strip() for part in dotted.split("."))
        where = f"{OVERRIDES} {dotted.strip()}"
        if not equals or not all(keys) or len(keys) > MAX_KEYS:
            what = "must have the form section.key=value"
            self.problems.append(str(UserError(what, where=OVERRIDES, value=text)))
        elif keys in self._values:
            self.problems.append(str(UserError("is given twice", where=where)))
        elif clash := next((k for k in self._values if _within(k, keys) or _within(keys, k)), None):
            what = f"overlaps with {OVERRIDES} {'.'.join(clash)}"
            self.problems.append(str(UserError(what, where=where)))
        else:
            self._values[keys] = toml_value(value.strip())

    def applied_to(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """A copy of the tables with the values put in; adds to ``problems`` what cannot be."""
        tables = _copied(data)
        for keys, value in self._values.items():
            table = tables
            for depth, key in enumerate(keys[:-1], start=1):
                if key not in table:
                    self._made.add(keys[:depth])
                    table[key] = {}
                if not isinstance(table[key], dict):
                    what = f"{'.'.join(keys[:depth])} is not a table"
                    where = f"{OVERRIDES} {'.'.join(keys)}"
                    self.problems.append(str(UserError(what, where=where)))
                    break
                table = table[key]
            else:
                table[keys[-1]] = value
        return tables

    def where(self, source: str, path: KeyPath) -> str:
        """The place of ``path`` for a message: in the overrides if they gave it, or the source."""
        given = path in self._made or any(_within(path, keys) for keys in self._values)
        return f"{OVERRIDES} {_dotted(path)}" if given else _in_source(source, path)


def build(
    recipe: type[R],
    choices: Choices,
    data: Mapping[str, Any],
    source: str,
    texts: Sequence[str],
    *,
    check: Callable[[Mapping[str, Any]], Iterable[UserError]],
) -> R:
    """Validate ``data`` with the overrides ``texts`` as a ``recipe``.

    ``check`` is given the sections, those that are in order as their config, and says what of
    them does not go together.

    Raises:
        RecipeError: a line for every mistake.
    """
    overrides = Overrides(texts)
    parts = overrides.applied_to(data)
    found = overrides.problems
    for section, (family, base) in choices.items():
        if section in parts:
            parts[section] = _section(
                section,
                family=family,
                base=base,
                table=parts[section],
                source=source,
                overrides=overrides,
            )
    found += [str(_placed(error, source)) for error in check(parts)]
    try:
        made = recipe.model_validate(parts)
    except ValidationError as error:
        found += _lines(error, recipe, (), source=source, overrides=overrides)
    if found:
        raise RecipeError(found)
    return made


def build_section(
    section: str, choices: Choices, table: Mapping[str, Any], texts: Sequence[str]
) -> BaseModel:
    """Validate one section by itself, with the overrides ``texts`` (``section.key=value``).

    Raises:
        RecipeError: a line for every mistake.
    """
    overrides = Overrides(texts)
    tables = overrides.applied_to({section: table})
    family, base = choices[section]
    made = _section(
        section, family=family, base=base, table=tables.pop(section), source="", overrides=overrides
    )
    for other in tables:
        line = UserError(
            "is of another section", where=f"{OVERRIDES} {other}", remedy=f"Set {section}.*"
        )
        overrides.problems.append(str(line))
    if overrides.problems:
        raise RecipeError(overrides.problems)
    return made


def _section(
    section: str,
    *,
    family: str,
    base: type[BaseModel],
    table: object,
    source: str,
    overrides: Overrides,
) -> BaseModel:
    """The section as its choice's config; on mistakes, noted in ``overrides``, an empty base."""
    config, unknown = base, False
    if isinstance(table, dict) and isinstance(table.get("name"), str):
        try:
            load = registry.load_network if family == "models" else partial(registry.load, family)
            config = load(table["name"]).Config
        except UserError as error:
            unknown = True
            where = overrides.where(source, (section, "name"))
            line = UserError(error.what, where=where, value=error.value, remedy=error.remedy)
            overrides.problems.append(str(line))
    try:
        made = config.model_validate(table)
    except ValidationError as error:
        skip = "extra_forbidden" if config is base else ""
        overrides.problems += _lines(
            error, config, (section,), source=source, overrides=overrides, skip=skip
        )
    else:
        if not unknown and config is not base:
            return made
    return base.model_construct()


def _placed(error: UserError, source: str) -> UserError:
    where = ": ".join(part for part in (source, error.where) if part)
    return UserError(error.what, where=where, value=error.value, remedy=error.remedy)


def _lines(
    error: ValidationError,
    model: type[BaseModel],
    prefix: KeyPath,
    *,
    source: str,
    overrides: Overrides,
    skip: str = "",
) -> Iterable[str]:
    for detail in error.errors(include_url=False):
        if detail["type"] != skip:
            path = prefix + detail["loc"]
            missing = detail["type"] == "missing"
            where = _in_source(source, path) if missing else overrides.where(source, path)
            yield str(_problem(detail, model, path, where))


def _problem(detail: ErrorDetails, model: type[BaseModel], path: KeyPath, where: str) -> UserError:
    kind, given = detail["type"], detail["input"]
    limits = {key: _plain(limit) for key, limit in detail.get("ctx", {}).items()}
    what = _TEXTS[kind].format(**limits) if kind in _TEXTS else detail["msg"].lower()
    hidden = kind in ("missing", "extra_forbidden") or isinstance(given, dict | BaseModel)
    remedy = ""
    if kind == "extra_forbidden":
        remedy = _nearest_key(model, detail["loc"], path)
    elif kind == "missing":
        remedy = _to_add(model, detail["loc"])
    return UserError(what, where=where, value=UNSET if hidden else given, remedy=remedy)


def _plain(limit: object) -> object:
    """Limits of a float field come back as floats: 1.0 reads better as 1."""
    return int(limit) if isinstance(limit, float) and limit.is_integer() else limit


def _nearest_key(model: type[BaseModel], loc: KeyPath, path: KeyPath) -> str:
    """What was meant by a key that ``model`` does not have at ``loc``, nor a recipe at ``path``."""
    from spiketicket.recipe.explain import elsewhere, of_others

    table = _table(model, loc[:-1])
    if table is None:
        return ""
    key, known = str(loc[-1]), sorted(table.model_fields)
    if len(key) > _LONGEST_KEY:
        return f"Known: {', '.join(known)}"
    found = elsewhere(key, _dotted(path))
    near = nearest(key, known, cutoff=0.6 if found else 0.5)
    return asked([*found, *near]) or of_others(str(path[0]), key) or f"Known: {', '.join(known)}"


def _to_add(model: type[BaseModel], loc: KeyPath) -> str:
    """How what is missing at ``loc`` is written."""
    from spiketicket.recipe.explain import example, section_example

    table, key = _table(model, loc[:-1]), str(loc[-1])
    field = None if table is None else table.model_fields.get(key)
    if field is None:
        return ""
    inner = field.annotation
    if isinstance(inner, type) and issubclass(inner, BaseModel):
        return f"Add [{key}] with {section_example(inner)}"
    shown = example(field, key)
    return f"For example {shown}" if shown else ""


def _table(model: type[BaseModel], path: KeyPath) -> type[BaseModel] | None:
    """The table at a path of a section's; None where there is none."""
    for key in path:
        field = model.model_fields.get(str(key))
        inner = field.annotation if field else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return None
        model = inner
    return model


def _copied(value: Mapping[str, Any]) -> dict[str, Any]:
    return {k: _copied(v) if isinstance(v, Mapping) else v for k, v in value.items()}


def _within(path: KeyPath, outer: KeyPath) -> bool:
    return path[: len(outer)] == outer


def _in_source(source: str, path: KeyPath) -> str:
    return ": ".join(part for part in (source, _dotted(path)) if part)


def _dotted(path: KeyPath) -> str:
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path)
    return text.removeprefix(".")
