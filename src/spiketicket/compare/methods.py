"""Methods beside each other in one call, as ``spiketicket compare`` does."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from spiketicket.compare.entries import Budget, Entry, make_entries
from spiketicket.compare.found import Compared, collect
from spiketicket.errors import UserError, argument
from spiketicket.machine.typed import typed
from spiketicket.recipe import Recipe, given_tables, setting_texts
from spiketicket.recipe.consent import Consent, given
from spiketicket.sweep import Executor, Local, Observer, run_runs
from spiketicket.sweep.display import observing

METHODS = (
    "edge_popup",
    "magnitude",
    "imp",
    "early_bird",
    "snip",
    "synflow",
    "gradual",
    "random_mask",
)
DENSITIES = (0.5, 0.2, 0.05)


@typed
def compare_methods(
    recipe: Recipe | Mapping[str, Any] | str | os.PathLike[str],
    methods: Sequence[str] = METHODS,
    densities: Sequence[float] = DENSITIES,
    *,
    overrides: Sequence[str] | Mapping[str, Any] = (),
    method_options: Sequence[str] | Mapping[str, Any] = (),
    seeds: int = 1,
    budget: Budget = "each",
    runs_dir: Path | str = "runs",
    workers: int = 1,
    executor: Executor | None = None,
    retry_failed: bool = False,
    observer: Observer | None = None,
    network: str = "",
    options: Mapping[str, Any] | None = None,
    trust_options: bool = False,
    progress: bool = True,
    **settings: Any,
) -> Compared:
    """Do what ``find`` does with each method at each density, and compare them.

    Same net, data, seeds and budget; what the runs share is trained once.

    Args:
        recipe, overrides, settings: those of :func:`spiketicket.load_recipe`, but for the ticket's.
        methods, densities, method_options, seeds, budget: as in :func:`make_entries`.
        runs_dir, retry_failed, network, options, trust_options: as in
            :func:`spiketicket.sweep.run_runs`.
        workers: processes on this machine; or an ``executor``.
        observer: is told what happens; without one the comparison shows itself, unless ``progress``
            is False.

    Raises:
        UserError: none of the runs could be finished, or as :func:`make_entries` and ``run_runs``.
        RecipeError: one line for every mistake in any of the recipes.
    """
    if executor is not None and workers != 1:
        raise UserError("is for no executor", where=argument("workers"), value=workers)
    consent = Consent(network, options, trust_options)
    tables, source = given_tables(recipe)
    entries = make_entries(
        tables,
        methods,
        densities,
        seeds,
        overrides=setting_texts(overrides, settings),
        method_options=method_options,
        budget=budget,
        source=source,
    )
    with observing(progress, observer) as listener:
        result = run_runs(
            [entry.run for entry in entries],
            runs_dir,
            executor or Local(workers),
            name=sweep_name(Path(source).stem, entries),
            retry_failed=retry_failed,
            observer=listener,
            **vars(consent),
        )
    if not any(row["state"] == "done" for row in result.rows):
        told = [result.stopped, *(error for row in result.rows for error in row["errors"])]
        raise UserError(next(filter(None, told), "none of the runs is finished"))
    with given(consent):
        return collect(entries, Path(runs_dir), budget)


def sweep_name(stem: str, entries: Sequence[Entry]) -> str:
    """The name of the sweep that does the runs of a comparison; the same runs have the same."""
    told = json.dumps([[entry.run.folder, list(entry.run.seeds)] for entry in entries])
    return f"compare-{stem}-{hashlib.sha256(told.encode()).hexdigest()[:8]}"
