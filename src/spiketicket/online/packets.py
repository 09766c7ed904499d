"""What sources give: events as they came in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from spiketicket.events import EventArray


@dataclass(frozen=True, kw_only=True)
class Packet:
    """Some events in the order in which they came; there may be none."""

    data: EventArray
    at: float
    """When the last of them came, or was due; seconds of :func:`time.perf_counter`."""
    upto: int | None = None
    """All events before this microsecond have come, even if there are none; None: not known."""
    rate: float = 1.0
    """Microseconds of the events' clock in one of the wall clock; infinite: as fast as may be."""
    restart: bool = False
    """Another recording begins with it."""

    def when(self, t_us: int) -> float:
        """When an event of ``t_us`` came or was due, by the clock of the events here."""
        known = int(self.data["t"][-1]) if len(self.data) else self.upto
        return self.at if known is None else self.at - (known - t_us) * 1e-6 / self.rate


class Source(Protocol):
    """Where events come from; one pass."""

    sensor: tuple[int, int]
    """Width and height, in pixels."""
    paced: bool
    """Whether events come at a time of their own: what is not answered in time is left out."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know about how it was read, so far."""

    def __iter__(self) -> Iterator[Packet]: ...

    def close(self) -> None:
        """Let go of it; an iteration that waits ends soon."""
