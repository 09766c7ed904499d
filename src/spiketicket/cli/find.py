"""``spiketicket find``: search a ticket, run its controls, print the verdict."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from spiketicket.cli._options import (
    DEFAULT_RECIPE,
    Device,
    DeviceOption,
    JsonOption,
    QuietOption,
    RecipeArgument,
    RecordOption,
    RunsOption,
    SetOption,
    ThreadsOption,
    recipe_path,
    require_device,
)


def find(
    recipe: RecipeArgument = DEFAULT_RECIPE,
    overrides: SetOption = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="How many repetitions.")] = 1,
    runs: RunsOption = Path("runs"),
    device: DeviceOption = Device.cpu,
    threads: ThreadsOption = None,
    record: RecordOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Search a ticket, train its controls with the same budget, and print the verdict.

    A run that was stopped goes on where it was; a finished one prints its result at once.
    """
    from spiketicket.recipe import load_recipe

    where = require_device(device)
    loaded = load_recipe(recipe_path(recipe), overrides or ())

    from spiketicket import run
    from spiketicket.cli._progress import reporter_for
    from spiketicket.cli._result import print_find
    from spiketicket.distributed import is_first
    from spiketicket.record import add_record, check_record

    if record is not None:
        check_record(record)
    with reporter_for(as_json=as_json, quiet=quiet) as reporter:
        found = run.find(
            loaded, seeds=seeds, runs_dir=runs, device=where, threads=threads, reporter=reporter
        )
    if not is_first():
        return
    if record is not None:
        add_record(record, found.record())
    result = found.to_dict()
    if as_json:
        print(json.dumps(result, indent=2))
    else:
        print_find(result)
