"""Your own recordings of an event camera: a folder for each class.

    ROOT/train/cat/1.aedat4  ROOT/test/cat/9.bin    with a test part of your own, or
    ROOT/cat/1.aedat4                               of which a part becomes the test part

Any format that ``spiketicket.events`` reads. A class is called like its folder and classes are
sorted by name, as are the files of a class. With ``window_us`` every recording is cut into windows
of that length, from its first event on; what is left at its end is left out. All windows of a
recording are on one side of every split.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Gt, Lt

from spiketicket.data import _split, _store
from spiketicket.data._folders import PARTS, class_folders, has_parts, same_classes
from spiketicket.data._recordings import MEAN, STD, Parts, Recording, RecordingConfig, framed, one
from spiketicket.data._recordings import survey as survey_parts
from spiketicket.data._types import Dataset, DatasetInfo, Survey
from spiketicket.errors import UserError
from spiketicket.events import Events, known_suffixes, read_events
from spiketicket.events.frames import Side
from spiketicket.recipe import Inside, Microseconds, Seed

INFO = DatasetInfo(
    name="event_folder",
    title="Your own recordings of an event camera: a folder for each class",
    licence="your own",
    citation="",
    homepage="",
    obtain="Put your recordings at DIR/train/CLASS/ and DIR/test/CLASS/, or at DIR/CLASS/",
)


class Config(RecordingConfig):
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
    test_fraction: Annotated[float, Gt(0), Lt(1)] = 0.2
    """Fraction of the recordings that becomes the test part where there is no train/ and test/."""
    split_seed: Seed = 0
    """Seed of that draw; the recipe's own seed does not change it."""


def load(config: Config) -> Dataset:
    """Read every recording.

    Raises:
        UserError: no such folder, fewer than two classes, a class without recordings, a file that
            cannot be read, or recordings of different sensors where no frame size is given.
    """
    left_out: list[str] = []
    folder, classes, parts = _found(config, left_out)
    if config.window_us is not None:
        parts = {part: _windows(rows, config) for part, rows in parts.items()}
    samples, notes = framed(INFO.name, config, folder, parts, config.sensor)
    channels = config.channels
    return Dataset(
        config.folder or INFO.name, samples["train"], samples["test"], classes,
        (MEAN,) * channels, (STD,) * channels, INFO.licence, INFO.citation,
        (*left_out, *notes),
    )  # fmt: skip


def recording(config: Config, index: int, part: str = "train") -> tuple[Events, str]:
    """The events of one sample, and its file's name."""
    parts = _found(config, [])[2]
    if config.window_us is not None:
        parts = {name: _windows(rows, config) for name, rows in parts.items()}
    return one(parts, index, part, config.sensor)


def survey(config: Config) -> Survey:
    """What the recordings are, broken ones told apart."""
    return survey_parts(_found(config, [])[2], config.sensor)


def _found(config: Config, notes: list[str]) -> tuple[Path, tuple[str, ...], Parts]:
    folder = _store.data_root(config.root, INFO.name) / config.folder
    if has_parts(folder, INFO.obtain):
        trees = {part: _tree(folder / part, notes) for part in PARTS}
        classes = same_classes(folder, trees["train"], trees["test"])
        return folder, classes, {part: _recordings(tree) for part, tree in trees.items()}
    tree = _tree(folder, notes)
    rows = _recordings(tree)
    y = np.array([row.label for row in rows], np.int64)
    fraction, classes = config.test_fraction, tuple(tree)
    chosen = set(
        _split.drawn(y, fraction, config.split_seed, classes, "test", "data.test_fraction").tolist()
    )
    train, test = ([r for i, r in enumerate(rows) if (i in chosen) == side] for side in (0, 1))
    return folder, classes, {"train": train, "test": test}


def _tree(folder: Path, notes: list[str]) -> dict[str, list[Path]]:
    return class_folders(folder, known_suffixes(), "recording", INFO.obtain, notes)


def _recordings(tree: dict[str, list[Path]]) -> list[Recording]:
    return [Recording(path, label) for label, paths in enumerate(tree.values()) for path in paths]


def _windows(rows: Sequence[Recording], config: Config) -> list[Recording]:
    length, found = config.window_us or 0, []
    for row in rows:
        events = read_events(row.path, sensor=config.sensor)
        start, count = int(events.t[0]), (events.duration_us + 1) // length
        if not count:
            raise UserError(
                f"is shorter than one window of {length} us", where=str(row.path),
                value=events.duration_us, remedy="Set data.window_us, or take the file away",
            )  # fmt: skip
        found += [
            Recording(row.path, row.label, (start + i * length, start + (i + 1) * length))
            for i in range(count)
        ]
    return found
