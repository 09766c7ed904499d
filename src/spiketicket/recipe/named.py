"""What a person means by a recipe, and by settings that replace some of its own.

The one place that decides it, for the functions of the package and for its commands.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from spiketicket.errors import UserError, argument, did_you_mean
from spiketicket.recipe.registry import SHIPPED

Overrides = Sequence[str] | Mapping[str, Any]
"""``section.key=value`` texts, or a mapping: ``{"train.epochs": 3}``, or tables in it."""


def packaged_recipes() -> dict[str, Path]:
    """The recipes that come with the package, by name."""
    return {path.stem: path for path in sorted(SHIPPED.glob("*.toml"))}


def recipe_path(text: str | os.PathLike[str]) -> Path:
    """The file a person means by ``text``: a path, or else the name of a packaged recipe.

    Raises:
        UserError: there is no such file and no such name.
    """
    path = Path(text)
    packaged = packaged_recipes()
    if os.fspath(text) in packaged and not path.is_file():
        return packaged[os.fspath(text)]
    if path.suffix == ".ticket":
        remedy = "Give a recipe, a .toml file; `spiketicket show` tells what a ticket was made by"
        raise UserError("is a ticket, and a recipe is needed", where=str(text), remedy=remedy)
    if path.is_dir():
        if (path / "recipe.toml").is_file():
            remedy = f"Its recipe is {path / 'recipe.toml'}"
        else:
            remedy = (
                "Give a recipe, a .toml file; `spiketicket init` makes one for a folder of data"
            )
        raise UserError("is a folder, and a recipe is needed", where=str(text), remedy=remedy)
    if path.exists():
        return path
    remedy = did_you_mean(path.stem, packaged, "Recipes in the package")
    raise UserError("no such recipe file", where=str(text), remedy=remedy)


def override_texts(overrides: Overrides, settings: Mapping[str, Any] | None = None) -> list[str]:
    """Overrides as ``section.key=value`` texts; ``settings`` are further ones, by keyword.

    A table in a mapping stands for its keys: ``{"train": {"epochs": 3}}`` is ``train.epochs=3``.

    Raises:
        TypeError: a value that a recipe cannot hold.
    """
    texts = [] if isinstance(overrides, Mapping) else list(overrides)
    given = [overrides] if isinstance(overrides, Mapping) else []
    for table in (*given, settings or {}):
        texts += [f"{key}={value}" for key, value in _flat("", table)]
    return texts


def _flat(prefix: str, table: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key, value in table.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            yield from _flat(f"{name}.", value)
        else:
            yield name, _toml(value, name)


def _toml(value: object, where: str) -> str:
    """A value as TOML in one line."""
    value = value.item() if type(value).__module__ == "numpy" and hasattr(value, "item") else value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else str(value)
    if isinstance(value, str | os.PathLike):
        return json.dumps(os.fspath(value), ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list | tuple):
        return f"[{', '.join(_toml(each, where) for each in value)}]"
    if isinstance(value, Mapping):
        inner = (f"{_toml(str(k), where)} = {_toml(v, where)}" for k, v in value.items())
        return f"{{{', '.join(inner)}}}"
    words = "a truth value, a number, a text, a path, a list or a mapping"
    what = f"must be {words}, not {type(value).__name__}"
    remedy = "Leave it out for its default" if value is None else ""
    raise TypeError(str(UserError(what, where=f"{argument('overrides')} {where}", remedy=remedy)))
