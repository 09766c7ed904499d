"""Results as JSON lines, as they are kept in ``results/``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import filelock

from spiketicket._files import check_place, write_bytes
from spiketicket.errors import UserError

_OPTION = "--record"


def check_record(path: Path) -> None:
    """Whether :func:`add_record` will be able to write; makes the folder, changes nothing else.

    Raises:
        UserError: the file is not one of results, or its folder cannot be written.
    """
    check_place(path, _OPTION)
    _records(path)


def add_record(path: Path, new: Mapping[str, Any]) -> None:
    """Put a result into a file of JSON lines, in place of the same recipe's on the same device.

    ``new`` is what ``FindResult.record`` gives; where its data lies on this machine (``data.root``)
    is left out.

    Raises:
        UserError: as :func:`check_record`.
    """
    check_record(path)
    same = (new["hash"], new["device"])
    with filelock.FileLock(path.with_name(f".{path.name}.lock")):
        rows = [row for row in _records(path) if (row["hash"], row.get("device")) != same]
        lines = [json.dumps(row, sort_keys=True) for row in [*rows, _without_root(new)]]
        write_bytes(path, ("\n".join(lines) + "\n").encode(), _OPTION)


def _without_root(record: Mapping[str, Any]) -> dict[str, Any]:
    recipe = dict(record.get("recipe", {}))
    if "data" in recipe:
        recipe["data"] = {k: v for k, v in recipe["data"].items() if k != "root"}
    return {**record, "recipe": recipe}


def _records(path: Path) -> list[dict[str, Any]]:
    try:
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        if all(isinstance(row["hash"], str) for row in rows):
            return rows
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError):
        pass
    raise UserError("is not a file of results", where=str(path))
