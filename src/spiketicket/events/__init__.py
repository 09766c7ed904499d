"""Recordings of event cameras: read from any known format, by content and name.

    from spiketicket.events import read_events, read_spans
    events = read_events("user01_natural.aedat")
    events.t, events.x, events.y, events.p, events.sensor, events.notes
    gestures = read_spans("user01_natural.aedat", [(53036986, 59508469), (64889467, 73697045)])
    first, second = read_stretches("started_twice.npz")  # its clock was reset in between

A format is one file in ``formats``. Times are microseconds and are those of the file, only made
to rise where its clock wrapped; (0, 0) is the top left pixel. What is done to files with faults is
told at the top of ``_reading``. No torch is needed.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol, cast

from spiketicket.errors import UserError, argument
from spiketicket.events import order, reading
from spiketicket.events.reading import Gathered, Recording, Span
from spiketicket.events.types import EVENT, EventArray, Events, TimeUnit, check_sensor
from spiketicket.machine.bounded import need_memory, open_regular
from spiketicket.machine.typed import typed

__all__ = [
    "EVENT",
    "EventArray",
    "Events",
    "TimeUnit",
    "known_suffixes",
    "read_events",
    "read_spans",
    "read_stretches",
]

_SORTED: Final = EVENT.itemsize + 27
"""Bytes an event where all are sorted together: itself, and times and places of 8 bytes."""

_SURE: Final = 4
"""Bytes of a signature that events, which begin with any bytes, do not have by chance."""


class _Format(Protocol):
    TITLE: str
    SUFFIXES: tuple[str, ...]
    MAGIC: bytes

    def open_recording(self, path: Path, sensor: tuple[int, int] | None) -> Recording: ...


@typed
def read_events(
    path: str | Path,
    *,
    sensor: tuple[int, int] | None = None,
    time_unit: TimeUnit | None = None,
) -> Events:
    """All events of a recording, in order of time.

    ``sensor`` is its width and height; it is needed for formats that do not tell it (``.bin``,
    ``.npz``, ``.npy``, some ``.dat``), else the largest addresses are taken, with a note.
    ``time_unit`` is what the times of ``.npz`` and ``.npy`` files are counted in: "s", "ms", "us"
    or "ns"; None is microseconds, milliseconds in an array [N, 4]. Files of other formats have a
    unit of their own. About 13 bytes of memory an event, 40 where they are out of order; no more
    than SPIKETICKET_MAX_MEMORY says.

    Raises:
        UserError: no such file, a format that is not known or not what its name says, a recording
            without events or of another sensor, times of another unit or of a clock that was
            reset, or a file that is damaged from its start.
    """
    place = Path(path)
    gathered = _gathered(place, sensor, None, time_unit)
    if _resets(gathered, place):
        raise _was_reset(gathered, place)
    return gathered.events()[0]


@typed
def read_stretches(
    path: str | Path,
    *,
    sensor: tuple[int, int] | None = None,
    time_unit: TimeUnit | None = None,
) -> list[Events]:
    """The recordings in a file, of which a new one begins wherever its clock was reset.

    What holds less than 1 in 100 of the file's events is left out, with a note. See
    :mod:`spiketicket.events.order` for what a reset is, :func:`read_events` for the rest.
    """
    place = Path(path)
    gathered = _gathered(place, sensor, None, time_unit)
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
    gathered = _gathered(place, sensor, list(spans), time_unit)
    if gathered.order.far:
        whole = _gathered(place, sensor, None, time_unit)
        few = order.least(whole.order.count)
        # A few events before a reset disturb no span but those that ask for their times.
        if any(start >= few for start in _resets(whole, place)):
            raise _was_reset(whole, place)
    return gathered.events()


def known_suffixes() -> tuple[str, ...]:
    """The ends of names that recordings may have, sorted: ".aedat", ".bin", ..."""
    return tuple(sorted({suffix for known in _formats() for suffix in known.SUFFIXES}))


def _gathered(
    path: Path,
    sensor: tuple[int, int] | None,
    spans: Sequence[Span] | None,
    time_unit: TimeUnit | None,
) -> Gathered:
    if sensor is not None:
        check_sensor(sensor, where="sensor")
    try:
        file, _ = open_regular(path)
        with file:
            head = file.read(16)
        recording = _format(path, head).open_recording(path, sensor)
        if recording.plain is not None:
            recording.plain.asked = time_unit
        return reading.gather(recording, path, spans)
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror}", where=str(path)) from error
    except MemoryError as error:
        what = "does not fit into memory"
        remedy = "Read parts of it with spiketicket.events.read_spans"
        raise UserError(what, where=str(path), remedy=remedy) from error


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


def _format(path: Path, head: bytes) -> _Format:
    if not head:
        raise UserError("is empty", where=str(path))
    suffix = path.suffix.lower()
    named = [known for known in _formats() if suffix in known.SUFFIXES]
    is_it = [known for known in _formats() if known.MAGIC and head.startswith(known.MAGIC)]
    for known in is_it:
        if known in named:
            return known
    sure = [known for known in is_it if len(known.MAGIC) >= _SURE]
    plain = [known for known in named if not known.MAGIC]
    if plain and not sure:
        return plain[0]
    if sure:
        what = f"is {sure[0].TITLE} by its content, which is named {_either(sure[0].SUFFIXES)}"
    elif named:
        titles = " or ".join(known.TITLE for known in named)
        what = f"is not {titles}, as its name says: it starts with other bytes"
    else:
        what = "is not named like a recording of events"
    listed = "; ".join(f"{_either(known.SUFFIXES)}: {known.TITLE}" for known in _formats())
    raise UserError(what, where=str(path), value=head, remedy=f"Known formats are {listed}")


def _either(suffixes: Sequence[str]) -> str:
    return " or ".join(suffixes)


@functools.cache
def _formats() -> tuple[_Format, ...]:
    folder = Path(__file__).parent / "formats"
    names = sorted(module.name for module in pkgutil.iter_modules([str(folder)]))
    modules = (f"{__package__}.formats.{name}" for name in names if not name.startswith("_"))
    return tuple(cast("_Format", importlib.import_module(module)) for module in modules)
