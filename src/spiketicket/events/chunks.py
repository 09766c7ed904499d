"""A recording a few events at a time, in order of time, in little memory: :func:`iter_chunks`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from spiketicket.errors import UserError
from spiketicket.events.known import open_recording, whole_file
from spiketicket.events.order import first_run
from spiketicket.events.reading import CHUNK, Recording, Seen, outside_note
from spiketicket.events.stores import Columns
from spiketicket.events.types import EVENT, EventArray, Events, TimeUnit, blocks

SLACK_US: Final = 10_000
"""Events that come late by less are put in order; it is about what drivers merge."""
_RESET: Final = 64
"""So many events in a row that are late by more are a clock that was reset."""


class Chunks:
    """Some events at a time of a recording, each an :class:`Events`; one pass.

    ``sensor`` is known at once, ``notes`` is whole when the last chunk was taken. A chunk begins
    no earlier than the one before it ended, unless the recording's clock was reset there.
    """

    def __init__(self, path: Path, recording: Recording, sensor: tuple[int, int]) -> None:
        self.path = path
        self.sensor = sensor
        self._recording = recording
        self._own: list[str] = []
        self._seen = Seen()
        self._pending: EventArray = np.empty(0, EVENT)
        self._latest: int | None = None
        self._late = 0
        self._resets = 0

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know about how the file was read, so far."""
        return (*self._recording.notes, *self._own)

    def __iter__(self) -> Iterator[Events]:
        """The chunks.

        Raises:
            UserError: the file has no event, is damaged, or has too many events outside the
                sensor.
        """
        with whole_file(self.path):
            for block in self._recording.blocks:
                kept = self._seen.inside(block, self.sensor)
                if self._seen.count >= CHUNK and self._seen.outside:
                    outside_note(self._seen, self.sensor, self.path)
                yield from self._add(kept)
        if not self._seen.count:
            notes = f" ({'; '.join(self.notes)})" if self.notes else ""
            raise UserError(f"holds no event{notes}", where=str(self.path))
        yield from self._take(len(self._pending))
        self._remember()

    def _remember(self) -> None:
        if self._seen.outside:
            self._own.append(outside_note(self._seen, self.sensor, self.path))
        if self._late:
            what = f"{self._late} events that come late by more than {SLACK_US} us are left out"
            self._own.append(what)
        if self._resets:
            self._own.append(f"the clock is reset {self._resets} times")

    def _add(self, block: Columns) -> Iterator[Events]:
        while len(block.t):
            latest = int(block.t[0]) if self._latest is None else self._latest
            high = np.maximum(np.maximum.accumulate(block.t), latest)
            late = high - block.t > SLACK_US
            cut = first_run(late, _RESET) if late.any() else None
            self._keep(block, late, slice(0, cut))
            if cut is None:
                self._latest = int(high[-1])
                ready = np.searchsorted(self._pending["t"], self._latest - SLACK_US, "right")
                yield from self._take(int(ready))
                return
            yield from self._take(len(self._pending))
            self._latest = None
            self._resets += 1
            block = Columns(*(column[cut:] for column in block))

    def _keep(self, block: Columns, late: NDArray[np.bool_], part: slice) -> None:
        """Put the events of a part that are not late among those that wait, in order of time."""
        keep = np.flatnonzero(~late[part])
        self._late += len(late[part]) - len(keep)
        added = np.empty(len(keep), EVENT)
        for name, column in zip(block._fields, block, strict=True):
            added[name] = column[part][keep]
        merged = np.concatenate((self._pending, added))
        t = merged["t"]
        if (t[1:] < t[:-1]).any():
            merged = merged[np.argsort(t, kind="stable")]
        self._pending = merged

    def _take(self, count: int) -> Iterator[Events]:
        ready, self._pending = self._pending[:count], self._pending[count:].copy()
        if len(ready):
            yield Events(ready, *self.sensor)


def iter_chunks(
    path: str | Path,
    *,
    sensor: tuple[int, int] | None = None,
    time_unit: TimeUnit | None = None,
    topic: str | None = None,
) -> Chunks:
    """A recording some events at a time, without holding all of it.

        chunks = iter_chunks("recording.raw")
        print(chunks.sensor)
        for events in chunks:
            print(len(events), events.t[0], events.t[-1])
        print(chunks.notes)

    The arguments are those of :func:`spiketicket.events.read_events`. Memory is that of some ten
    thousand events and of 10 ms of the recording, but for files that name no sensor where none is
    given: those are read whole first. Events that come late by up to 10 ms are put in order;
    those that are later are left out, with a note, and 64 or more of them in a row are a clock
    that was reset: the next chunk begins with them.

    Raises:
        UserError: no such file, a format that is not known or not what its name says.
    """
    place = Path(path)
    with whole_file(place):
        recording = open_recording(place, sensor, time_unit, topic)
    if recording.sensor is not None:
        return Chunks(place, recording, recording.sensor)
    from spiketicket.events import read_events

    whole = read_events(place, sensor=sensor, time_unit=time_unit, topic=topic)
    parts = (Columns(*(part[name] for name in "txyp")) for _, part in blocks(whole.data, CHUNK))
    known = Recording(sensor=whole.sensor, most=len(whole), blocks=parts, notes=list(whole.notes))
    return Chunks(place, known, whole.sensor)
