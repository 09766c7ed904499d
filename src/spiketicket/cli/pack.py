"""``spiketicket pack``: write a ticket anew, as small as it gets. Needs no PyTorch."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from spiketicket.cli.declare import Option
from spiketicket.cli.options import JsonOption, MaxMemoryOption, TicketArgument
from spiketicket.machine.output import say_json
from spiketicket.machine.sizes import file_size

if TYPE_CHECKING:
    from spiketicket.ticket import TicketSummary


class Signs(StrEnum):
    """How signs are kept."""

    auto = "auto"
    raw = "raw"
    seed = "seed"


def pack(
    ticket: TicketArgument,
    output: Annotated[Path, Option("--output", "-o", help="The file to write.")],
    signs: Annotated[
        Signs,
        Option(
            "--signs",
            help="auto: left out of layers in which the ticket's seed draws them, and drawn anew"
            " when the file is read. raw: one bit per kept weight. seed: as auto, but refused where"
            " they are not the seed's.",
        ),
    ] = Signs.auto,
    max_memory: MaxMemoryOption = "",
    as_json: JsonOption = False,
) -> None:
    """Write a ticket in the newest format: the same ticket, with the same digest."""
    from spiketicket.machine.files import write_bytes
    from spiketicket.ticket import Ticket, describe
    from spiketicket.ticket.codec import located
    from spiketicket.ticket.zoo import ticket_path

    ticket = ticket_path(ticket)
    loaded, before = Ticket.load(ticket), ticket.stat().st_size
    with located(ticket):
        content = loaded.to_bytes(signs=signs.value)
    write_bytes(output, content, "output")
    # Read back, so that a file that this machine cannot read is noticed here.
    summary, digest = describe(output), Ticket.load(output).digest()
    if as_json:
        facts = {"file": str(output), "digest": digest, "bytes_before": before}
        say_json({**facts, "summary": summary.to_dict()})
    else:
        _print(output, before, summary, digest)


def _print(path: Path, before: int, summary: TicketSummary, digest: str) -> None:
    from spiketicket.cli.console import print_facts
    from spiketicket.cli.print_sizes import size_facts

    facts = [("before", file_size(before)), *size_facts(summary, path), ("digest", digest)]
    print_facts(facts, title="packed")
