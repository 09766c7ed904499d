"""What the data sets of recordings share: files to frames, by way of the cache.

A sample is a recording or a span of one, framed as the recipe says. The frames are cached under
everything that they are a function of: the files' contents, the spans, and the framing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final

import numpy as np
from annotated_types import Ge, Interval, Lt
from numpy.typing import NDArray
from pydantic import SerializerFunctionWrapHandler, model_serializer, model_validator

from spiketicket.data.notes import Notes, alike
from spiketicket.data.types import Samples, Survey
from spiketicket.errors import UserError
from spiketicket.events import Events, TimeUnit, read_events, read_spans, read_stretches
from spiketicket.events.cache import cached, source_digest
from spiketicket.events.frame_config import FrameConfig
from spiketicket.events.frames import narrow, to_frames
from spiketicket.recipe import DataConfig

MEAN, STD = 0.0, 1 / 255
"""Of a channel: counts reach the network as they are."""


class RecordingConfig(DataConfig, FrameConfig):
    """Framing, and what is done to training frames at random beside ``pad_crop`` and ``flip``."""

    camera: ClassVar[tuple[int, int] | None] = None
    """Width and height of the sensor, where it is always the same."""
    side_keys = ("height", "width")

    drop_events: Annotated[float, Ge(0), Lt(1)] = 0.0
    """Probability with which each event of a training sample is left out, drawn anew each time."""
    jitter_events: Annotated[float, Interval(ge=0, le=1)] = 0.0
    """Largest change of an event's time in training, either way, as a share of a frame's duration;
    drawn anew each time."""

    def stated_shape(self) -> tuple[int, int, int] | None:
        """Channels, height and width of a frame, where the settings alone say them."""
        width, height = self.sides_of_sensor() or (None, None)
        height, width = self.height or height, self.width or width
        return None if height is None or width is None else (self.channels, height, width)

    def sides_of_sensor(self) -> tuple[int, int] | None:
        """Width and height of the sensor, where they are known."""
        return self.camera

    @model_validator(mode="after")
    def _events_are_counted(self) -> RecordingConfig:
        for name in ("drop_events", "jitter_events"):
            if getattr(self, name) and self.values == "binary":
                raise ValueError(f"{name} needs values=sum: binary frames do not count events")
        return self


class TimedConfig(RecordingConfig):
    """Of data sets whose files may be ``.npz`` or ``.npy``, which have no unit of time."""

    time_unit: TimeUnit | None = None
    """What their times are counted in; None is microseconds, milliseconds in an array [N, 4]."""

    @model_serializer(mode="wrap")
    def _as_before(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """What is at its default is left out, so that tickets keep their bytes."""
        table: dict[str, Any] = plain(self)
        for name in ("time_unit", "split_at_reset"):
            if name in table and not table[name]:
                del table[name]
        return table


@dataclass(frozen=True, kw_only=True)
class Recording:
    """A sample's file and class; ``span_us`` (start, stop) where it is a part of the recording.

    ``stated`` is where the span is stated: a file beside the recording, and a line. Such a span is
    a recording of its own: its first and last event set the time steps, and it must have events.
    ``group`` names what a split keeps together; where it is empty, that is the file.
    ``transposed`` exchanges rows and columns, for a camera that lay on its side. ``stretch`` is
    which recording of the file it is, or is in, where files are cut at resets of their clock.
    """

    path: Path
    label: int
    span_us: tuple[int, int] | None = None
    stated: str = ""
    group: str = ""
    transposed: bool = False
    stretch: int | None = None

    @property
    def where(self) -> str:
        """The file that is to be looked at when something is wrong with the sample."""
        return str(self.path.with_name(self.stated) if self.stated else self.path)


@dataclass(frozen=True)
class Reading:
    """What must be known to read the files of a data set."""

    sensor: tuple[int, int] | None = None
    time_unit: TimeUnit | None = None

    def whole(self, path: Path) -> Events:
        """All events of a file."""
        return read_events(path, sensor=self.sensor, time_unit=self.time_unit)

    def stretches(self, path: Path) -> list[Events]:
        """The recordings in a file, cut where its clock was reset."""
        return read_stretches(path, sensor=self.sensor, time_unit=self.time_unit)

    def spans(self, path: Path, spans: Sequence[tuple[int, int]]) -> list[Events]:
        """Parts of a file."""
        return read_spans(path, spans, sensor=self.sensor, time_unit=self.time_unit)

    def parts(self, path: Path, rows: Sequence[Recording]) -> list[Events]:
        """The events of samples of one file, which are all spans, or all none, or stretches."""
        if rows[0].stretch is not None:
            found = self.stretches(path)
            cut = [(found[row.stretch or 0], row.span_us) for row in rows]
            return [events.span(*span) if span else events for events, span in cut]
        if spans := [row.span_us for row in rows if row.span_us is not None]:
            return self.spans(path, spans)
        return [self.whole(path)] * len(rows)


Parts = Mapping[str, Sequence[Recording]]
"""The recordings of ``train`` and of ``test``, and of ``val`` where there is one."""

_NEVER: Final = 2**63 - 1
"""Behind the time of any event."""


def frame_config(config: RecordingConfig) -> FrameConfig:
    """The framing alone."""
    return FrameConfig(**{name: getattr(config, name) for name in FrameConfig.model_fields})


def framed(
    name: str, config: RecordingConfig, root: Path, parts: Parts, reading: Reading
) -> tuple[dict[str, Samples], tuple[str, ...]]:
    """Frames of every recording, by part, and notes on how they were read.

    Samples of one file, or of one ``group``, are of one group of the samples, so that a split
    never has it on both sides.

    Raises:
        UserError: a file cannot be read, or gives no frames (with its path); a stated span is
            without events (with the place where it is stated).
    """
    framing = frame_config(config)
    files = sorted({r.path for rows in parts.values() for r in rows})
    where = {path: index for index, path in enumerate(files)}
    together = {_together(r) for rows in parts.values() for r in rows}
    group = {name: index for index, name in enumerate(sorted(together))}
    key = {
        "dataset": name,
        "source": source_digest(files, root),
        "framing": framing.model_dump(mode="json"),
        "sensor": reading.sensor,
        "time_unit": reading.time_unit,
        "samples": {
            part: [
                [where[r.path], r.label, r.span_us, r.stated, r.transposed, r.stretch] for r in rows
            ]
            for part, rows in parts.items()
        },
    }
    found = cached(key, lambda: _build(parts, framing, reading))
    samples = {
        part: Samples(
            found.arrays[f"{part}_x"],
            np.array([r.label for r in rows], np.int64),
            np.array([group[_together(r)] for r in rows], np.int64),
        )
        for part, rows in parts.items()
    }
    read = [str(note) for note in found.arrays["notes"]]
    return samples, (*read, *found.notes)


def _together(row: Recording) -> tuple[str, ...]:
    return (row.group,) if row.group else row.path.parts


def _build(parts: Parts, framing: FrameConfig, reading: Reading) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {}
    notes: Notes = []
    seen: tuple[tuple[int, int], Path] | None = None
    for part, rows in parts.items():
        name = f"{part}_x"
        for index, events in _read(rows, reading, notes):
            seen = seen or (events.sensor, rows[index].path)
            _check_sensor(events.sensor, rows[index].path, *seen)
            frames = _frames(events, framing, rows[index])
            # Frames are by far the most of the memory: bytes, as long as no count is above 255.
            if name not in arrays:
                arrays[name] = np.empty((len(rows), *frames.shape), frames.dtype)
            arrays[name] = arrays[name].astype(
                np.promote_types(arrays[name].dtype, frames.dtype), copy=False
            )
            arrays[name][index] = frames
    kind = np.result_type(*(array.dtype for array in arrays.values()))
    arrays = {name: array.astype(kind, copy=False) for name, array in arrays.items()}
    # An array of texts has the width of its longest; without any it has none.
    arrays["notes"] = np.array(alike(notes), dtype=np.str_)
    return arrays


def _frames(events: Events, framing: FrameConfig, row: Recording) -> NDArray[Any]:
    try:
        return narrow(to_frames(events, framing, None if row.stated else row.span_us))
    except UserError as error:
        raise UserError(
            error.what, where=row.where, value=error.value, remedy=error.remedy
        ) from error


def _check_sensor(
    sensor: tuple[int, int], path: Path, first: tuple[int, int], first_path: Path
) -> None:
    """Frames of sensors of different sizes would not show the same place at the same pixel."""
    if sensor != first:
        raise UserError(
            f"is of another sensor than {first_path.name}: {list(sensor)} and not {list(first)}",
            where=str(path),
            remedy="Set data.sensor = [width, height] where the files do not tell it, or keep"
            " recordings of other sensors in another folder",
        )


def _read(
    rows: Sequence[Recording], reading: Reading, notes: Notes
) -> Iterator[tuple[int, Events]]:
    """Every sample's events with its index; a file is read once for all its spans."""
    by_file: dict[Path, list[int]] = defaultdict(list)
    for index, row in enumerate(rows):
        by_file[row.path].append(index)
    for path, indices in by_file.items():
        here = [rows[i] for i in indices]
        parts = _stated(path, here, reading, notes) if here[0].stated else reading.parts(path, here)
        notes += [(path.name, note) for note in parts[0].notes]
        for index, events in zip(indices, parts, strict=True):
            yield index, _turned(events, rows[index])


def _stated(path: Path, rows: Sequence[Recording], reading: Reading, notes: Notes) -> list[Events]:
    """The events of each row's stated span of a file, which are checked against the file's end."""
    spans = [row.span_us for row in rows if row.span_us is not None]
    rest = (max(stop for _, stop in spans) - 1, _NEVER)
    *parts, behind = reading.spans(path, [*spans, rest])
    for row, (start, stop), part in zip(rows, spans, parts, strict=True):
        if not len(part):
            what = f"{path.name} has no event from {start} to {stop} us"
            remedy = "Correct the times, or take the line out; is the recording cut off?"
            raise UserError(what, where=row.where, remedy=remedy)
    last = max(int(part.t[-1]) for part in (*parts, behind) if len(part))
    for row, (_, stop) in zip(rows, spans, strict=True):
        if last < stop - 1:
            what = f"ends {stop - 1 - last} us behind the last event of {path.name}"
            notes.append((row.stated, what))
    return parts


def _turned(events: Events, row: Recording) -> Events:
    if not row.transposed:
        return events
    data = events.data.copy()
    data["x"], data["y"] = events.y, events.x
    return Events(data, events.height, events.width, events.notes)


def one(parts: Parts, index: int, part: str, reading: Reading) -> tuple[Events, str]:
    """The events of one sample, and its file's name.

    Raises:
        UserError: there are not as many samples.
    """
    rows = parts.get(part)
    if rows is None:
        raise UserError("is no part of this data set", where="part", value=part)
    if not 0 <= index < len(rows):
        raise UserError(
            f"must be from 0 to {len(rows) - 1}, the {part} samples", where="index", value=index
        )
    row = rows[index]
    return _turned(reading.parts(row.path, [row])[0], row), row.path.name


def survey(parts: Parts, reading: Reading, *, split: bool = False) -> Survey:
    """Read every recording of a data set by itself: how long, how many events, which are broken."""
    durations, counts, broken = [], [], []
    noted, remarks = 0, Notes()
    for path in sorted({r.path for rows in parts.values() for r in rows}):
        try:
            found = reading.stretches(path) if split else [reading.whole(path)]
        except UserError as error:
            broken.append(str(error))
            continue
        durations.append(sum(events.duration_us for events in found))
        counts.append(sum(len(events) for events in found))
        noted += bool(found[0].notes)
        remarks += [(path.name, note) for note in found[0].notes]
    return Survey(
        durations_us=tuple(durations),
        counts=tuple(counts),
        broken=tuple(broken),
        noted=noted,
        remarks=tuple(alike(remarks)),
    )
