"""``spiketicket eval``: the accuracy of a ticket on its test set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from spiketicket.cli.guard import SOME_FAILED
from spiketicket.cli.options import (
    Device,
    DeviceOption,
    JsonOption,
    MaxMemoryOption,
    NetworkOption,
    OptionsOption,
    RootOption,
    TrustOptionsOption,
    consent_to,
    require_device,
)
from spiketicket.machine.output import say_json


def evaluate(
    tickets: Annotated[list[Path], typer.Argument(help="One or more .ticket files.")],
    *,
    root: RootOption = "",
    device: DeviceOption = Device.cpu,
    network: NetworkOption = "",
    options: OptionsOption = None,
    trust_options: TrustOptionsOption = False,
    max_memory: MaxMemoryOption = "",
    as_json: JsonOption = False,
) -> None:
    """Load tickets and test each on the test set it was made for; exit 1 if below what it states.

    On another processor a spike at the threshold may fall otherwise: below means by more than
    half a point or one sample.
    """
    where = require_device(device)

    from spiketicket.cli.console import print_line
    from spiketicket.cli.print_result import print_evaluation
    from spiketicket.experiment import find

    missed = 0
    consent = consent_to(network, options, trust_options)
    for ticket in tickets:
        evaluation = find.evaluate_ticket(
            ticket,
            root=root,
            device=where,
            network=network,
            options=consent.options,
            trust_options=trust_options,
        )
        result = evaluation.to_dict()
        if as_json:
            say_json(result)
        else:
            print_evaluation(result, title=ticket.name)
        if result.get("reached") is False:
            missed += 1
            if not as_json:
                found, stated = result["test_accuracy"], result["stated_accuracy"]
                line = f"not reached: {found:.2f} % measured, {stated:.2f} % stated"
                print_line(line, "bold red")
    if missed:
        raise typer.Exit(SOME_FAILED)
