"""What lies in a folder of a user's own pictures or recordings, before there is a recipe for it."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np

from spiketicket.data import event_folder, image_folder
from spiketicket.data.copies import Labelled
from spiketicket.data.folders import VALIDATION, class_folders, parts_in, same_classes
from spiketicket.data.recordings import Reading
from spiketicket.errors import UserError, argument
from spiketicket.events import known_suffixes
from spiketicket.events.reading import NO_SENSOR
from spiketicket.machine.pictures import SUFFIXES, picture_size, read_picture
from spiketicket.recipe import DataConfig, parse_data

_LOOKED_AT: Final = 200
"""Pictures whose pixels say whether all are grey."""
_GREY_SIDE: Final = 32


@dataclass(frozen=True, kw_only=True)
class Look:
    """Classes, and the files of each part; ``train`` has all where the folder has no parts."""

    root: Path
    config: DataConfig
    classes: tuple[str, ...]
    files: Labelled
    notes: tuple[str, ...]

    @property
    def parted(self) -> bool:
        """Whether the folder has a test part of its own."""
        return "test" in self.files

    @property
    def validated(self) -> bool:
        """Whether the folder has a validation split of its own."""
        return VALIDATION in self.files

    def counts(self, part: str) -> tuple[int, ...]:
        """Files of each class in a part."""
        found = Counter(label for _, label in self.files.get(part, ()))
        return tuple(found[label] for label in range(len(self.classes)))


@dataclass(frozen=True, kw_only=True)
class Pictures(Look):
    """Pictures: (width, height) of each kind with its number, and whether all are grey."""

    sizes: Counter[tuple[int, int]]
    grey: bool

    @property
    def side(self) -> int:
        """The shorter side of the picture in the middle, in pixels."""
        sides = sorted(min(size) for size in self.sizes.elements())
        return sides[(len(sides) - 1) // 2]


@dataclass(frozen=True, kw_only=True)
class Recordings(Look):
    """Recordings: (width, height) of the sensor, whether the files tell it, times and counts."""

    sensor: tuple[int, int]
    told: bool
    durations_us: tuple[int, ...] = field(repr=False)
    counts_of_events: tuple[int, ...] = field(repr=False)
    reset: bool

    @property
    def duration_us(self) -> int:
        """Of the recording in the middle."""
        return round(median(self.durations_us))


def look_at_pictures(root: str | Path, settings: Sequence[str] = ()) -> Pictures:
    """Look into a folder of pictures; ``settings`` are ``data.key=value`` texts.

    The header of every picture is read, and the pixels of some.

    Raises:
        UserError: it is no data set, or a picture cannot be read.
    """
    found = _found(Path(root), settings, image_folder, "picture", SUFFIXES, other="events")
    paths = [path for files in found["files"].values() for path, _ in files]
    some = paths[:: max(1, len(paths) // _LOOKED_AT)]
    sizes = Counter(picture_size(path) for path in paths)
    return Pictures(**found, sizes=sizes, grey=all(_is_grey(path) for path in some))


def look_at_recordings(root: str | Path, settings: Sequence[str] = ()) -> Recordings:
    """Look into a folder of recordings, every one of which is read.

    Raises:
        UserError: it is no data set, a recording cannot be read, or they are of many sensors.
    """
    found = _found(
        Path(root), settings, event_folder, "recording", known_suffixes(), other="images"
    )
    config: Any = found["config"]
    reading = Reading(config.sensor, config.time_unit)
    durations, counts, sensors, told, reset = [], [], Counter[tuple[int, int]](), True, False
    for path, _ in itertools.chain(*found["files"].values()):
        stretches = reading.stretches(path)
        reset |= len(stretches) > 1
        durations += [events.duration_us for events in stretches]
        counts += [len(events) for events in stretches]
        told &= not any(note.startswith(NO_SENSOR) for note in stretches[0].notes)
        sensors[stretches[0].sensor] += 1
    if told and len(sensors) > 1:
        (first, _), (other, few) = sensors.most_common(2)
        what = f"holds recordings of different sensors: {list(first)}, and {few} of {list(other)}"
        remedy = "Keep those of one sensor in one folder"
        raise UserError(what, where=str(root), remedy=remedy)
    width, height = (max(sides) for sides in zip(*sensors, strict=True))
    return Recordings(
        **found,
        sensor=(width, height),
        told=told,
        durations_us=tuple(durations),
        counts_of_events=tuple(counts),
        reset=reset,
    )


def _found(
    root: Path,
    settings: Sequence[str],
    choice: Any,
    noun: str,
    suffixes: Sequence[str],
    *,
    other: str,
) -> dict[str, Any]:
    """The fields of a :class:`Look`."""
    config = parse_data(choice.INFO.name, str(root), settings)
    folder = root / getattr(config, "folder", "")
    notes: list[str] = []
    try:
        parts = parts_in(folder, choice.INFO.obtain, notes)
        trees = {
            part or "train": class_folders(folder / part, suffixes, noun, choice.INFO.obtain, notes)
            for part in parts or ("",)
        }
        classes = same_classes(folder, trees)
    except UserError:
        others = known_suffixes() if other == "events" else SUFFIXES
        if folder.is_dir() and _has(folder, others) and not _has(folder, suffixes):
            what = f"holds {'recordings' if other == 'events' else 'pictures'}, not {noun}s"
            remedy = f"Give it as {argument(other)}"
            raise UserError(what, where=str(folder), remedy=remedy) from None
        raise
    files = {
        part: [(path, label) for label, name in enumerate(classes) for path in tree[name]]
        for part, tree in trees.items()
    }
    return {
        "root": root,
        "config": config,
        "classes": classes,
        "files": files,
        "notes": tuple(notes),
    }


def _has(folder: Path, suffixes: Sequence[str]) -> bool:
    """Whether there is such a file in a folder or in the two levels below it."""

    def entries() -> Iterator[Path]:
        for pattern in ("*", "*/*", "*/*/*"):
            yield from folder.glob(pattern)

    return any(path.suffix.lower() in suffixes for path in itertools.islice(entries(), 10_000))


def _is_grey(path: Path) -> bool:
    pixels = read_picture(path, 3, _GREY_SIDE, _GREY_SIDE, resize=True)
    return bool(np.ptp(pixels, axis=0).max() == 0)
