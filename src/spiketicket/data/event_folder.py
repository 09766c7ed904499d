"""Your own recordings of an event camera: a folder for each class.

    ROOT/train/cat/1.aedat4  ROOT/test/cat/9.bin    with a test part of your own, or
    ROOT/cat/1.aedat4                               of which a part becomes the test part

Beside train and test, ROOT/val/cat/1.dat is the validation split, in place of one that is drawn.

Any format that ``spiketicket.events`` reads. A class is called like its folder and classes are
sorted by name, as are the files of a class. With ``window_us`` every recording is cut into windows
of that length, from its first event on; what is left at its end is left out. With
``split_at_reset`` a file whose clock was reset becomes several recordings, and each is cut into
windows by itself. All samples of a file are on one side of every split.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Gt, Lt

from spiketicket.data import split, store
from spiketicket.data.copies import Labelled
from spiketicket.data.folders import VALIDATION, class_folders, parts_in, same_classes
from spiketicket.data.recordings import (
    MEAN,
    STD,
    Parts,
    Reading,
    Recording,
    TimedConfig,
    framed,
    one,
)
from spiketicket.data.recordings import survey as survey_parts
from spiketicket.data.types import Dataset, DatasetInfo, Survey
from spiketicket.errors import UserError
from spiketicket.events import Events, known_suffixes
from spiketicket.events.frame_config import Side
from spiketicket.recipe import Inside, Microseconds, Seed

INFO = DatasetInfo(
    name="event_folder",
    title="Your own recordings of an event camera: a folder for each class",
    licence="your own",
    citation="",
    homepage="",
    obtain="Put your recordings at DIR/train/CLASS/ and DIR/test/CLASS/, or at DIR/CLASS/",
)


class Config(TimedConfig):
    """Recordings in a folder for each class, below ``root``.

    ``root`` is not part of a recipe's hash, ``folder`` is: name the recordings with it.
    """

    name: Literal["event_folder"] = "event_folder"
    folder: Inside = ""
    """Path below ``root`` of the folder with the classes; empty is ``root`` itself. It does not
    leave ``root``; a symbolic link in there is followed."""
    sensor: tuple[Side, Side] | None = None
    """Width and height; needed for formats that do not tell it."""
    window_us: Annotated[Microseconds, Ge(1)] | None = None
    """Length of a sample; None is a whole recording."""
    split_at_reset: bool = False
    """Cut files where their clock was reset into recordings of their own; else that is an error."""
    test_fraction: Annotated[float, Gt(0), Lt(1)] = 0.2
    """Fraction of the recordings that becomes the test part where there is no train/ and test/."""
    split_seed: Seed = 0
    """Seed of that draw; the recipe's own seed does not change it."""

    def sides_of_sensor(self) -> tuple[int, int] | None:
        """Width and height of the sensor, where they are stated."""
        return self.sensor


def load(config: Config) -> Dataset:
    """Read every recording.

    Raises:
        UserError: no such folder, fewer than two classes, a class without recordings, a file that
            cannot be read, or recordings of different sensors where no frame size is given.
    """
    left_out: list[str] = []
    folder, classes, parts = _found(config, left_out)
    parts = {part: _samples(rows, config) for part, rows in parts.items()}
    samples, notes = framed(INFO.name, config, folder, parts, _reading(config))
    channels = config.channels
    return Dataset(
        name=config.folder or INFO.name,
        train=samples["train"],
        test=samples["test"],
        validation=samples.get(VALIDATION),
        classes=classes,
        mean=(MEAN,) * channels,
        std=(STD,) * channels,
        licence=INFO.licence,
        citation=INFO.citation,
        notes=(*left_out, *notes),
    )


def recording(config: Config, index: int, part: str = "train") -> tuple[Events, str]:
    """The events of one sample, and its file's name."""
    parts = {name: _samples(rows, config) for name, rows in _found(config, [])[2].items()}
    return one(parts, index, part, _reading(config))


def labelled(config: Config) -> Labelled:
    """The files of each part and their classes.

    Raises:
        UserError: as :func:`load`, but for what is in the recordings.
    """
    parts = _found(config, [])[2]
    return {part: [(row.path, row.label) for row in rows] for part, rows in parts.items()}


def survey(config: Config) -> Survey:
    """What the recordings are, broken ones told apart."""
    parts = _found(config, [])[2]
    return survey_parts(parts, _reading(config), split=config.split_at_reset)


def _reading(config: Config) -> Reading:
    return Reading(config.sensor, config.time_unit)


def _found(config: Config, notes: list[str]) -> tuple[Path, tuple[str, ...], Parts]:
    folder = store.data_root(config.root, INFO.name) / config.folder
    if found := parts_in(folder, INFO.obtain, notes):
        trees = {part: _tree(folder / part, notes) for part in found}
        classes = same_classes(folder, trees)
        return folder, classes, {part: _recordings(tree) for part, tree in trees.items()}
    tree = _tree(folder, notes)
    rows = _recordings(tree)
    y = np.array([row.label for row in rows], np.int64)
    fraction, classes = config.test_fraction, tuple(tree)
    chosen = set(
        split.drawn(
            y, fraction, config.split_seed, classes=classes, part="test", where="data.test_fraction"
        ).tolist()
    )
    train, test = ([r for i, r in enumerate(rows) if (i in chosen) == side] for side in (0, 1))
    return folder, classes, {"train": train, "test": test}


def _tree(folder: Path, notes: list[str]) -> dict[str, list[Path]]:
    return class_folders(folder, known_suffixes(), "recording", INFO.obtain, notes)


def _recordings(tree: dict[str, list[Path]]) -> list[Recording]:
    return [
        Recording(path=path, label=label)
        for label, paths in enumerate(tree.values())
        for path in paths
    ]


def _samples(rows: Sequence[Recording], config: Config) -> Sequence[Recording]:
    """The samples that the files become; reads them where they are cut."""
    if config.window_us is None and not config.split_at_reset:
        return rows
    reading, found = _reading(config), []
    for row in rows:
        if config.split_at_reset:
            for stretch, events in enumerate(reading.stretches(row.path)):
                found += _windows(replace(row, stretch=stretch), events, config.window_us)
        else:
            found += _windows(row, reading.whole(row.path), config.window_us)
    return found


def _windows(row: Recording, events: Events, length: int | None) -> list[Recording]:
    if length is None:
        return [row]
    start, count = int(events.t[0]), (events.duration_us + 1) // length
    if not count:
        raise UserError(
            f"is shorter than one window of {length} us",
            where=str(row.path),
            value=events.duration_us,
            remedy="Set data.window_us, or take the file away",
        )
    return [
        replace(row, span_us=(start + i * length, start + (i + 1) * length)) for i in range(count)
    ]
