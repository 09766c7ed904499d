"""What carries out the tasks of a sweep: see :mod:`local` and :mod:`ray_cluster`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from spiketicket.sweep.worker import Order, Outcome


@dataclass(frozen=True)
class Ended:
    """An order that is over: with its outcome, or ``lost`` together with its worker, and why."""

    order: Order
    outcome: Outcome | None
    lost: str = ""


class Executor(Protocol):
    """Takes orders and gives back how they ended; an order is never given to two workers."""

    @property
    def device(self) -> str:
        """``cpu`` or ``cuda``."""

    def open(self, runs_dir: str, sweep: str) -> None:
        """Get ready. Raises UserError where that cannot be."""

    def slots(self) -> int:
        """How many orders can be carried out at once, now."""

    def submit(self, order: Order) -> None:
        """Take an order; there are fewer than :meth:`slots` of them."""

    def wait(self, timeout_s: float) -> list[Ended]:
        """Orders that ended, as soon as there is one, or none after ``timeout_s``."""

    def close(self) -> None:
        """Stop all work at once; what is running goes on from its checkpoint another time."""
