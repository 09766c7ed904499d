"""``spiketicket eval``: the accuracy of a ticket on its test set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from spiketicket.cli.declare import Argument, Exit, Option
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
from spiketicket.cli.places import ticket_at
from spiketicket.machine.output import say_json
from spiketicket.recipe.consent import Consent


@with_consent
def evaluate(
    tickets: Annotated[
        list[Path],
        Argument(help="Tickets: files, names in the zoo, run folders.", read=ticket_at),
    ],
    *,
    root: RootOption = "",
    device: DeviceOption = Device.cpu,
    flip: Annotated[
        bool,
        Option("--flip", help="Also test on the mean of the logits for mirror images."),
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

    missed, results = 0, []
    for ticket in tickets:
        evaluation = evaluate.evaluate_ticket(
            ticket,
            root=root,
            device=where,
            flip=flip,
            **vars(consent),
        )
        result = evaluation.to_dict()
        results.append(result)
        if not as_json:
            print_evaluation(result, title=ticket.name)
        if result.get("reached") is False:
            missed += 1
            if not as_json:
                found, stated = result["test_accuracy"], result["stated_accuracy"]
                line = f"not reached: {found:.2f} % measured, {stated:.2f} % stated"
                print_line(line, "bold red")
    if as_json:  # one document: of one ticket its table, of several a list
        say_json(results[0] if len(results) == 1 else results)
    if missed:
        raise Exit(SOME_FAILED)
