"""A ticket with int8 weights beside the one it was made of, on the test split of its data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spiketicket.experiment.evaluate import evaluate_ticket
from spiketicket.machine.typed import typed
from spiketicket.ticket import Ticket, as_ticket
from spiketicket.ticket.int8 import quantised


@dataclass(frozen=True, kw_only=True)
class Quantisation:
    """The ticket that was made, and both accuracies in percent; None where they are not tested."""

    ticket: Ticket
    layers: tuple[str, ...]
    before: float | None
    after: float | None
    test_count: int

    def to_dict(self) -> dict[str, Any]:
        """JSON-able facts."""
        return {
            "digest": self.ticket.digest(),
            "layers": list(self.layers),
            "test_before": self.before,
            "test_after": self.after,
            "test_count": self.test_count,
        }


@typed
def quantise_ticket(
    ticket: Ticket | Path | str,
    *,
    layers: Iterable[str] | None = None,
    root: str = "",
    test: bool = True,
) -> Quantisation:
    """Quantise as :func:`spiketicket.quantised`, and state the accuracy in the ticket.

    Args:
        ticket: the ticket, its file, or its name in the zoo.
        layers: names or patterns; None is all with float weights.
        root: where the data are.
        test: count the accuracy on the test split before and after.

    Raises:
        UserError: as :func:`spiketicket.quantised` and :func:`spiketicket.evaluate_ticket`.
    """
    given = as_ticket(ticket)
    made = quantised(given, layers=layers)
    chosen = tuple(made.metadata["quantised"]["layers"])
    if not test:
        return Quantisation(ticket=made, layers=chosen, before=None, after=None, test_count=0)
    old, new = (evaluate_ticket(each, root=root) for each in (given, made))
    metadata = dict(made.metadata)
    metadata["accuracy"] = {"test": new.test_accuracy, "test_count": new.test_count}
    metadata["quantised"] = {**metadata["quantised"], "test_before": old.test_accuracy}
    return Quantisation(
        ticket=Ticket(made.layers, made.tensors, metadata),
        layers=chosen,
        before=old.test_accuracy,
        after=new.test_accuracy,
        test_count=new.test_count,
    )
