"""``spiketicket eval``: the accuracy of a ticket on its test set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from spiketicket.cli._options import (
    Device,
    DeviceOption,
    JsonOption,
    MaxMemoryOption,
    RootOption,
    require_device,
)


def evaluate(
    tickets: Annotated[list[Path], typer.Argument(help="One or more .ticket files.")],
    root: RootOption = "",
    device: DeviceOption = Device.cpu,
    network: Annotated[
        str,
        typer.Option(
            "--network",
            metavar="MODULE:FUNCTION",
            help="Your own network that made the tickets; its code is run.",
        ),
    ] = "",
    max_memory: MaxMemoryOption = "",
    as_json: JsonOption = False,
) -> None:
    """Load tickets and test each on the test set it was made for."""
    where = require_device(device)

    from spiketicket import run
    from spiketicket.cli._result import print_evaluation

    for ticket in tickets:
        evaluation = run.evaluate_ticket(ticket, root=root, device=where, network=network)
        result = evaluation.to_dict()
        if as_json:
            print(json.dumps(result, indent=2))
        else:
            print_evaluation(result, title=ticket.name)
