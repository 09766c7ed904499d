"""Accuracy of a ticket file on the test set it names."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spiketicket.data.of_ticket import find_test_data
from spiketicket.experiment.outcome import FLIPPED
from spiketicket.machine.typed import typed
from spiketicket.models.of_ticket import from_ticket
from spiketicket.ticket import Ticket, as_ticket
from spiketicket.ticket.codec import of_file
from spiketicket.ticket.zoo import ticket_path
from spiketicket.training.evaluate import evaluate


@dataclass(frozen=True, kw_only=True)
class EvalResult:
    """Accuracy of a ticket file, beside what the file itself states (percent)."""

    ticket: Path | None
    """Its file, where it was read from one."""
    dataset: str
    test_count: int
    test_accuracy: float
    stated_accuracy: float | None
    device: str
    test_accuracy_flip: float | None = None
    """That of the mean of the logits for an image and for its mirror image, where asked for."""

    @property
    def reached(self) -> bool | None:
        """Whether the stated accuracy is reached, see :func:`is_reached`; None if none is."""
        stated = self.stated_accuracy
        return None if stated is None else is_reached(self.test_accuracy, stated, self.test_count)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able facts, in the order to show them."""
        return {
            "ticket": None if self.ticket is None else str(self.ticket),
            "dataset": self.dataset,
            "test_count": self.test_count,
            "test_accuracy": self.test_accuracy,
            **({} if self.test_accuracy_flip is None else {FLIPPED: self.test_accuracy_flip}),
            "stated_accuracy": self.stated_accuracy,
            "reached": self.reached,
            "device": self.device,
        }


def is_reached(measured: float, stated: float, count: int) -> bool:
    """Whether an accuracy of ``count`` samples is that which was stated, both in percent.

    On another processor a spike at the threshold may fall otherwise: half a point, or one sample,
    may be missing.
    """
    return measured >= stated - max(0.5, 100 / count) - 1e-9


@typed
def evaluate_ticket(
    ticket: Ticket | str | os.PathLike[str],
    *,
    root: str = "",
    device: str = "cpu",
    flip: bool = False,
    network: str = "",
    options: Mapping[str, Any] | None = None,
    trust_options: bool = False,
) -> EvalResult:
    """Measure a ticket, its file, or one of the zoo by its name, on the test set it names, in
    float32.

    With ``flip`` it is measured a second time, with test-time flip; that is never what a ticket
    states.

    ``network``, ``options`` and ``trust_options`` are for a custom network, as in
    :func:`spiketicket.from_ticket`.

    Raises:
        TicketError: the file is no sound ticket, or not of a network of this package.
        UserError: the data is missing, or is not the data the ticket was made for.
    """
    path = None if isinstance(ticket, Ticket) else ticket_path(ticket)
    ticket = as_ticket(ticket if path is None else path)
    with nullcontext() if path is None else of_file(path):
        model = from_ticket(ticket, network=network, options=options, trust_options=trust_options)
    data = find_test_data(ticket, path, root=root)
    result = evaluate(model.to(device), data.batches(device))
    both = evaluate(model, data.batches(device), flip=True) if flip else None
    name, count = data.dataset.name, len(data.dataset.test)
    return EvalResult(
        ticket=path,
        dataset=name,
        test_count=count,
        test_accuracy=100 * result.accuracy,
        stated_accuracy=data.stated_accuracy,
        device=device,
        test_accuracy_flip=None if both is None else 100 * both.accuracy,
    )
