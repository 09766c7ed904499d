"""What is counted and timed while answers are given, in memory that does not grow."""

from __future__ import annotations

import math
import time
from typing import Final

_PER_OCTAVE: Final = 64
_OCTAVES: Final = 40


class Latencies:
    """A histogram of times from 1 us on, whose percentiles are exact to 1.1 % (2 ** (1/64))."""

    def __init__(self) -> None:
        self._bins = [0] * (_PER_OCTAVE * _OCTAVES)
        self.count = 0
        self.largest = 0.0

    def add(self, us: float) -> None:
        """One more time, in microseconds."""
        place = int(_PER_OCTAVE * math.log2(us)) if us > 1 else 0
        self._bins[min(place, len(self._bins) - 1)] += 1
        self.count += 1
        self.largest = max(self.largest, us)

    def percentile(self, percent: float) -> float | None:
        """The time that ``percent`` of all do not exceed, in microseconds; None without any."""
        if not self.count:
            return None
        left = math.ceil(self.count * percent / 100)
        for place, many in enumerate(self._bins):
            left -= many
            if left <= 0:
                return min(2 ** ((place + 1) / _PER_OCTAVE), self.largest)
        return self.largest

    def to_dict(self) -> dict[str, float | None]:
        """p50, p95, p99 and max in microseconds."""
        named = {f"p{each}": self.percentile(each) for each in (50, 95, 99)}
        found = {**named, "max": self.largest if self.count else None}
        return {key: None if us is None else round(us, 1) for key, us in found.items()}


class Meter:
    """Counts since the first answer, and rates of the last second or two."""

    def __init__(self) -> None:
        self.latency = Latencies()
        """From a window's last event to its answer."""
        self.wait = Latencies()
        """From a window's end, when it could first be answered, to its answer."""
        self.decisions = 0
        self.began = time.perf_counter()
        self._marked = (self.began, 0, 0)
        self.decisions_per_s = 0.0
        self.events_per_s = 0.0

    def add(self, latency_us: float, wait_us: float) -> None:
        """One more answer."""
        self.decisions += 1
        self.latency.add(latency_us)
        self.wait.add(wait_us)

    def seen(self, events: int) -> None:
        """So many events have come in all; rates are of about the last second."""
        now = time.perf_counter()
        at, decisions, before = self._marked
        if now - at >= 1:
            self.decisions_per_s = (self.decisions - decisions) / (now - at)
            self.events_per_s = (events - before) / (now - at)
            self._marked = (now, self.decisions, events)

    @property
    def seconds(self) -> float:
        """Since it was made."""
        return time.perf_counter() - self.began
