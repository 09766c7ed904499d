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
    NetworkOption,
    OptionsOption,
    RootOption,
    TrustOptionsOption,
    consent_to,
    require_device,
)


def evaluate(
    tickets: Annotated[list[Path], typer.Argument(help="One or more .ticket files.")],
    root: RootOption = "",
    device: DeviceOption = Device.cpu,
    network: NetworkOption = "",
    options: OptionsOption = None,
    trust_options: TrustOptionsOption = False,
    max_memory: MaxMemoryOption = "",
    as_json: JsonOption = False,
) -> None:
    """Load tickets and test each on the test set it was made for."""
    where = require_device(device)

    from spiketicket import run
    from spiketicket.cli._result import print_evaluation

    consent = consent_to(network, options, trust_options)
    for ticket in tickets:
        evaluation = run.evaluate_ticket(
            ticket,
            root=root,
            device=where,
            network=network,
            options=consent.options,
            trust_options=trust_options,
        )
        result = evaluation.to_dict()
        if as_json:
            print(json.dumps(result, indent=2))
        else:
            print_evaluation(result, title=ticket.name)
