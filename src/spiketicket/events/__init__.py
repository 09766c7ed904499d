"""Recordings of event cameras: read from any known format, by content and name.

    from spiketicket.events import read_events, read_spans
    events = read_events("user01_natural.aedat")
    events.t, events.x, events.y, events.p, events.sensor, events.notes
    gestures = read_spans("user01_natural.aedat", [(53036986, 59508469), (64889467, 73697045)])
    first, second = read_stretches("started_twice.npz")  # its clock was reset in between
    for events in iter_chunks("an_hour.raw"):  # some at a time, in little memory
        ...

A format is one file in ``formats``. Times are microseconds and are those of the file, only made
to rise where its clock wrapped; (0, 0) is the top left pixel. What is done to files with faults is
told at the top of ``_reading``. No torch is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from spiketicket.errors import UserError, argument
from spiketicket.events import order, reading
from spiketicket.events.chunks import Chunks, iter_chunks
from spiketicket.events.known import is_bag, known_suffixes, open_recording, whole_file
from spiketicket.events.reading import Gathered, Span
from spiketicket.events.types import EVENT, EventArray, Events, TimeUnit
from spiketicket.machine.bounded import need_memory
from spiketicket.machine.typed import typed

__all__ = [
    "EVENT",
    "Chunks",
    "EventArray",
    "Events",
    "TimeUnit",
    "is_bag",
    "iter_chunks",
    "known_suffixes",
    "read_events",
    "read_spans",
    "read_stretches",
]

_SORTED: Final = EVENT.itemsize + 27
"""Bytes an event where all are sorted together: itself, and times and places of 8 bytes."""


@typed
def read_events(
    path: str | Path,
    *,
    sensor: tuple[int, int] | None = None,
    time_unit: TimeUnit | None = None,
    topic: str | None = None,
) -> Events:
    """All events of a recording, in order of time.

    ``sensor`` is its width and height; it is needed for formats that do not tell it (``.bin``,
    ``.npz``, ``.npy``, some ``.dat``), else the largest addresses are taken, with a note.
    ``time_unit`` is what the times of ``.npz`` and ``.npy`` files are counted in: "s", "ms", "us"
    or "ns"; None is microseconds, milliseconds in an array [N, 4]. Files of other formats have a
    unit of their own. ``topic`` names one of several streams of events in a file: a topic of a
    bag, a group of an HDF5 file. About 13 bytes of memory an event, 40 where they are out of
    order; no more than SPIKETICKET_MAX_MEMORY says.

    Raises:
        UserError: no such file, a format that is not known or not what its name says, a recording
            without events or of another sensor, times of another unit or of a clock that was
            reset, or a file that is damaged from its start.
    """
    place = Path(path)
    gathered = _gathered(place, sensor, None, time_unit, topic)
    if _resets(gathered, place):
        raise _was_reset(gathered, place)
    return gathered.events()[0]


@typed
def read_stretches(
    path: str | Path,
    *,
    sensor: tuple[int, int] | None = None,
    time_unit: TimeUnit | None = None,
    topic: str | None = None,
) -> list[Events]:
    """The recordings in a file, of which a new one begins wherever its clock was reset.

    What holds less than 1 in 100 of the file's events is left out, with a note. See
    :mod:`spiketicket.events.order` for what a reset is, :func:`read_events` for the rest.
    """
    place = Path(path)
    gathered = _gathered(place, sensor, None, time_unit, topic)
    starts = _resets(gathered, place)
    if not starts:
        return gathered.events()
    total = gathered.order.count
    found = gathered.stores[0].cut(starts)
    gathered.stores = [part for part in found if part.order.count >= order.least(total)]
    if lost := total - sum(part.order.count for part in gathered.stores):
        what = f"{lost} events between resets of the clock, less than 1 in 100, are left out"
        gathered.notes.append(what)
    return gathered.events()


def read_spans(
    path: str | Path,
    spans: Sequence[Span],
    *,
    sensor: tuple[int, int] | None = None,
    time_unit: TimeUnit | None = None,
    topic: str | None = None,
) -> list[Events]:
    """The events with start <= t < stop of each (start, stop) in ``spans``, in one pass.

    Only the events of the spans are kept in memory; spans may overlap, and a span without events
    gives Events of length 0.

    Raises:
        UserError: as :func:`read_events`, or a span that does not end behind its start.
    """
    for start, stop in spans:
        if stop <= start:
            what = "a span must end behind its start"
            raise UserError(what, where=str(path), value=[start, stop])
    if not spans:
        return []
    place = Path(path)
    gathered = _gathered(place, sensor, list(spans), time_unit, topic)
    if gathered.order.far:
        whole = _gathered(place, sensor, None, time_unit, topic)
        few = order.least(whole.order.count)
        # A few events before a reset disturb no span but those that ask for their times.
        if any(start >= few for start in _resets(whole, place)):
            raise _was_reset(whole, place)
    return gathered.events()


def _gathered(
    path: Path,
    sensor: tuple[int, int] | None,
    spans: Sequence[Span] | None,
    time_unit: TimeUnit | None,
    topic: str | None,
) -> Gathered:
    with whole_file(path):
        recording = open_recording(path, sensor, time_unit, topic)
        return reading.gather(recording, path, spans)


def _resets(gathered: Gathered, path: Path) -> list[int]:
    """Where the clock of a whole file was reset: indices of events in the file's order."""
    if not gathered.order.far:
        return []
    times = gathered.stores[0].trim()["t"]
    need_memory(len(times) * _SORTED, "events out of order, with what sorts them,", str(path))
    if (found := order.resets(times)) is not None:
        return found
    what = f"is not in order of time: {gathered.order.late} of {len(times)} events come late"
    remedy = "Are time and address exchanged? Write it again, in order of time"
    raise UserError(what, where=str(path), remedy=remedy)


def _was_reset(gathered: Gathered, path: Path) -> UserError:
    starts, times = _resets(gathered, path), gathered.stores[0].trim()["t"]
    first = starts[0]
    count = "once" if len(starts) == 1 else f"{len(starts)} times"
    what = (
        f"its clock is reset {count}, first from {times[first - 1]} to {times[first]} us at event "
        f"{first}: one scene would lie over another"
    )
    remedy = (
        f"Cut it there into recordings of their own: {argument('split_at_reset')} (of an"
        " event_folder, data.split_at_reset = true), or spiketicket.events.read_stretches"
    )
    return UserError(what, where=str(path), remedy=remedy)
