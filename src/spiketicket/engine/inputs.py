"""The samples a person gives to classify: pictures, recordings, arrays, folders of them.

``spiketicket run`` and :meth:`spiketicket.Engine.classify` read them here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from spiketicket.errors import UserError, argument

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from spiketicket.engine import Engine
    from spiketicket.events.fit import Fit
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
    several: bool
    """Whether one file may hold several samples."""

    def read(self, path: Path) -> Iterator[Sample]:
        """The samples in a file. UserError: it cannot be read as one."""
        ...

    def take(self, given: Any, name: str) -> Iterator[Sample] | None:
        """The samples in an object; None where it is of another kind. UserError: as there."""
        ...


class Pictures:
    """Pictures of the size a ticket was made for, or brought to it."""

    several = False

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

    def take(self, given: Any, name: str) -> Iterator[Sample] | None:
        """A picture of Pillow, or pixels: uint8, or floats from 0 to 1, with or without channels,
        which come first or last.
        """
        from PIL import Image

        from spiketicket.machine.pictures import picture_pixels

        if not isinstance(given, Image.Image):
            pixels = _pixels(given, name)
            if pixels is None or pixels.shape == tuple(self._shape):
                return None if pixels is None else iter([Sample(name, pixels)])
            given = Image.fromarray(_channels_last(pixels, name))
        channels, height, width = self._shape
        notes: list[str] = []
        x = picture_pixels(
            given, (channels, height, width), resize=self._resize, where=name, notes=notes
        )
        return iter([Sample(name, x, tuple(notes))])


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
        self,
        data: Mapping[str, Any],
        shape: Sequence[int],
        time_unit: str | None,
        *,
        split: bool,
        topic: str | None = None,
        fit: Fit | None = None,
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
        self._topic, self._fit = topic, fit
        self._split = split or config.get("split_at_reset") is True
        if not _sound(self._sensor, self._window_us):
            raise _no_framing()
        if "steps" not in fields or (self._framing.steps, self._framing.channels) != shape[:2]:
            raise _no_framing()
        self._shape, self._size = tuple(shape), tuple(shape[2:])
        self.several = self._split or self._window_us is not None

    @property
    def framing(self) -> PlainFraming:
        """How recordings become frames."""
        return self._framing

    @property
    def sensor(self) -> tuple[int, int] | None:
        """Width and height of the camera, where the ticket says."""
        return (self._sensor[0], self._sensor[1]) if self._sensor else None

    @property
    def window_us(self) -> int | None:
        """The windows that recordings are cut into, where they are."""
        return self._window_us

    @property
    def time_unit(self) -> Any:
        """Of times in files that do not say."""
        return self._unit

    @property
    def dataset(self) -> str:
        """The name of the data set."""
        return self._name

    def read(self, path: Path) -> Iterator[Sample]:
        """One sample, or one a window where the recipe cuts recordings into windows."""
        from spiketicket.events import read_events, read_stretches

        if path == STANDARD_INPUT:
            what = "a recording cannot be read from standard input"
            raise UserError(what, where="-", remedy="Give its file")
        from spiketicket.events.fit import mismatch
        from spiketicket.events.formats._header import SensorError

        how: dict[str, Any] = {"time_unit": self._unit, "topic": self._topic}
        if self._sensor and self._fit is None:
            how["sensor"] = tuple(self._sensor)
        try:
            found = read_stretches(path, **how) if self._split else [read_events(path, **how)]
        except SensorError as error:
            raise mismatch(error.sensor, how["sensor"], str(path)) from error
        for number, events in enumerate(found, 1):
            name = f"{path} part {number} of {len(found)}" if len(found) > 1 else str(path)
            yield from self._samples(path, name, self._fit(events) if self._fit else events)

    def take(self, given: Any, name: str) -> Iterator[Sample] | None:
        """A recording, or its frames as an engine takes them."""
        import numpy as np

        from spiketicket.events.types import Events

        if isinstance(given, Events):
            return self._samples(None, name, given)
        if not isinstance(given, np.ndarray):
            return None
        if given.shape != self._shape:
            raise UserError(
                f"frames must have the shape {list(self._shape)}",
                where=name,
                value=list(given.shape),
                remedy="Give the recording itself, which is framed as the ticket says",
            )
        return iter([Sample(name, given)])

    def _samples(self, path: Path | None, called: str, events: Any) -> Iterator[Sample]:
        from spiketicket.events.fit import mismatch
        from spiketicket.events.frames import narrow, to_frames
        from spiketicket.events.published import is_transposed
        from spiketicket.events.types import Events

        if path is not None and is_transposed(self._name, path):
            data = events.data.copy()
            data["x"], data["y"] = events.y, events.x
            events = Events(data, events.height, events.width, events.notes)
        for name, part, span in self._windows(called, events):
            frames = narrow(to_frames(part, self._framing, span))
            if frames.shape[2:] != self._size:
                raise mismatch(events.sensor, (self._size[1], self._size[0]), called)
            yield Sample(name, frames, events.notes)

    def _windows(
        self, called: str, events: Any
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
                where=called,
                value=events.duration_us,
            )
        for start in range(first, first + count * length, length):
            cut = slice(*np.searchsorted(events.t, (start, start + length)))
            part = Events(events.data[cut], events.width, events.height, events.notes)
            yield f"{called} {start}-{start + length} us", part, (start, start + length)


def reader_for(
    engine: Engine,
    *,
    resize: bool,
    time_unit: str | None = None,
    split: bool = False,
    topic: str | None = None,
    fit: Fit | None = None,
) -> Reader:
    """What reads the inputs of a ticket; ``time_unit``, ``split`` (at resets), ``topic`` and
    ``fit`` are for recordings.

    Raises:
        UserError: no file can be an input of this ticket, it does not say how, or an option is
            not for such files.
    """
    data = engine.metadata.get("data")
    table = data if isinstance(data, dict) else {}
    config = table.get("config")
    events = engine.program.frames > 1 or (isinstance(config, dict) and "steps" in config)
    if not events:
        asked: dict[str, Any] = {"time_unit": time_unit, "split_at_reset": split, "topic": topic}
        asked |= {"roi": fit and fit.roi, "scale": fit and fit.scale}
        for name, given in asked.items():
            if given:
                what = "is for recordings, and this ticket classifies pictures"
                raise UserError(what, where=argument(name), remedy="Leave it out")
        return Pictures(engine.input_shape, resize=resize)
    if resize:
        what = "recordings are not resized: their frames have the size of the recipe"
        raise UserError(
            what,
            where=argument("resize"),
            remedy=f"Leave it out; {argument('scale')} makes recordings smaller",
        )
    p = engine.program
    shape = (p.frames, p.channels, p.height, p.width)
    return Recordings(table, shape, time_unit, split=split, topic=topic, fit=fit)


def samples_of(reader: Reader, given: Any, where: str = "x") -> tuple[list[Sample], bool]:
    """The samples in what a person gives, and whether they are a list and not one.

    That is a path, a picture of Pillow, an array or tensor, a recording, a list of them, a batch,
    or a folder. Recordings that are cut are lists.

    Raises:
        UserError: one cannot be read, or nothing is given.
        TypeError: it is none of these.
    """
    import numpy as np

    if isinstance(given, str | os.PathLike):
        return _of_path(reader, Path(given))
    if isinstance(given, list | tuple):
        found = [
            sample
            for index, each in enumerate(given)
            for sample in samples_of(reader, each, f"{where}[{index}]")[0]
        ]
        return found, True
    if type(given).__module__.partition(".")[0] == "torch" and hasattr(given, "detach"):
        given = given.detach().cpu().numpy()
    batch = 5 if isinstance(reader, Recordings) else 4
    if isinstance(given, np.ndarray) and given.ndim == batch:
        return samples_of(reader, list(given), where)
    taken = reader.take(given, where)
    if taken is None:
        words = "a recording or its frames" if isinstance(reader, Recordings) else "a picture"
        what = f"must be {words}, as a path, an object, an array or a tensor, or a list of them"
        raise TypeError(str(UserError(what, where=where, value=type(given).__name__)))
    return list(taken), reader.several


def _of_path(reader: Reader, path: Path) -> tuple[list[Sample], bool]:
    found: list[Sample] = []
    for file in expand([path], reader.suffixes):
        if isinstance(file, UserError):
            raise file
        try:
            found += reader.read(file)
        except OSError as error:
            raise UserError(error.strerror or str(error), where=str(file)) from error
    return found, reader.several or path.is_dir()


def _pixels(given: Any, name: str) -> NDArray[np.uint8] | None:
    """An array as pixels, uint8; None where it is no array.

    Raises:
        UserError: values that are no pixels.
    """
    import numpy as np

    if not isinstance(given, np.ndarray):
        return None
    if given.dtype == np.uint8:
        return given
    if given.dtype.kind != "f":
        what = "must be uint8, or floats from 0 to 1"
        raise UserError(what, where=name, value=str(given.dtype))
    if given.size and not (given.min() >= 0 and given.max() <= 1):  # NaN is not, either
        raise UserError(
            "floats must be from 0 to 1, the pixels divided by 255",
            where=name,
            value=[float(given.min()), float(given.max())],
            remedy="Values that are normalised already are for Engine.run and Engine.predict",
        )
    return np.asarray(np.rint(given.astype(np.float64) * 255), np.uint8)


def _channels_last(pixels: NDArray[np.uint8], name: str) -> NDArray[np.uint8]:
    """Pixels as Pillow takes them: [H, W], or [H, W, 3], or [H, W, 4] with transparency."""
    import numpy as np

    if pixels.ndim == 3 and pixels.shape[2] not in (1, 3, 4) and pixels.shape[0] in (1, 3, 4):
        pixels = pixels.transpose(1, 2, 0)
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    if not pixels.size or pixels.ndim not in (2, 3) or pixels.shape[2:] not in ((), (3,), (4,)):
        raise UserError(
            "must be a picture: [H, W], [H, W, C] or [C, H, W] with 1, 3 or 4 channels",
            where=name,
            value=list(pixels.shape),
        )
    return np.ascontiguousarray(pixels)


def expand(inputs: Sequence[Path], suffixes: Sequence[str]) -> Iterator[Path | UserError]:
    """The files of ``inputs`` in order, those of a folder and the folders in it sorted by name.

    What is not there, and a folder without a fitting file, comes as the error it is.
    """
    from spiketicket.events import is_bag

    for given in inputs:
        if given == STANDARD_INPUT:
            yield given
        elif given.is_dir() and not is_bag(given):
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
            remedy = f"Give a file ({', '.join(suffixes)}) or a folder of them"
            yield UserError("no such file or folder", where=str(given), remedy=remedy)


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
