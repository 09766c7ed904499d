"""``spiketicket zoo``: tickets that come with the package."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from spiketicket.cli.declare import Argument, Exit, Group, Option
from spiketicket.cli.options import (
    Device,
    DeviceOption,
    JsonOption,
    MaxMemoryOption,
    RootOption,
    require_device,
)
from spiketicket.machine.output import say, say_json
from spiketicket.machine.sizes import file_size

app = Group(help="Tickets that come with the package.")
NameArgument = Annotated[str, Argument(help="A ticket; `zoo list` names them.")]


@app.command("list", examples=("spiketicket zoo list",))
def list_all(as_json: JsonOption = False) -> None:
    """List the tickets and what they reach."""
    from spiketicket.cli.console import print_table
    from spiketicket.ticket.zoo import list_tickets

    tickets = list_tickets()
    if as_json:
        say_json([ticket.to_dict() for ticket in tickets])
        return
    rows = [
        [
            t.name,
            t.network,
            t.data,
            f"{t.test_accuracy:.2f}",
            file_size(t.file_bytes),
        ]
        for t in tickets
    ]
    columns = (
        "name",
        "network",
        "data",
        "test %",
        "file",
    )
    print_table(columns, rows, left=3)
    say("show NAME tells the rest, zoo list --json the recipe that makes each again.")


@app.command(examples=("spiketicket zoo path digits-binw",))
def path(name: NameArgument) -> None:
    """Print where a ticket's file is, once it was found unchanged."""
    from spiketicket.ticket.zoo import find_ticket

    say(str(find_ticket(name).path))


@app.command(examples=("spiketicket zoo pull user/name -o folder",))
def pull(
    repository: Annotated[
        str, Argument(metavar="USER/NAME", help="A repository of the Hugging Face Hub.")
    ],
    folder: Annotated[Path, Option("--output", "-o", metavar="DIR", help="Folder of the files.")],
    revision: Annotated[
        str | None, Option("--revision", help="Branch, tag or commit. Default: main.")
    ] = None,
    max_memory: MaxMemoryOption = "",
) -> None:
    """Get somebody's ticket from the Hub, check its files, and print where it is."""
    from spiketicket.export import hub

    say(str(hub.pull(repository, folder, revision=revision)))


@app.command("eval", examples=("spiketicket zoo eval digits-binw",))
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
        raise Exit(1)
