"""Windows of a stream of events, by time or by number, in bounded memory.

By time, window k of a recording holds the events with ``t0 + k hop <= t < t0 + k hop + length``,
where t0 is its first event's time: those that ``spiketicket eval`` cuts recordings into where hop
and length are the same. By number it holds the last ``length`` events, every ``hop`` events.

The clock of a source is not trusted. An event that is behind the latest one by more than SLACK_US
is late: it is left out and counted, but for RESET of them in a row, which are a clock that was
reset; windows then begin anew. One that comes behind a window's end is late likewise.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from spiketicket.events import EVENT, EventArray
from spiketicket.events.order import first_run
from spiketicket.online.packets import Packet

SLACK_US: Final = 10_000
RESET: Final = 64
MOST_EVENTS: Final = 1 << 23
"""Events of one window that are kept, 109 MB; of more the oldest are left out, and counted."""
MOST_SILENT: Final = 64
"""Windows without an event that are still given where silence is asked for."""
_NONE: Final = np.empty(0, EVENT)


@dataclass(frozen=True, kw_only=True)
class Window:
    """Events that one answer is about, in order of time."""

    data: EventArray
    span_us: tuple[int, int] | None
    """Its start and the microsecond behind its end; None where it is cut by number."""
    last_us: int | None
    """The time of its last event."""
    last_at: float
    """When that event came; without one, when the window ended. Seconds, as in :class:`Packet`."""
    ended_at: float
    """When it could be answered: its end, or its last event where it is cut by number."""
    restart: bool = False
    """Nothing before it belongs to it: another recording, a clock that was reset, a gap."""


@dataclass(kw_only=True)
class Counts:
    """What came in, and what of it was left out."""

    events: int = 0
    late: int = 0
    resets: int = 0
    silent: int = 0
    """Windows without an event that were not given."""
    crowded: int = 0
    """Events that were left out because a window held too many."""


class Kept:
    """Events in order of time, taken off at the front."""

    def __init__(self) -> None:
        self._room = np.empty(1 << 12, EVENT)
        self._from = self._to = 0

    def __len__(self) -> int:
        return self._to - self._from

    @property
    def data(self) -> EventArray:
        """All of them; valid until something is added."""
        return self._room[self._from : self._to]

    def add(self, more: EventArray) -> int:
        """Put events among them; how many of the oldest had to go."""
        lost = max(0, len(self) + len(more) - MOST_EVENTS)
        if lost:
            self.drop(min(lost, len(self)))
            more = more[-MOST_EVENTS:]
        if self._to + len(more) > len(self._room):
            self._make_room(len(more))
        before = int(self._room["t"][self._to - 1]) if len(self) else None
        self._room[self._to : self._to + len(more)] = more
        self._to += len(more)
        t = more["t"]
        if (before is not None and t[0] < before) or (t[1:] < t[:-1]).any():
            data = self.data
            start = int(np.searchsorted(data["t"][: len(data) - len(more)], t.min(), "right"))
            data[start:] = data[start:][np.argsort(data["t"][start:], kind="stable")]
        return lost

    def drop(self, count: int) -> None:
        """Take off the oldest."""
        self._from += count

    def _make_room(self, more: int) -> None:
        size = len(self._room)
        while size < 2 * (len(self) + more):
            size *= 2
        room = np.empty(size, EVENT)
        room[: len(self)] = self.data
        self._room, self._from, self._to = room, 0, len(self)


class Windows:
    """Cuts packets into windows.

    Args:
        length: microseconds of a window, or its number of events.
        hop: from the start of one to the start of the next, likewise.
        by_count: whether windows are cut by number.
        silence: whether windows without an event are given too, at most MOST_SILENT in a row.
    """

    def __init__(self, length: int, hop: int, *, by_count: bool, silence: bool) -> None:
        self.counts = Counts()
        self._length, self._hop, self._by_count, self._silence = length, hop, by_count, silence
        self._kept = Kept()
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._kept.drop(len(self._kept))
        self._latest: int | None = None
        self._start: int | None = None
        self._restart = True
        self._late_run = self._quiet = self._passing = 0

    def push(self, packet: Packet) -> Iterator[Window]:
        """The windows that a packet completes."""
        if packet.restart:
            self._begin_anew()
        data = packet.data
        self.counts.events += len(data)
        while len(data):
            part, data = self._in_order(data)
            if self._by_count:
                yield from self._by_number(part, packet)
            else:
                self._add(part)
                if self._latest is not None and (len(data) or packet.upto is None):
                    yield from self._by_time(self._latest, packet)
            if len(data):
                self.counts.resets += 1
                self._begin_anew()
        if packet.upto is not None and not self._by_count:
            yield from self._by_time(packet.upto, packet)

    def _in_order(self, data: EventArray) -> tuple[EventArray, EventArray]:
        """The events of one clock without late ones, and those behind a reset."""
        t = data["t"]
        latest = int(t[0]) if self._latest is None else self._latest
        high = np.maximum(np.maximum.accumulate(t), latest)
        late = high - t > SLACK_US
        if not late.any():
            self._latest, self._late_run = int(high[-1]), 0
            return data, data[:0]
        leading = len(late) if late.all() else int(np.argmin(late))
        going_on = leading and leading + self._late_run >= RESET
        cut = 0 if going_on else first_run(late, RESET)
        if cut is None:
            trailing = len(late) if late.all() else int(np.argmin(late[::-1]))
            self._late_run = trailing + (self._late_run if trailing == len(late) else 0)
            cut = len(data)
        self.counts.late += int(np.count_nonzero(late[:cut]))
        if cut:
            self._latest = int(high[cut - 1])
        return data[:cut][~late[:cut]], data[cut:]

    def _add(self, part: EventArray) -> None:
        if not len(part):
            return
        if self._start is None:
            self._start = int(part["t"].min())
        behind = part["t"] < self._start
        if behind.any():
            # With a hop longer than a window the events between two are not late.
            if self._hop <= self._length:
                self.counts.late += int(np.count_nonzero(behind))
            part = part[~behind]
        if len(part):
            self.counts.crowded += self._kept.add(part)

    def _by_time(self, upto: int, packet: Packet) -> Iterator[Window]:
        while self._start is not None and self._start + self._length <= upto:
            start, stop = self._start, self._start + self._length
            t = self._kept.data["t"]
            first, behind = (int(i) for i in np.searchsorted(t, (start, stop)))
            if first == behind and not (self._silence and self._quiet < MOST_SILENT):
                following = min(int(t[behind]), upto) if behind < len(t) else upto
                skipped = max(1, (following - stop) // self._hop + 1)
                self.counts.silent += skipped
                self._start += skipped * self._hop
                continue
            self._quiet = self._quiet + 1 if first == behind else 0
            data = self._kept.data[first:behind].copy()
            last = int(data["t"][-1]) if len(data) else None
            ended = packet.when(stop)
            yield self._given(data, (start, stop), last, ended, packet)
            self._start += self._hop
            self._kept.drop(int(np.searchsorted(self._kept.data["t"], self._start)))

    def _by_number(self, part: EventArray, packet: Packet) -> Iterator[Window]:
        passed = min(self._passing, len(part))
        self._passing -= passed
        if passed < len(part):
            self.counts.crowded += self._kept.add(part[passed:])
        while len(self._kept) >= self._length and not self._passing:
            data = self._kept.data[: self._length].copy()
            last = int(data["t"][-1])
            yield self._given(data, None, last, packet.when(last), packet)
            dropped = min(self._hop, len(self._kept))
            self._kept.drop(dropped)
            self._passing = self._hop - dropped

    def _given(
        self,
        data: EventArray,
        span_us: tuple[int, int] | None,
        last: int | None,
        ended: float,
        packet: Packet,
    ) -> Window:
        restart, self._restart = self._restart, False
        return Window(
            data=data,
            span_us=span_us,
            last_us=last,
            last_at=ended if last is None else packet.when(last),
            ended_at=ended,
            restart=restart,
        )
