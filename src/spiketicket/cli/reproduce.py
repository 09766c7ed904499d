"""``spiketicket reproduce``: a table or figure of the paper, run again and drawn."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from spiketicket.cli.declare import Argument, Option
from spiketicket.cli.options import (
    AddressOption,
    CpusOption,
    Device,
    DeviceOption,
    DryRunOption,
    ExecutorOption,
    GpusOption,
    JsonOption,
    QuietOption,
    RecordOption,
    RetryFailedOption,
    RunsOption,
    Where,
    WorkersOption,
)
from spiketicket.cli.sweep import make_executor, raise_exit, show_plan, stoppable
from spiketicket.errors import UserError
from spiketicket.machine.output import say_json

if TYPE_CHECKING:
    from spiketicket.reproduce.runner import Planned


class ScaleName(StrEnum):
    """How large."""

    paper = "paper"
    small = "small"
    smoke = "smoke"


def reproduce(
    names: Annotated[
        list[str] | None,
        Argument(
            metavar="STUDY...",
            help="Tables and figures; --list shows them.",
        ),
    ] = None,
    *,
    scale: Annotated[
        ScaleName,
        Option(
            "--scale",
            help="paper: as published. small: three hours of one core for all. smoke: minutes.",
        ),
    ] = ScaleName.small,
    seeds: Annotated[
        int | None,
        Option("--seeds", min=1, help="Repetitions. Default: the study's own number."),
    ] = None,
    runs: RunsOption = Path("runs"),
    out: Annotated[
        Path | None,
        Option(
            "--out",
            metavar="DIR",
            help="Where to write. Default: results/<scale>.",
        ),
    ] = None,
    executor: ExecutorOption = Where.local,
    workers: WorkersOption = None,
    address: AddressOption = "",
    cpus: CpusOption = None,
    gpus: GpusOption = None,
    device: DeviceOption = Device.cpu,
    retry_failed: RetryFailedOption = False,
    partial: Annotated[bool, Option("--partial", help="Run nothing: draw what there is.")] = False,
    dry_run: DryRunOption = False,
    list_them: Annotated[bool, Option("--list", help="Show the studies there are.")] = False,
    record: RecordOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Run the whole exploration behind a table or figure of the paper, and draw it.

    Stopped at any time it goes on where it was. Ends with 1 where runs failed, 2 where it was
    stopped or data is missing, which is said before anything starts.
    """
    if list_them:
        _print_list(as_json=as_json)
        return
    if not names:
        remedy = "Give one or more, or --list to see them"
        raise UserError("no study is named", where="reproduce", remedy=remedy)

    from spiketicket.reproduce.requirements import require_data
    from spiketicket.reproduce.runner import count_operations, plan_studies, run_studies

    planned = plan_studies(names, scale, seeds)
    place = out or Path("results", scale)
    if partial:
        _finish(planned, runs, place, as_json=as_json)
        return
    carrier = make_executor(
        executor, workers=workers, address=address, cpus=cpus, gpus=gpus, device=device
    )
    require_data(cell for _, cells in planned.studies for cell in cells)
    if dry_run:
        show_plan(planned.runs, runs, carrier, executor, as_json=as_json)
        return

    from spiketicket.cli.print_sweep import print_sweep
    from spiketicket.experiment.display import reporter_for
    from spiketicket.sweep.display import observer_for

    try:
        with stoppable(), observer_for(as_json=as_json, quiet=quiet) as observer:
            result = run_studies(
                planned, runs, carrier, observer=observer, record=record, retry_failed=retry_failed
            ).to_dict()
    except KeyboardInterrupt:
        _finish(planned, runs, place, as_json=as_json)
        raise
    if not as_json and (result["failed"] or result["stopped"]):
        print_sweep(result)
    with reporter_for(as_json=as_json, quiet=quiet) as reporter:
        count_operations(planned, runs, str(device), reporter)
    _finish(planned, runs, place, as_json=as_json)
    raise_exit(result)


def _finish(planned: Planned, runs: Path, out: Path, *, as_json: bool) -> None:
    from spiketicket.cli.console import print_line
    from spiketicket.reproduce.runner import never_run, write_studies

    written = [found.to_dict() for found in write_studies(planned, runs, out)]
    if as_json:
        say_json(written)
        return
    for found in written:
        _print_study(found)
    if names := never_run(out):
        print_line(f"not run  {', '.join(names)}: nothing in {out}", "yellow")


def _print_study(found: dict[str, Any]) -> None:
    from spiketicket.cli.console import print_line

    print_line(f"{found['study']}: {found['title']}", "bold")
    for line in found["sentences"]:
        print_line(line.replace("**", ""))
    for line in found["missing"]:
        print_line(f"missing  {line}", "yellow")
    for line in found["not_run"]:
        print_line(f"not run  {line}", "yellow")
    print_line(found["registration"].replace("**", ""))
    for path in found["files"]:
        print_line(f"wrote    {path}")


def _print_list(*, as_json: bool) -> None:
    from spiketicket.cli.console import print_table
    from spiketicket.reproduce import load_study, study_names

    studies = [load_study(name) for name in study_names()]
    if as_json:
        facts = [{"study": s.name, "place": s.place, "title": s.title} for s in studies]
        say_json(facts)
        return
    print_table(
        ("study", "in the paper", "what it is"),
        [(s.name, s.place, s.title) for s in studies],
        left=3,
    )
