"""``spiketicket find``: search a ticket, run its controls, print the verdict."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from spiketicket.cli.declare import Option
from spiketicket.cli.options import (
    DEFAULT_RECIPE,
    ControlsOption,
    Device,
    DeviceOption,
    JsonOption,
    QuietOption,
    RecipeArgument,
    RecordOption,
    RunsOption,
    SetOption,
    ThreadsOption,
    TuneOption,
    require_device,
    settings_of,
    with_consent,
    with_controls,
)
from spiketicket.errors import UserError
from spiketicket.machine.output import say, say_json
from spiketicket.recipe.consent import Consent

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from spiketicket.recipe import Recipe
    from spiketicket.sweep import Executor, Observer


@with_consent
def find(
    recipe: RecipeArgument = DEFAULT_RECIPE,
    *,
    overrides: SetOption = None,
    tune: TuneOption = None,
    controls: ControlsOption = None,
    budget: Annotated[
        str | None,
        Option(
            "--budget",
            metavar="TIME",
            help="Choose epochs, time steps and batch size so that one training takes at most this"
            " here: 90s, 60m, 2h. Every control gets the same.",
        ),
    ] = None,
    seeds: Annotated[int, Option("--seeds", min=1, help="How many repetitions.")] = 1,
    workers: Annotated[
        int, Option("--workers", min=1, help="Seeds at once, each in its own process.")
    ] = 1,
    runs: RunsOption = Path("runs"),
    device: DeviceOption = Device.cpu,
    threads: ThreadsOption = None,
    consent: Consent = Consent(),
    record: RecordOption = None,
    report: Annotated[
        bool, Option(help="Measure every net at the end and write report.html into the run.")
    ] = True,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Search a ticket, train its controls with the same budget, and print the verdict.

    A run that was stopped goes on where it was; a finished one prints its result at once.
    """
    from spiketicket.recipe import load_recipe
    from spiketicket.recipe.named import recipe_path

    recipe_path(recipe)  # a missing file is told before PyTorch, which takes seconds, is there
    where = require_device(device)
    made = load_recipe(recipe, settings_of(overrides, tune))
    loaded = with_controls(made, controls)

    from spiketicket.cli.print_result import print_find, print_meaning
    from spiketicket.experiment import find as run
    from spiketicket.experiment.display import reporter_for
    from spiketicket.experiment.record import add_record, check_record
    from spiketicket.machine.workers import is_first
    from spiketicket.sweep import Local
    from spiketicket.sweep.display import observer_for

    if record is not None:
        check_record(record)
    beside = Local(min(workers, seeds), threads, where) if min(workers, seeds) > 1 else None
    if budget is not None:
        with reporter_for(as_json=as_json, quiet=quiet) as reporter:
            loaded = run.planned(
                loaded,
                budget,
                seeds=seeds,
                runs_dir=runs,
                device=where,
                threads=threads if beside is None else beside.threads,
                reporter=reporter,
                progress=False,
                **vars(consent),
            )
    if beside is not None:
        _side_by_side(
            loaded,
            seeds,
            beside,
            runs=runs,
            consent=consent,
            shown=observer_for(as_json=as_json, quiet=quiet),
        )
        quiet = True  # what it has left to say was said
    with reporter_for(as_json=as_json, quiet=quiet) as reporter:
        found = run.find(
            loaded,
            seeds=seeds,
            runs_dir=runs,
            device=where,
            threads=threads,
            reporter=reporter,
            progress=False,
            **vars(consent),
        )
    if not is_first():
        return
    if record is not None:
        add_record(record, found.record())
    result = found.to_dict()
    if as_json:
        say_json(result)
    else:
        print_find(result)
    if report:
        with reporter_for(as_json=as_json, quiet=quiet) as reporter:
            page = found.report(device=where, reporter=reporter)
        if not as_json:
            say(f"report   {page}")
    if not as_json:
        print_meaning(result, loaded, budgeted=budget is not None)


def _side_by_side(
    recipe: Recipe,
    seeds: int,
    executor: Executor,
    *,
    runs: Path,
    consent: Consent,
    shown: AbstractContextManager[Observer],
) -> None:
    """Do the seeds of a run in several processes, as a sweep of this one run.

    Raises:
        UserError: a seed failed, or it was stopped.
    """
    from spiketicket.cli.sweep import stoppable
    from spiketicket.sweep import Run, run_runs

    run = Run(recipe, recipe.repetitions(seeds), {})
    with stoppable(), shown as observer:
        result = run_runs(
            [run],
            runs,
            executor,
            name=f"find-{recipe.folder_name}",
            retry_failed=True,
            observer=observer,
            **vars(consent),
        )
    shutil.rmtree(result.folder, ignore_errors=True)  # how far it was lies in the run folder too
    problems = [result.stopped, *(error for row in result.rows for error in row["errors"])]
    if told := next(filter(None, problems), ""):
        raise UserError(told)
