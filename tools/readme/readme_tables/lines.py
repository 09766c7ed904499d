"""The lines of a file in ``results/``, in the words of today."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from spiketicket.verdict.outcomes import of_today, with_seeds

_FORMERLY = {"arm": "stage", "arms": "stages"}
"""Keys that lines of version 0.2 and earlier have."""


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a .jsonl file."""
    return [json.loads(line, object_hook=_of_today) for line in path.read_text().splitlines()]


def _of_today(table: dict[str, Any]) -> dict[str, Any]:
    found = {_FORMERLY.get(key, key): value for key, value in table.items()}
    if isinstance(found.get("verdict"), dict):
        found["verdict"] = of_today(found["verdict"])
    # a row of methods compared has its accuracy by seed, one of a study its seeds
    seeds = found.get("accuracy", found.get("seeds"))
    if isinstance(found.get("outcome"), str) and isinstance(seeds, dict | list):
        found["outcome"] = with_seeds(found["outcome"], len(seeds))
    return found
