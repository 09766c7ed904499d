"""What a recording is like, in numbers: :class:`Statistics`, over chunks or all of its events."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from spiketicket.events.types import Events
from spiketicket.machine.bounded import need_memory

HOT: Final = 20.0
"""A pixel is hot that has more than so many times the mean of the pixels that have events."""
GAP_US: Final = 100_000
"""So long without an event is a gap."""
PEAK_US: Final = 10_000
_MOST_HOT: Final = 10


@dataclass(kw_only=True)
class Statistics:
    """Counts over a recording of ``sensor``; :meth:`add` its events in order of time.

    ``counts`` is the number of events of each pixel, int64 [2, H, W]: OFF, ON.
    """

    sensor: tuple[int, int]
    events: int = 0
    first_us: int = 0
    last_us: int = 0
    gaps: int = 0
    longest_gap_us: int = 0
    longest_gap_at_us: int = 0
    """Where it begins, from the first event."""
    resets: int = 0
    peak: int = 0
    """Most events in one of the 10 ms that begin with the first event."""
    counts: NDArray[np.int64] = field(init=False)
    _duration: int = 0
    _bin: tuple[int, int] = (-1, 0)

    def __post_init__(self) -> None:
        """UserError: the sensor needs more memory than may be used."""
        width, height = self.sensor
        need_memory(16 * width * height, "the counts of its pixels", "statistics")
        self.counts = np.zeros((2, height, width), np.int64)

    def add(self, events: Events) -> None:
        """The next events; those that begin before the last one begin after a reset clock."""
        if not len(events):
            return
        t = events.t
        if not self.events:
            self.first_us = self.last_us = int(t[0])
        if int(t[0]) < self.last_us:
            self.resets += 1
            self._duration += self.last_us - self.first_us
            self.first_us = self.last_us = int(t[0])
            self._bin = (-1, 0)
        self._gaps(t)
        self._peaks(t)
        width, height = self.sensor
        place = (events.p.astype(np.int64) * height + events.y) * width + events.x
        self.counts += np.bincount(place, minlength=self.counts.size).reshape(self.counts.shape)
        self.events += len(events)
        self.last_us = int(t[-1])

    @property
    def duration_us(self) -> int:
        """From the first event to the last, of all stretches where the clock was reset."""
        return self._duration + self.last_us - self.first_us

    def facts(self) -> dict[str, Any]:
        """All of it, for people and for JSON."""
        seconds = self.duration_us / 1e6
        pixels = self.counts.sum(0)
        used = int(np.count_nonzero(pixels))
        hot = np.argwhere(pixels > HOT * self.events / max(used, 1))
        order = np.argsort(-pixels[tuple(hot.T)], kind="stable")[:_MOST_HOT]
        on = int(self.counts[1].sum())
        return {
            "width": self.sensor[0],
            "height": self.sensor[1],
            "events": self.events,
            "duration_s": seconds,
            "rate_per_s": self.events / seconds if seconds else None,
            "peak_rate_per_s": self.peak * 1_000_000 // PEAK_US,
            "on_percent": 100 * on / self.events if self.events else None,
            "off_percent": 100 * (self.events - on) / self.events if self.events else None,
            "active_pixels_percent": 100 * used / pixels.size,
            "hot_pixels": len(hot),
            "hottest": [
                {"x": int(x), "y": int(y), "events": int(pixels[y, x])} for y, x in hot[order]
            ],
            "gaps": self.gaps,
            "longest_gap_ms": self.longest_gap_us / 1000,
            "longest_gap_at_ms": self.longest_gap_at_us / 1000,
            "resets": self.resets,
        }

    def _gaps(self, t: NDArray[np.int64]) -> None:
        between = np.diff(t, prepend=self.last_us)
        self.gaps += int(np.count_nonzero(between > GAP_US))
        at = int(np.argmax(between))
        if between[at] > self.longest_gap_us:
            self.longest_gap_us = int(between[at])
            self.longest_gap_at_us = int(t[at]) - self.longest_gap_us - self.first_us

    def _peaks(self, t: NDArray[np.int64]) -> None:
        bins, counts = np.unique((t - self.first_us) // PEAK_US, return_counts=True)
        if int(bins[0]) == self._bin[0]:
            counts[0] += self._bin[1]
        self.peak = max(self.peak, int(counts.max()))
        self._bin = int(bins[-1]), int(counts[-1])
