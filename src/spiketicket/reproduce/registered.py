"""What was claimed before the first training: a file per study and scale beside the runs.

``<runs>/claims-<study>-<scale>.json`` holds the hash over the study's claims with their margins and
bands, and over every cell: its recipe's hash and its seeds. It is written before the first run and
never again; a result says whether what it is judged by is still that.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge
from pydantic import StringConstraints, ValidationError

from spiketicket.experiment.folder import RunFolder
from spiketicket.machine.files import explained, read_json, refuse_link, write_bytes
from spiketicket.recipe import Section
from spiketicket.reproduce.cells import Cell
from spiketicket.reproduce.study import Study


class Registered(Section):
    """The file's content."""

    study: str
    scale: str
    hash: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    runs_before: Annotated[int, Ge(0)]
    """Runs of the study that had a finished training already when it was written."""


def claims_hash(study: Study, cells: Sequence[Cell]) -> str:
    """SHA-256 over what decides a study's findings before anything is trained, as 64 hex digits."""
    content: dict[str, Any] = {
        "claims": [claim.model_dump(mode="json") for claim in study.claims],
        "cells": sorted([c.panel, c.series, c.x, c.recipe.hash, list(c.seeds)] for c in cells),
        "confidence": sorted({c.recipe.verdict.confidence for c in cells}),
    }
    text = json.dumps(content, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def register(study: Study, cells: Sequence[Cell], scale: str, runs_dir: Path) -> None:
    """Write the file unless it is there.

    Raises:
        UserError: it cannot be written, or the one that is there cannot be read.
    """
    path = _path(study, scale, runs_dir)
    refuse_link(path)
    if path.exists():
        read_json(path)  # what is no JSON shows now, not after all runs
        return
    folders = {c.recipe.folder_name: RunFolder.of(c.recipe, runs_dir) for c in cells}
    entry = Registered(
        study=study.name,
        scale=scale,
        hash=claims_hash(study, cells),
        runs_before=sum(folder.has_finished_stage() for folder in folders.values()),
    )
    with explained(runs_dir, "runs"):
        runs_dir.mkdir(parents=True, exist_ok=True)
    write_bytes(path, (entry.model_dump_json(indent=1) + "\n").encode(), "runs")


def registration(study: Study, cells: Sequence[Cell], scale: str, runs_dir: Path) -> str:
    """One sentence: whether the claims are those from before the first run."""
    now = claims_hash(study, cells)
    try:
        known = Registered.model_validate(read_json(_path(study, scale, runs_dir)))
    except ValidationError:
        return f"The claims were not written down before the first run (now {now[:12]})."
    if known.hash != now:
        return (
            f"**Claims changed after the first run**: they were {known.hash[:12]}, they are "
            f"{now[:12]}. Claims, bands, margins, recipes and seeds are what is compared."
        )
    if known.runs_before:
        return (
            f"Claims, bands and margins ({now[:12]}) were written down when {known.runs_before} of "
            "the runs had begun already."
        )
    return f"Claims, bands, margins and recipes are those from before the first run ({now[:12]})."


def _path(study: Study, scale: str, runs_dir: Path) -> Path:
    return runs_dir / f"claims-{study.name}-{scale}.json"
