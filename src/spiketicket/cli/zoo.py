"""``spiketicket zoo``: tickets that come with the package."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from spiketicket.cli.options import (
    Device,
    DeviceOption,
    JsonOption,
    MaxMemoryOption,
    RootOption,
    require_device,
)
from spiketicket.machine.output import say, say_json

app = typer.Typer(help="Tickets that come with the package.", no_args_is_help=True)
NameArgument = Annotated[str, typer.Argument(help="A ticket; `zoo list` names them.")]


@app.command("list")
def list_all(as_json: JsonOption = False) -> None:
    """List the tickets, what they reach, and the recipe that makes each again."""
    from spiketicket.cli.console import print_line, print_table, size_text
    from spiketicket.ticket.zoo import list_tickets

    tickets = list_tickets()
    if as_json:
        say_json([ticket.to_dict() for ticket in tickets])
        return
    rows = [
        [
            t.name,
            t.network,
            t.condition,
            t.data,
            f"{t.test_accuracy:.2f}",
            f"{t.density:.4g}",
            size_text(t.file_bytes),
        ]
        for t in tickets
    ]
    columns = (
        "name",
        "network",
        "condition",
        "data",
        "test accuracy %",
        "density",
        "file",
    )
    print_table(columns, rows, left=4)
    print_line("made by", "bold")
    for t in tickets:
        command = f"spiketicket find {t.recipe} --set seed={t.seed} --tune {t.tune}"
        print_line(f"{t.name}: {command}")


@app.command()
def path(name: NameArgument) -> None:
    """Print where a ticket's file is, once it was found unchanged."""
    from spiketicket.ticket.zoo import find_ticket

    say(str(find_ticket(name).path))


@app.command()
def pull(
    repository: Annotated[
        str, typer.Argument(metavar="USER/NAME", help="A repository of the Hugging Face Hub.")
    ],
    folder: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Folder of the files.")
    ],
    revision: Annotated[
        str | None, typer.Option("--revision", help="Branch, tag or commit. Default: main.")
    ] = None,
    max_memory: MaxMemoryOption = "",
) -> None:
    """Get somebody's ticket from the Hub, check its files, and print where it is."""
    from spiketicket.export import hub

    say(str(hub.pull(repository, folder, revision=revision)))


@app.command("eval")
def evaluate(
    name: NameArgument,
    root: RootOption = "",
    device: DeviceOption = Device.cpu,
    max_memory: MaxMemoryOption = "",
    as_json: JsonOption = False,
) -> None:
    """Test a ticket on the data here and compare with the recorded accuracy; exit 1 if below.

    On another processor a spike at the threshold may fall otherwise: below means by more than
    half a point or one sample.
    """
    where = require_device(device)

    from spiketicket.cli.print_result import print_evaluation
    from spiketicket.experiment import evaluate
    from spiketicket.ticket.zoo import find_ticket

    ticket = find_ticket(name)
    result = evaluate.evaluate_ticket(ticket.path, root=root, device=where)
    reached = evaluate.is_reached(result.test_accuracy, ticket.test_accuracy, result.test_count)
    shown = {
        "name": name,
        **result.to_dict(),
        "recorded_accuracy": ticket.test_accuracy,
        "reached": reached,
    }
    if as_json:
        say_json(shown)
    else:
        print_evaluation(shown, title=name)
    if not reached:
        raise typer.Exit(1)
