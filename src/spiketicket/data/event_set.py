"""A published data set of recordings: the functions of its file, made from how its files lie."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from spiketicket.data import recordings, store
from spiketicket.data.recordings import MEAN, STD, Parts, Reading, framed, one
from spiketicket.data.types import Dataset, DatasetInfo, Survey
from spiketicket.errors import UserError
from spiketicket.events import Events


@dataclass(frozen=True, kw_only=True)
class EventSet:
    """What a data set of recordings is, and what all of them do with it.

    Args:
        info: the data set's name and where it comes from.
        classes: of the whole data set; ``find`` labels by their order.
        sensor: width and height of the camera.
        has: whether a folder holds the data set.
        find: the recordings for a config in such a folder; it adds to the notes.
    """

    info: DatasetInfo
    classes: tuple[str, ...]
    sensor: tuple[int, int]
    has: Callable[[Path], bool]
    find: Callable[[Any, Path, list[str]], Parts]

    def load(self, config: Any) -> Dataset:
        """Frames of every recording there is; classes without one are left out, with a note.

        Raises:
            UserError: no recordings, a class that only the test part has, a file that cannot be
                read, or what ``find`` refuses.
        """
        folder, classes, parts, notes = self._found(config)
        samples, read = framed(self.info.name, config, folder, parts, self._reading(config))
        channels = config.channels
        return Dataset(
            name=self.info.name,
            train=samples["train"],
            test=samples["test"],
            classes=classes,
            mean=(MEAN,) * channels,
            std=(STD,) * channels,
            licence=self.info.licence,
            citation=self.info.citation,
            notes=(*notes, *read),
        )

    def survey(self, config: Any) -> Survey:
        """What the files are, broken ones told apart; one may hold many samples."""
        return recordings.survey(self._found(config)[2], self._reading(config))

    def recording(self, config: Any, index: int, part: str = "train") -> tuple[Events, str]:
        """The events of one sample, upright, and its file's name."""
        return one(self._found(config)[2], index, part, self._reading(config))

    def _reading(self, config: Any) -> Reading:
        return Reading(self.sensor, getattr(config, "time_unit", None))

    def _found(self, config: Any) -> tuple[Path, tuple[str, ...], Parts, list[str]]:
        folder = folder_of(self.info, config.root, config.folder, self.has)
        notes: list[str] = []
        parts = self.find(config, folder, notes)
        classes, parts = present_classes(self.classes, parts, folder, notes)
        return folder, classes, parts, notes


def folder_of(info: DatasetInfo, root: str, folder: str, has: Callable[[Path], bool]) -> Path:
    """``folder`` below the data root, or the first of the data set's own names that ``has`` it.

    Raises:
        UserError: there is none; names the folders looked in and how to get the files.
    """
    base = store.data_root(root, info.name)
    places = [base / folder] if folder else [*(base / name for name in info.folders), base]
    found = next((place for place in places if has(place)), None)
    if found is None:
        looked = ", ".join(str(place) for place in places)
        raise UserError(f"{info.name}: no recordings found; looked in {looked}", remedy=info.obtain)
    return found


def present_classes(
    classes: Sequence[str], parts: Parts, folder: Path, notes: list[str]
) -> tuple[tuple[str, ...], Parts]:
    """The classes that have a recording, and the parts with their labels counted among those.

    What is left out is told in ``notes``; any number of files is a data set.

    Raises:
        UserError: a class has recordings for test only.
    """
    labels = {part: {row.label for row in rows} for part, rows in parts.items()}
    if untrained := sorted(labels["test"] - labels["train"]):
        what = f"has no training recording of {classes[untrained[0]]}, but one for test"
        raise UserError(what, where=str(folder))
    kept = {label: index for index, label in enumerate(sorted(labels["train"]))}
    if missing := [name for label, name in enumerate(classes) if label not in kept]:
        notes.append(f"classes without a recording are left out: {', '.join(missing)}")
    renamed = {
        part: [replace(row, label=kept[row.label]) for row in rows] for part, rows in parts.items()
    }
    return tuple(classes[label] for label in kept), renamed
