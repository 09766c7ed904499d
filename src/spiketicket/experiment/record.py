"""Results as JSON lines, as they are kept in ``results/``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spiketicket.errors import UserError
from spiketicket.machine.bounded import parse_json, read_regular
from spiketicket.machine.files import check_place, write_bytes

_ARGUMENT = "record"


def check_record(path: Path) -> None:
    """Whether :func:`add_record` will be able to write; makes the folder, changes nothing else.

    Raises:
        UserError: the file is not one of results, or its folder cannot be written.
    """
    check_place(path, _ARGUMENT)
    _records(path)


def add_record(path: Path, new: Mapping[str, Any]) -> None:
    """Put a result into a file of JSON lines, in place of the same recipe's on the same device.

    ``new`` is what ``FindResult.record`` gives; where its data lies on this machine (``data.root``)
    is left out.

    Raises:
        UserError: as :func:`check_record`.
    """
    import filelock

    check_record(path)
    same = (new["hash"], new["device"])
    with filelock.FileLock(path.with_name(f".{path.name}.lock")):
        rows = [row for row in _records(path) if (row["hash"], row.get("device")) != same]
        row = {**new, "recipe": without_root(new.get("recipe", {}))}
        lines = [json.dumps(each, sort_keys=True) for each in [*rows, row]]
        write_bytes(path, ("\n".join(lines) + "\n").encode(), _ARGUMENT)


def without_root(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe's settings without the folder where this machine has its data."""
    if not isinstance(recipe.get("data"), dict):
        return dict(recipe)
    return {**recipe, "data": {k: v for k, v in recipe["data"].items() if k != "root"}}


def _records(path: Path) -> list[dict[str, Any]]:
    try:
        rows = [parse_json(line) for line in read_regular(path).decode().splitlines()]
        if all(isinstance(row["hash"], str) for row in rows):
            return rows
    except FileNotFoundError:
        return []
    except UserError:
        raise
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise UserError("is not a file of results", where=str(path))
