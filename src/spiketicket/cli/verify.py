"""``spiketicket verify``: whether a ticket is what it says."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Annotated

from spiketicket.cli.declare import Exit, Option
from spiketicket.cli.guard import SOME_FAILED
from spiketicket.cli.options import (
    Device,
    DeviceOption,
    JsonOption,
    MaxMemoryOption,
    QuietOption,
    RootOption,
    ThreadsOption,
    TicketArgument,
    require_device,
    require_there,
    with_consent,
)
from spiketicket.errors import UserError
from spiketicket.machine.output import say_json, shown
from spiketicket.progress import NullReporter, Reporter
from spiketicket.recipe.consent import Consent


@with_consent
def verify(
    ticket: TicketArgument,
    *,
    root: RootOption = "",
    rerun: Annotated[
        bool, Option("--rerun", help="Search again by its recipe and compare the bytes.")
    ] = False,
    runs: Annotated[
        Path | None,
        Option(
            "--runs", metavar="DIR", help="rerun: where to keep the search, to go on if stopped."
        ),
    ] = None,
    consent: Consent = Consent(),
    device: DeviceOption = Device.cpu,
    threads: ThreadsOption = None,
    max_memory: MaxMemoryOption = "",
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Compute anew what a ticket says of itself; exit 1 if anything does not fit.

    Digest, recipe hash and densities; weights that the seed draws; the accuracy where the data is
    here. With --rerun the search as well.
    """
    if not rerun and (runs or threads):
        option = "--runs" if runs else "--threads"
        raise UserError("goes with --rerun only", where=option, value=str(runs or threads))
    require_there(ticket)
    if device is not Device.cpu:
        require_device(device)
    from spiketicket.cli.print_stated import print_checks
    from spiketicket.experiment.verify import Place, verify_ticket

    with _reporter(rerun=rerun, as_json=as_json, quiet=quiet) as reporter:
        place = Place(
            root=root,
            device=str(device),
            consent=consent,
            runs=runs,
            threads=threads,
            reporter=reporter,
        )
        found = verify_ticket(ticket, place, rerun=rerun)
    if as_json:
        result = found.to_dict()
        checks = [{**check, "text": shown(check["text"])} for check in result["checks"]]
        say_json({**result, "checks": checks})
    else:
        print_checks(found.checks, title=ticket.name)
    if not found.fits:
        raise Exit(SOME_FAILED)


def _reporter(*, rerun: bool, as_json: bool, quiet: bool) -> AbstractContextManager[Reporter]:
    """Without a search there is nothing to tell on the way."""
    if not rerun:
        return nullcontext(NullReporter())
    from spiketicket.experiment.display import reporter_for

    return reporter_for(as_json=as_json, quiet=quiet)
