"""``spiketicket quantise``: a ticket with int8 weights in place of float ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from spiketicket.cli.declare import Option
from spiketicket.cli.options import JsonOption, MaxMemoryOption, RootOption, TicketArgument
from spiketicket.machine.output import say, say_json

if TYPE_CHECKING:
    from spiketicket.experiment.quantise import Quantisation
    from spiketicket.ticket import TicketSummary


def quantise(
    ticket: TicketArgument,
    *,
    output: Annotated[Path, Option("--output", "-o", help="The file to write.")],
    layers: Annotated[
        str,
        Option(
            "--layers",
            metavar="NAME,...",
            help="Layers, by name or pattern (encoder.*). Default: all with float weights.",
        ),
    ] = "",
    untested: Annotated[
        bool, Option("--untested", help="Do not count the accuracy, which needs the data.")
    ] = False,
    root: RootOption = "",
    max_memory: MaxMemoryOption = "",
    as_json: JsonOption = False,
) -> None:
    """Write a ticket with int8 weights, one scale an output channel; nothing is trained.

    Binary layers stay at one bit per weight. Both accuracies are of the test split.
    """
    from spiketicket.experiment.quantise import quantise_ticket
    from spiketicket.machine.files import check_place
    from spiketicket.ticket import describe

    check_place(output, "output")
    chosen = [name.strip() for name in layers.split(",")] if layers else None
    found = quantise_ticket(ticket, layers=chosen, root=root, test=not untested)
    found.ticket.save(output)
    summary, before = describe(output), describe(ticket)
    if as_json:
        sizes = {"bytes_before": before.file_bytes, "summary": summary.to_dict()}
        say_json({"file": str(output), **found.to_dict(), **sizes})
        return
    _print(output, found, before, summary)


def _print(path: Path, found: Quantisation, before: TicketSummary, after: TicketSummary) -> None:
    from spiketicket.cli.console import print_facts
    from spiketicket.cli.print_sizes import size_facts
    from spiketicket.machine.sizes import file_size

    facts = [("before", file_size(before.file_bytes)), *size_facts(after, path)]
    facts.append(("int8 layers", f"{len(found.layers)} of {len(after.layers)}"))
    if found.before is not None and found.after is not None:
        told = f"{found.after:.2f} %, {found.before:.2f} % before"
        facts.append(("test accuracy", f"{told}, of {found.test_count:,} samples"))
    print_facts(facts, title="quantised")
    if found.before is None:
        say("its accuracy is not tested: `spiketicket eval` tests it")
