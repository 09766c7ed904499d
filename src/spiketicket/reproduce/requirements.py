"""The data sets that studies need, looked for before anything starts."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from spiketicket.data import list_datasets, store
from spiketicket.errors import RecipeError, UserError
from spiketicket.recipe import DataConfig
from spiketicket.reproduce.cells import Cell


def require_data(cells: Iterable[Cell]) -> None:
    """Whether every data set of some cells lies where it should; opens no file.

    Raises:
        RecipeError: one line for every data set that does not, with how to get it.
    """
    configs: dict[tuple[str, str, str], DataConfig] = {}
    users: dict[tuple[str, str, str], list[str]] = {}
    for cell in cells:
        data: Any = cell.recipe.data
        key = (data.name, data.root, getattr(data, "folder", ""))
        configs.setdefault(key, data)
        if cell.study not in users.setdefault(key, []):
            users[key].append(cell.study)
    problems = [
        f"{', '.join(users[key])} needs {problem}"
        for key, config in configs.items()
        if (problem := missing_data(config))
    ]
    if problems:
        raise RecipeError(problems)


def missing_data(config: DataConfig) -> str:
    """What is wrong with a data set's place and how to get it, in a line; empty if nothing is."""
    info = next(known for known in list_datasets() if known.name == config.name)
    try:
        if info.files:
            store.require(info, config.root)
        elif info.folders:
            _require_folder(info, config)
    except UserError as error:
        ways = f"{error.remedy}. " if error.remedy != info.obtain else ""
        if error.where == "data.root":  # the recipes are the studies' own
            ways = f"Set the variable {store.ROOT_VARIABLE} to the folder of the data. "
        return f"{info.title}: {error.what}. {ways}To get it: {info.obtain} ({info.homepage})"
    return ""


def _require_folder(info: Any, config: DataConfig) -> None:
    base = store.data_root(config.root, info.name)
    folder = getattr(config, "folder", "")
    places = [base / folder] if folder else [base / name for name in info.folders]
    if not any(_has_content(place) for place in places):
        looked = ", ".join(str(place) for place in places)
        raise UserError(f"no recordings found; looked in {looked}", remedy=info.obtain)


def _has_content(place: Path) -> bool:
    return place.is_dir() and next(place.iterdir(), None) is not None
