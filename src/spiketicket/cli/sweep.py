"""``spiketicket sweep``: a recipe along axes, many runs at once, here or on a cluster."""

from __future__ import annotations

import hashlib
import json
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from spiketicket.cli.declare import Exit, Option, Stopped
from spiketicket.cli.guard import BAD_INPUT, SOME_FAILED
from spiketicket.cli.options import (
    DEFAULT_RECIPE,
    AddressOption,
    ControlsOption,
    CpusOption,
    Device,
    DeviceOption,
    DryRunOption,
    ExecutorOption,
    GpusOption,
    JsonOption,
    QuietOption,
    RecipeArgument,
    RecordOption,
    RetryFailedOption,
    RunsOption,
    SetOption,
    TuneOption,
    Where,
    WorkersOption,
    require_device,
    settings_of,
    with_consent,
    with_controls,
)
from spiketicket.errors import UserError
from spiketicket.machine.output import say_json, tell
from spiketicket.recipe.consent import Consent

if TYPE_CHECKING:
    from spiketicket.sweep import Executor, Run

_MANY = 1000
"""Runs times seeds that are asked about before anything is done."""


@with_consent
def sweep(
    recipe: RecipeArgument = DEFAULT_RECIPE,
    *,
    axis: Annotated[
        list[str] | None,
        Option(
            "--axis",
            metavar="SECTION.KEY=VALUES",
            help="a,b,c or low:high:step, ends included; seed=0:2 is for repetitions; repeatable.",
        ),
    ] = None,
    overrides: SetOption = None,
    tune: TuneOption = None,
    controls: ControlsOption = None,
    zipped: Annotated[
        bool, Option("--zip", help="Take the axes' values together, not their product.")
    ] = False,
    name: Annotated[
        str, Option("--name", help="Name of the sweep. Default: the recipe's and a hash.")
    ] = "",
    executor: ExecutorOption = Where.local,
    workers: WorkersOption = None,
    address: AddressOption = "",
    cpus: CpusOption = None,
    gpus: GpusOption = None,
    device: DeviceOption = Device.cpu,
    runs: RunsOption = Path("runs"),
    retries: Annotated[
        int, Option("--retries", min=0, help="How often a run whose worker died goes on.")
    ] = 2,
    retry_failed: RetryFailedOption = False,
    restart_plan: Annotated[
        bool, Option("--restart-plan", help="Go on although the recipe has changed.")
    ] = False,
    dry_run: DryRunOption = False,
    yes: Annotated[bool, Option("--yes", "-y", help=f"Do not ask about {_MANY}+.")] = False,
    consent: Consent = Consent(),
    record: RecordOption = None,
    report: Annotated[
        bool,
        Option(help="Measure the nets of finished runs and write report.html into them."),
    ] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Do what find does for every combination of some values, several at once.

    Finished runs are never run again; stages that runs have in common are run once. A sweep that
    was stopped goes on where it was. Ends with 1 where runs failed, and 2 where it was stopped.
    """
    changes = settings_of(overrides, tune)
    made = _runs(recipe, axis or (), changes, zipped=zipped, yes=yes)
    made = [replace(run, recipe=with_controls(run.recipe, controls)) for run in made]
    carrier = make_executor(
        executor, workers=workers, address=address, cpus=cpus, gpus=gpus, device=device
    )

    from spiketicket.cli.print_sweep import print_sweep
    from spiketicket.sweep import run_runs
    from spiketicket.sweep.display import observer_for

    if dry_run:
        show_plan(made, runs, carrier, executor, consent, as_json=as_json)
        return
    told = json.dumps(
        [sorted(axis or ()), sorted(changes), zipped, *([controls] if controls else [])]
    )
    chosen = name or f"{Path(recipe).stem}-{hashlib.sha256(told.encode()).hexdigest()[:6]}"
    # Standard output is for the result alone; Ray prints there when it loses a node.
    shown = observer_for(as_json=as_json, quiet=quiet)
    with stoppable(), redirect_stdout(sys.stderr), shown as observer:
        result = run_runs(
            made,
            runs,
            carrier,
            name=chosen,
            retry_failed=retry_failed,
            retries=retries,
            restart_plan=restart_plan,
            record=record,
            measure=report,
            observer=observer,
            **vars(consent),
        ).to_dict()
    if report:
        _write_reports(result["runs"])
    if as_json:
        say_json(result)
    else:
        print_sweep(result)
    raise_exit(result)


def raise_exit(result: Mapping[str, Any]) -> None:
    """End the command where a sweep was stopped or runs failed."""
    if result["stopped"]:
        raise Exit(BAD_INPUT)
    if any(row["state"] != "done" for row in result["runs"]):
        raise Exit(SOME_FAILED)


def _write_reports(rows: Sequence[dict[str, Any]]) -> None:
    """Write the report of every finished run, and its place into its row."""
    from spiketicket.experiment.folder import RunFolder
    from spiketicket.report.writing import write_report

    for row in rows:
        if row["state"] == "done":
            folder = Path(row["folder"])
            row["report"] = str(write_report([folder], RunFolder(folder).report).output)


def _runs(
    recipe: str, axis: Sequence[str], overrides: Sequence[str], *, zipped: bool, yes: bool
) -> list[Run]:
    from spiketicket.recipe import given_tables

    tables, source = given_tables(recipe)
    from spiketicket.sweep.axes import count, make_runs, parse_axes

    axes = parse_axes(axis, overrides)
    runs, seeds = count(axes, zipped=zipped)
    if runs * seeds >= _MANY and not yes:
        asked = f"{runs:,} runs with {seeds:,} seed{'s' * (seeds != 1)} each: go on?"
        if not sys.stdin.isatty():
            what = f"makes {runs:,} runs with {seeds:,} seeds each"
            raise UserError(what, where="--axis", remedy="Give --yes if that is meant")
        _confirm(asked)
    return make_runs(tables, axes, overrides, zipped=zipped, source=source)


def _confirm(question: str) -> None:
    """Go on where the user says yes.

    Raises:
        Stopped: they do not.
    """
    tell(f"{question} [y/N]")
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Stopped


def make_executor(
    executor: Where,
    *,
    workers: int | None,
    address: str,
    cpus: int | None,
    gpus: float | None,
    device: Device,
) -> Executor:
    """What the options of a command ask to carry its runs out.

    Raises:
        UserError: an option of the other executor, or a device that is not there.
    """
    local = executor is Where.local
    foreign = {"--address": address, "--gpus-per-run": gpus} if local else {"--workers": workers}
    for option, value in foreign.items():
        if value:
            raise UserError(f"is not for --executor {executor}", where=option, value=value)
    if local:
        require_device(device)
        from spiketicket.sweep import Local

        return Local(workers or 1, cpus, str(device))
    from spiketicket.sweep import RayCluster

    wanted = 1.0 if gpus is None and device is Device.cuda else gpus or 0.0
    return RayCluster(address, cpus or 1, wanted)


def show_plan(
    made: Sequence[Run],
    runs: Path,
    carrier: Any,
    executor: Where,
    consent: Consent | None = None,
    *,
    as_json: bool,
) -> None:
    """Print what is left to do of some runs, and an estimate of what it would cost."""
    from spiketicket.cli.print_sweep import print_plan
    from spiketicket.recipe.consent import given
    from spiketicket.sweep import require_consent
    from spiketicket.sweep.estimate import estimate, wall_s
    from spiketicket.sweep.plan import make_plan

    local = executor is Where.local
    workers, threads = (carrier.workers, carrier.threads) if local else (1, carrier.cpus)
    with given(consent):
        require_consent(made)
        plan = make_plan(made, runs.absolute(), carrier.device)
        seconds = estimate(plan, runs, carrier.device if local else "cpu", threads)
    total = wall_s(seconds, plan, workers)
    if as_json:
        tasks = [{"task": t.label, "kind": t.kind, "seconds": seconds[t.id]} for t in plan.tasks]
        facts = {"runs": len(made), "tasks": tasks, "wall_s": total, "workers": workers}
        say_json(facts)
    else:
        print_plan(plan, seconds, total, workers)


@contextmanager
def stoppable() -> Iterator[None]:
    """A polite request to end, as of a batch system, is what Ctrl-C is."""

    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
