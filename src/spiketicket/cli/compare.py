"""``spiketicket compare``: several methods on one recipe, with what each of them cost."""

from __future__ import annotations

import hashlib
import json
import sys
from contextlib import redirect_stdout
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from spiketicket.cli.declare import Option
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
    settings_of,
    with_consent,
    with_controls,
)
from spiketicket.cli.sweep import make_executor, raise_exit, show_plan, stoppable
from spiketicket.errors import UserError
from spiketicket.machine.output import say_json
from spiketicket.recipe.consent import Consent

if TYPE_CHECKING:
    from spiketicket.compare import Compared, Entry


class Budget(StrEnum):
    """What the recipe's epochs are the budget of."""

    each = "each"
    total = "total"


@with_consent
def compare(
    recipe: RecipeArgument = DEFAULT_RECIPE,
    *,
    methods: Annotated[
        str, Option("--methods", metavar="A,B,C", help="Methods, with commas between them.")
    ] = "edge_popup,magnitude,imp,early_bird,snip,synflow,gradual,random_mask",
    density: Annotated[
        str, Option("--density", metavar="D,D", help="Fractions of the weights kept.")
    ] = "0.5,0.2,0.05",
    seeds: Annotated[int, Option("--seeds", min=1, help="How many repetitions.")] = 1,
    budget: Annotated[
        Budget,
        Option(
            help="Whether train.epochs are those of each training, or of a whole search together."
        ),
    ] = Budget.each,
    overrides: SetOption = None,
    tune: TuneOption = None,
    controls: ControlsOption = None,
    settings: Annotated[
        list[str] | None,
        Option("--option", metavar="METHOD.KEY=VALUE", help="A setting of one method; repeatable."),
    ] = None,
    out: Annotated[
        Path | None,
        Option(
            "--out",
            metavar="DIR",
            help="Where to write page and figures. Default: in the folder of the runs.",
        ),
    ] = None,
    executor: ExecutorOption = Where.local,
    workers: WorkersOption = None,
    address: AddressOption = "",
    cpus: CpusOption = None,
    gpus: GpusOption = None,
    device: DeviceOption = Device.cpu,
    runs: RunsOption = Path("runs"),
    retry_failed: RetryFailedOption = False,
    consent: Consent = Consent(),
    dry_run: DryRunOption = False,
    record: RecordOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Do what find does with each method at each density, and show them beside each other.

    Same net, data, seeds and budget; what they share, as the dense net, is trained once. Ends with
    1 where runs failed, and 2 where it was stopped.
    """
    entries = _entries(
        recipe,
        methods=methods,
        density=density,
        seeds=seeds,
        overrides=settings_of(overrides, tune),
        options=settings,
        budget=budget,
    )
    entries = [
        replace(e, run=replace(e.run, recipe=with_controls(e.run.recipe, controls)))
        for e in entries
    ]
    carrier = make_executor(
        executor, workers=workers, address=address, cpus=cpus, gpus=gpus, device=device
    )
    made = [entry.run for entry in entries]
    if dry_run:
        show_plan(made, runs, carrier, executor, consent, as_json=as_json)
        return

    from spiketicket.cli.print_sweep import print_sweep
    from spiketicket.compare.methods import sweep_name
    from spiketicket.experiment.record import check_record
    from spiketicket.recipe.consent import given
    from spiketicket.sweep import run_runs
    from spiketicket.sweep.display import observer_for

    if record is not None:
        check_record(record)
    name = sweep_name(Path(recipe).stem, entries)
    shown = observer_for(as_json=as_json, quiet=quiet)
    with stoppable(), redirect_stdout(sys.stderr), shown as observer:
        result = run_runs(
            made,
            runs,
            carrier,
            name=name,
            retry_failed=retry_failed,
            observer=observer,
            **vars(consent),
        ).to_dict()
    failed = any(row["state"] != "done" for row in result["runs"])
    if failed and not as_json:
        print_sweep(result)
    if any(row["state"] == "done" for row in result["runs"]):
        with given(consent):
            _finish(entries, runs, budget, out or runs / name, record, as_json=as_json)
    raise_exit(result)


def _entries(
    recipe: str,
    *,
    methods: str,
    density: str,
    seeds: int,
    overrides: list[str],
    options: list[str] | None,
    budget: Budget,
) -> list[Entry]:
    from spiketicket.recipe import given_tables

    tables, source = given_tables(recipe)
    from spiketicket.compare import make_entries

    try:
        densities = [float(text) for text in density.split(",")]
    except ValueError:
        remedy = "Give fractions with commas between them: 0.5,0.2"
        raise UserError(
            "must be numbers", where="--density", value=density, remedy=remedy
        ) from None
    names = [name.strip() for name in methods.split(",")]
    return make_entries(
        tables,
        names,
        densities,
        seeds,
        overrides=overrides,
        method_options=options or (),
        budget=budget.value,
        source=source,
    )


def _finish(
    entries: list[Entry],
    runs: Path,
    budget: Budget,
    out: Path,
    record: Path | None,
    *,
    as_json: bool,
) -> None:
    from spiketicket.cli.console import print_line
    from spiketicket.compare import collect, write_comparison
    from spiketicket.experiment.record import add_record

    found = collect(entries, runs, budget)
    written = write_comparison(found, out)
    if record is not None and not found.missing:
        told = json.dumps([[e.run.recipe.hash, list(e.run.seeds)] for e in entries])
        add_record(record, found.record(hashlib.sha256(told.encode()).hexdigest()[:10]))
    if as_json:
        say_json({**found.to_dict(), "files": [str(p) for p in written]})
        return
    print_comparison(found)
    for path in written:
        print_line(f"wrote    {path}")


def print_comparison(found: Compared) -> None:
    """Print a row for every method and density."""
    from spiketicket.cli.console import print_line, print_table
    from spiketicket.compare.writing import comparison_table

    table = comparison_table(found)
    rows = [[str(cell.text) for cell in row] for row in table.rows]
    print_table(table.columns, rows, title=f"{found.recipe.name}: methods compared", left=2)
    print_line(str(table.note))
    for name in found.missing:
        print_line(f"missing  {name}", "yellow")
