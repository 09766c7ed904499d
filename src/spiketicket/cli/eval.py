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
    RootOption,
    require_device,
    require_there,
    with_consent,
)
from spiketicket.machine.output import say_json
from spiketicket.recipe.consent import Consent


@with_consent
def evaluate(
    tickets: Annotated[list[Path], typer.Argument(help="One or more .ticket files.")],
    *,
    root: RootOption = "",
    device: DeviceOption = Device.cpu,
    flip: Annotated[
        bool,
        typer.Option("--flip", help="Also test on the mean of the logits for mirror images."),
    ] = False,
    consent: Consent = Consent(),
    max_memory: MaxMemoryOption = "",
    as_json: JsonOption = False,
) -> None:
    """Load tickets and test each on the test set it was made for; exit 1 if below what it states.

    On another processor a spike at the threshold may fall otherwise: below means by more than
    half a point or one sample.
    """
    require_there(*tickets)
    where = require_device(device)

    from spiketicket.cli.console import print_line
    from spiketicket.cli.print_result import print_evaluation
    from spiketicket.experiment import evaluate

    missed = 0
    for ticket in tickets:
        evaluation = evaluate.evaluate_ticket(
            ticket,
            root=root,
            device=where,
            flip=flip,
            **vars(consent),
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
