"""Reading a recipe from TOML or tables, and writing it."""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import tomli_w

from spiketicket.errors import UserError, argument, did_you_mean
from spiketicket.machine.bounded import read_regular
from spiketicket.machine.typed import typed
from spiketicket.recipe import registry
from spiketicket.recipe.fits import misfits
from spiketicket.recipe.named import override_texts, recipe_path
from spiketicket.recipe.parsing import build, build_section
from spiketicket.recipe.sections import CHOICES, DataConfig, ModelConfig, Recipe
from spiketicket.recipe.shapes import RANKER_OF_OLD
from spiketicket.recipe.toml import MAX_BYTES, parse_toml
from spiketicket.recipe.training import TrainConfig


@typed
def load_recipe(
    recipe: Recipe | Mapping[str, Any] | str | os.PathLike[str],
    overrides: Sequence[str] | Mapping[str, Any] = (),
    **settings: Any,
) -> Recipe:
    """A recipe by its file, by the name of one in the package, from tables, or from another one.

    Args:
        recipe: so; a file is preferred to a name.
        overrides: replace its values: ``section.key=value`` texts, or a mapping,
            ``{"train.epochs": 3}`` or ``{"train": {"epochs": 3}}``.
        settings: the same by keyword: ``load_recipe("digits-binw", train={"epochs": 3}, seed=1)``.

    Raises:
        UserError: no such recipe, or its file cannot be read or is not TOML.
        RecipeError: it does not describe a valid recipe; every mistake is listed.
        TypeError: an argument of another kind, or a keyword that is no section of a recipe.
    """
    texts = setting_texts(overrides, settings)
    if isinstance(recipe, Recipe) and not texts:
        return recipe
    tables, source = given_tables(recipe)
    return parse_recipe(tables, source=source, overrides=texts)


def setting_texts(
    overrides: Sequence[str] | Mapping[str, Any], settings: Mapping[str, Any]
) -> list[str]:
    """Overrides and settings by keyword, as :func:`load_recipe` takes them, as texts.

    Raises:
        TypeError: a keyword that is no section of a recipe, or a value that none can hold.
    """
    for name in settings:
        if name not in Recipe.model_fields:
            raise TypeError(_no_setting(name))
    return override_texts(overrides, settings)


def given_tables(
    recipe: Recipe | Mapping[str, Any] | str | os.PathLike[str],
) -> tuple[dict[str, Any], str]:
    """The tables of what :func:`load_recipe` takes, and where they are from, for messages.

    Raises:
        UserError: no such recipe, or as :func:`read_tables`.
    """
    if isinstance(recipe, Recipe):
        # without its defaults, which are another section's where a name is replaced
        return recipe.model_dump(mode="json", exclude_unset=True), recipe.name
    if isinstance(recipe, Mapping):
        return dict(recipe), "recipe"
    path = recipe_path(recipe)
    return recipe_tables(path), str(path)


def _no_setting(name: str) -> str:
    known = [*Recipe.model_fields]
    remedy = did_you_mean(name, known, "A recipe has")
    if name in TrainConfig.model_fields:
        remedy = f"Did you mean train={{{name!r}: ...}}?"
    return f"unexpected keyword argument {name!r}. {remedy}"


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


_LADDERS = ("patches", "multisp")


def as_written(tables: Mapping[str, Any]) -> dict[str, Any]:
    """The tables of a recipe that was written with every setting, as into a run folder or a ticket.

    A setting that its version did not have is as it was then, and not as it is by default now.
    """
    found = {**tables}
    if isinstance(train := tables.get("train"), dict):
        found["train"] = {"tune": "off", **train}
    ticket = tables.get("ticket")
    if isinstance(ticket, dict) and ticket.get("name") in _LADDERS:
        found["ticket"] = {"ranker": RANKER_OF_OLD, **ticket}
    return found


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
        content = read_regular(path, MAX_BYTES)
        # Some editors put a byte order mark first; PowerShell's > writes UTF-16 with one.
        wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        return parse_toml(content.decode("utf-16" if wide else "utf-8-sig"))
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror or error}", where=str(path)) from error
    except UnicodeDecodeError as error:
        what = "is not a text file in UTF-8, or in UTF-16 with a byte order mark"
        raise UserError(what, where=str(path), remedy="Give a TOML file, saved as UTF-8") from error
    except ValueError as error:
        raise UserError(f"is not valid TOML: {error}", where=str(path)) from error


@typed
def parse_recipe(
    data: Mapping[str, Any],
    source: str = "recipe",
    overrides: Sequence[str] | Mapping[str, Any] = (),
) -> Recipe:
    """Build a recipe from nested tables; ``source`` says in errors where they came from, and
    ``overrides`` are as in :func:`load_recipe`.

    Raises:
        RecipeError: one line for every mistake, in the tables and in the overrides.
    """
    overrides = override_texts(overrides)
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
