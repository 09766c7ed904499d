"""Reading a recipe from TOML or tables, and writing it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import tomli_w

from spiketicket.errors import UserError, argument
from spiketicket.machine.bounded import read_regular
from spiketicket.machine.typed import typed
from spiketicket.recipe import registry
from spiketicket.recipe.fits import misfits
from spiketicket.recipe.parsing import build, build_section
from spiketicket.recipe.sections import CHOICES, DataConfig, ModelConfig, Recipe
from spiketicket.recipe.toml import MAX_BYTES, parse_toml


@typed
def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a TOML recipe; ``overrides`` are ``section.key=value`` texts that replace its values.

    Raises:
        UserError: the file cannot be read or is not TOML.
        RecipeError: it does not describe a valid recipe; every mistake is listed.
    """
    return parse_recipe(recipe_tables(path), source=str(path), overrides=overrides)


def recipe_tables(path: str | Path) -> dict[str, Any]:
    """The tables of a recipe's file; a relative ``data.root`` in it is made absolute.

    Those of a run folder are :func:`as_written` there.

    Raises:
        UserError: as :func:`read_tables`.
    """
    tables, folder = read_tables(path), Path(path).absolute().parent
    if (folder / "data.json").is_file():
        tables = as_written(tables)
    data = tables.get("data")
    if isinstance(data, dict) and isinstance(data.get("root"), str):
        return {**tables, "data": {**data, "root": placed_root(data["root"], folder)}}
    return tables


def as_written(tables: Mapping[str, Any]) -> dict[str, Any]:
    """The tables of a recipe that was written with every setting, as into a run folder or a ticket.

    A setting that its version did not have is as it was then, and not as it is by default now.
    """
    train = tables.get("train")
    return {**tables, "train": {"tune": "off", **train}} if isinstance(train, dict) else {**tables}


def placed_root(root: str, folder: Path) -> str:
    """``data.root`` as seen from a folder: absolute, unless it is empty or in a home folder."""
    if not root or root.startswith("~") or "\0" in root:
        return root
    return str(folder / root)


def read_tables(path: str | Path) -> dict[str, Any]:
    """The tables of a TOML file, as :func:`parse_recipe` takes them.

    Raises:
        UserError: the file cannot be read, is no regular one, or is not TOML within bounds.
    """
    try:
        # Some editors put a byte order mark first.
        text = read_regular(path, MAX_BYTES).decode("utf-8-sig")
        return parse_toml(text)
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror or error}", where=str(path)) from error
    except UnicodeDecodeError as error:
        raise UserError("is not a UTF-8 text file", where=str(path)) from error
    except ValueError as error:
        raise UserError(f"is not valid TOML: {error}", where=str(path)) from error


@typed
def parse_recipe(
    data: Mapping[str, Any], source: str = "recipe", overrides: Sequence[str] = ()
) -> Recipe:
    """Build a recipe from nested tables; ``source`` says in errors where they came from.

    Raises:
        RecipeError: one line for every mistake, in the tables and in the overrides.
    """
    return build(Recipe, CHOICES, data, source, overrides, check=_check)


def _check(parts: Mapping[str, Any]) -> Iterable[UserError]:
    """What data and network do not agree on, where both are in order by themselves."""
    data, model = parts.get("data"), parts.get("model")
    # a section with mistakes is an empty base, which is none of its choices
    sound = type(data) is not DataConfig and type(model) is not ModelConfig
    if sound and isinstance(data, DataConfig) and isinstance(model, ModelConfig):
        return misfits(data, model)
    return ()


@typed
def parse_data(name: str, root: str = "", overrides: Sequence[str] = ()) -> DataConfig:
    """The data section of a recipe by itself; ``overrides`` are ``data.key=value`` texts.

    Raises:
        UserError: unknown dataset.
        RecipeError: one line for every mistake in the overrides.
    """
    registry.load("data", name)
    table = {"name": name, **({"root": root} if root else {})}
    made = cast("DataConfig", build_section("data", CHOICES, table, overrides))
    if made.name != name:
        raise UserError(
            f"the dataset is {name}", where=f"{argument('overrides')} data.name", value=made.name
        )
    return made


def to_dict(recipe: Recipe) -> dict[str, Any]:
    """The recipe as plain JSON values, defaults included; :func:`parse_recipe` reads it back."""
    return recipe.model_dump(mode="json")


def to_toml(recipe: Recipe) -> str:
    """The recipe as TOML, defaults included except those that are None; it loads back equal."""
    return tomli_w.dumps(_without_none(to_dict(recipe)))


def _without_none(table: dict[str, Any]) -> dict[str, Any]:
    return {
        key: _without_none(value) if isinstance(value, dict) else value
        for key, value in table.items()
        if value is not None
    }
