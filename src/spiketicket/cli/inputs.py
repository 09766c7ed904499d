"""The samples a person names for ``spiketicket run``: pictures, recordings, folders of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from spiketicket.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from spiketicket.engine import Engine
    from spiketicket.events.frames import PlainFraming


@dataclass(frozen=True)
class Sample:
    """A name to show, what a ticket's engine takes, and how its file was read."""

    name: str
    x: NDArray[np.generic]
    notes: tuple[str, ...] = ()
    label: str = ""
    """The class whose folder its file lies in; empty where that is no class of the ticket."""


STANDARD_INPUT = Path("-")
"""Names a picture that is read from standard input."""


class Reader(Protocol):
    """Reads the samples of one file; ``suffixes`` are what a folder is searched for."""

    suffixes: tuple[str, ...]

    def read(self, path: Path) -> Iterator[Sample]:
        """The samples in a file. UserError: it cannot be read as one."""
        ...


class Pictures:
    """Pictures of the size a ticket was made for, or brought to it."""

    def __init__(self, shape: Sequence[int], *, resize: bool) -> None:
        from spiketicket.machine import pictures

        self.suffixes = pictures.SUFFIXES
        self._shape, self._resize = shape, resize
        if shape[0] not in (1, 3):
            raise UserError(
                f"this ticket's images have {shape[0]} channels, which no picture file has",
                remedy="Use spiketicket.Engine(ticket).run(x) in Python",
            )

    def read(self, path: Path) -> Iterator[Sample]:
        """One sample."""
        from spiketicket.machine.pictures import read_picture

        channels, height, width = self._shape
        notes: list[str] = []
        file = _standard_input() if path == STANDARD_INPUT else None
        x = read_picture(path, channels, height, width, resize=self._resize, notes=notes, file=file)
        yield Sample(str(path), x, tuple(notes))


def _standard_input() -> BinaryIO:
    """What comes in, whole, within the memory that may be used.

    Raises:
        UserError: that is nothing, or too much.
    """
    import io
    import sys

    from spiketicket.machine.bounded import max_memory, need_memory

    stream = sys.stdin.buffer if sys.stdin is not None and not sys.stdin.isatty() else None
    most = max_memory()
    content = stream.read(most + 1) if stream is not None else b""
    if not content:
        what = "nothing comes from standard input"
        raise UserError(what, where="-", remedy="Pipe a picture in: ... < picture.png")
    need_memory(len(content), "standard input", "-")
    return io.BytesIO(content)


class Recordings:
    """Recordings of an event camera, framed as the ticket's recipe says."""

    def __init__(
        self, data: Mapping[str, Any], shape: Sequence[int], time_unit: str | None, *, split: bool
    ) -> None:
        from spiketicket.events import known_suffixes
        from spiketicket.events.published import SENSORS

        self.suffixes = known_suffixes()
        given = data.get("config")
        config: Mapping[str, Any] = given if isinstance(given, dict) else {}
        fields, self._framing = _framing(config)
        self._name = str(data.get("name"))
        self._sensor = config.get("sensor") or SENSORS.get(self._name)
        self._window_us = config.get("window_us")
        self._unit: Any = time_unit or config.get("time_unit")
        self._split = split or config.get("split_at_reset") is True
        if not _sound(self._sensor, self._window_us):
            raise _no_framing()
        if "steps" not in fields or (self._framing.steps, self._framing.channels) != shape[:2]:
            raise _no_framing()
        self._size = tuple(shape[2:])

    def read(self, path: Path) -> Iterator[Sample]:
        """One sample, or one a window where the recipe cuts recordings into windows."""
        from spiketicket.events import read_events, read_stretches

        if path == STANDARD_INPUT:
            what = "a recording cannot be read from standard input"
            raise UserError(what, where="-", remedy="Give its file")
        sensor = tuple(self._sensor) if self._sensor else None
        if not self._split:
            events = read_events(path, sensor=sensor, time_unit=self._unit)
            yield from self._samples(path, str(path), events)
            return
        found = read_stretches(path, sensor=sensor, time_unit=self._unit)
        for number, events in enumerate(found, 1):
            name = f"{path} part {number} of {len(found)}" if len(found) > 1 else str(path)
            yield from self._samples(path, name, events)

    def _samples(self, path: Path, called: str, events: Any) -> Iterator[Sample]:
        from spiketicket.events.frames import narrow, to_frames
        from spiketicket.events.published import is_transposed
        from spiketicket.events.types import Events

        if is_transposed(self._name, path):
            data = events.data.copy()
            data["x"], data["y"] = events.y, events.x
            events = Events(data, events.height, events.width, events.notes)
        for name, part, span in self._windows(path, called, events):
            frames = narrow(to_frames(part, self._framing, span))
            if frames.shape[2:] != self._size:
                raise UserError(
                    f"its frames must be {self._size[1]} wide and {self._size[0]} high",
                    where=str(path),
                    value=f"{frames.shape[3]}x{frames.shape[2]}",
                    remedy="The ticket was made for recordings of another sensor",
                )
            yield Sample(name, frames, events.notes)

    def _windows(
        self, path: Path, called: str, events: Any
    ) -> Iterator[tuple[str, Any, tuple[int, int] | None]]:
        length = self._window_us
        if length is None:
            yield called, events, None
            return
        import numpy as np

        from spiketicket.events.types import Events

        first, count = int(events.t[0]) if len(events) else 0, (events.duration_us + 1) // length
        if not count:
            raise UserError(
                f"is shorter than one window of {length} us",
                where=str(path),
                value=events.duration_us,
            )
        for start in range(first, first + count * length, length):
            cut = slice(*np.searchsorted(events.t, (start, start + length)))
            part = Events(events.data[cut], events.width, events.height, events.notes)
            yield f"{called} {start}-{start + length} us", part, (start, start + length)


def reader_for(
    engine: Engine, *, resize: bool, time_unit: str | None = None, split: bool = False
) -> Reader:
    """What reads the inputs of a ticket; ``time_unit`` and ``split`` (at resets) of recordings.

    Raises:
        UserError: no file can be an input of this ticket, it does not say how, or an option is
            not for such files.
    """
    data = engine.metadata.get("data")
    table = data if isinstance(data, dict) else {}
    config = table.get("config")
    events = engine.program.frames > 1 or (isinstance(config, dict) and "steps" in config)
    if not events:
        for option, given in (("--time-unit", time_unit), ("--split-at-reset", split)):
            if given:
                what = "is for recordings, and this ticket classifies pictures"
                raise UserError(what, where=option, remedy="Leave it out")
        return Pictures(engine.input_shape, resize=resize)
    if resize:
        what = "recordings are not resized: their frames have the size of the recipe"
        raise UserError(what, where="--resize", remedy="Leave it out")
    p = engine.program
    shape = (p.frames, p.channels, p.height, p.width)
    return Recordings(table, shape, time_unit, split=split)


def expand(inputs: Sequence[Path], suffixes: Sequence[str]) -> Iterator[Path | UserError]:
    """The files of ``inputs`` in order, those of a folder and the folders in it sorted by name.

    What is not there, and a folder without a fitting file, comes as the error it is.
    """
    for given in inputs:
        if given == STANDARD_INPUT:
            yield given
        elif given.is_dir():
            found = sorted(
                path
                for path in given.rglob("*")
                if path.suffix.lower() in suffixes and path.is_file()
            )
            yield from found
            if not found:
                what = "has no file that this ticket can classify"
                yield UserError(what, where=str(given), remedy=f"It takes {', '.join(suffixes)}")
        elif given.exists():
            yield given
        else:
            yield UserError("no such file or folder", where=str(given))


def _framing(config: Mapping[str, Any]) -> tuple[dict[str, Any], PlainFraming]:
    """The framing that a ticket states, and as its table; who wrote it is not known.

    Raises:
        UserError: it cannot be one.
    """
    from spiketicket.events.frames import PlainFraming
    from spiketicket.ticket import TicketError
    from spiketicket.ticket.kinds import Flag, Maybe, Number, Table, Text, Whole

    side = Maybe(Whole(1, 65536))
    known = Table(
        {
            "steps": Whole(1, 4096),
            "by": Text(pattern="time|count"),
            "values": Text(pattern="sum|binary"),
            "height": side,
            "width": side,
            "merge_polarity": Flag(),
            "hot_pixel": Maybe(Number(1)),
            "denoise_us": Maybe(Whole(0, 10**15)),
        }
    )
    fields = {key: config[key] for key in known.fields if key in config}
    try:
        known.check(fields, "data.config")
    except TicketError as error:
        raise _no_framing() from error
    return fields, PlainFraming(**fields)


def _sound(sensor: object, window_us: object) -> bool:
    """Whether a ticket's words about its recordings can be: they are of any type."""
    pair = isinstance(sensor, list | tuple) and [type(side) for side in sensor] == [int, int]
    return (not sensor or pair) and (
        window_us is None or (type(window_us) is int and window_us > 0)
    )


def _no_framing() -> UserError:
    return UserError(
        "the ticket does not say how recordings become frames",
        where="metadata data.config",
        remedy="Make the frames with spiketicket.events and use spiketicket.Engine(ticket).run",
    )
