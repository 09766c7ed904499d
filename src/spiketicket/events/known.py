"""Which formats there are, and which of them a file is: told by its content and its name."""

from __future__ import annotations

import contextlib
import functools
import importlib
import pkgutil
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Final, Protocol, cast

from spiketicket.errors import UserError, argument
from spiketicket.events.formats._bag import Topic, files_of, recording_of
from spiketicket.events.reading import Recording
from spiketicket.events.types import TimeUnit, check_sensor
from spiketicket.machine.bounded import open_regular

_SURE: Final = 4
"""Bytes of a signature that events, which begin with any bytes, do not have by chance."""


class _Format(Protocol):
    TITLE: str
    SUFFIXES: tuple[str, ...]
    MAGIC: bytes

    def open_recording(self, path: Path, sensor: tuple[int, int] | None) -> Recording: ...


class _FormatOfTopics(_Format, Protocol):
    """A format whose files may hold several streams of events."""

    def open_topic(
        self, path: Path, sensor: tuple[int, int] | None, topic: str | None
    ) -> Recording: ...


class _Bag(_Format, Protocol):
    """A format of the bags of ROS 2."""

    def open_messages(
        self, path: Path, topic: str | None, notes: list[str]
    ) -> tuple[Topic, Iterator[bytes]]: ...


def known_suffixes() -> tuple[str, ...]:
    """The ends of names that recordings may have, sorted: ".aedat", ".bin", ..."""
    return tuple(sorted({suffix for known in _formats() for suffix in known.SUFFIXES}))


def is_bag(path: Path) -> bool:
    """Whether this is the folder of a ROS 2 bag: a recording, and no folder of recordings."""
    if not (path / "metadata.yaml").is_file():
        return False
    return bool(files_of(path, [suffix for known in _bags() for suffix in known.SUFFIXES]))


def open_recording(
    path: Path,
    sensor: tuple[int, int] | None,
    time_unit: TimeUnit | None,
    topic: str | None,
) -> Recording:
    """Open a file, or the folder of a bag; the arguments are those of ``read_events``.

    Raises:
        UserError: no known format, or the file is none of it.
        OSError: it cannot be read.
    """
    if sensor is not None:
        check_sensor(sensor, where="sensor")
    if path.is_dir():
        return _open_folder(path, sensor, topic)
    known = _format(path, _head(path))
    if hasattr(known, "open_topic"):
        recording = cast("_FormatOfTopics", known).open_topic(path, sensor, topic)
    elif topic is not None:
        what = f"is for bags and HDF5 files; {path.name} is {known.TITLE} and has one stream"
        raise UserError(what, where=argument("topic"), value=topic, remedy="Leave it out")
    else:
        recording = known.open_recording(path, sensor)
    if recording.plain is not None:
        recording.plain.asked = time_unit
    return recording


def _open_folder(path: Path, sensor: tuple[int, int] | None, topic: str | None) -> Recording:
    """The files of a bag, one after the other."""
    suffixes = [suffix for known in _bags() for suffix in known.SUFFIXES]
    files = files_of(path, suffixes)
    if not files:
        what = f"is a folder, and no bag of ROS 2: no {_either(suffixes)} file lies in it"
        raise UserError(what, where=str(path), remedy="Give a file")
    notes: list[str] = []
    chosen, messages = _messages(files[0], topic, notes)

    def following() -> Iterator[bytes]:
        for file in files[1:]:
            yield from _messages(file, chosen.name, notes)[1]

    return recording_of(chain(messages, following()), chosen, path, sensor, notes)


def _messages(file: Path, topic: str | None, notes: list[str]) -> tuple[Topic, Iterator[bytes]]:
    known = _format(file, _head(file))
    return next(bag for bag in _bags() if bag is known).open_messages(file, topic, notes)


def _head(path: Path) -> bytes:
    file, _ = open_regular(path)
    with file:
        return file.read(16)


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[None]:
    """What the system refuses inside is told as the error of the file."""
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror}", where=str(path)) from error
    except MemoryError as error:
        what = "does not fit into memory"
        remedy = "Read parts of it with spiketicket.events.read_spans or iter_chunks"
        raise UserError(what, where=str(path), remedy=remedy) from error


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


def _bags() -> list[_Bag]:
    return [cast("_Bag", known) for known in _formats() if hasattr(known, "open_messages")]


@functools.cache
def _formats() -> tuple[_Format, ...]:
    folder = Path(__file__).parent / "formats"
    names = sorted(module.name for module in pkgutil.iter_modules([str(folder)]))
    modules = (f"{__package__}.formats.{name}" for name in names if not name.startswith("_"))
    return tuple(cast("_Format", importlib.import_module(module)) for module in modules)
