"""The lines of a file in ``results/``, in the words of today."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_FORMERLY = {"arm": "stage", "arms": "stages"}
"""Keys that lines of version 0.2 and earlier have."""


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a .jsonl file."""
    return [json.loads(line, object_hook=_renamed) for line in path.read_text().splitlines()]


def _renamed(table: dict[str, Any]) -> dict[str, Any]:
    return {_FORMERLY.get(key, key): value for key, value in table.items()}
