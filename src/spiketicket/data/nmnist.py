"""N-MNIST: the MNIST digits seen by an event camera that moves in three saccades.

60,000 and 10,000 recordings of 300 ms, 34x34 pixels, in the official layout

    Train/<digit>/<number>.bin    Test/<digit>/<number>.bin

Any number of the files is a data set.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Interval

from spiketicket.data._recordings import (
    MEAN,
    STD,
    Parts,
    Recording,
    RecordingConfig,
    folder_of,
    framed,
    one,
    present_classes,
)
from spiketicket.data._recordings import survey as survey_parts
from spiketicket.data._types import Dataset, DatasetInfo, Survey
from spiketicket.errors import UserError
from spiketicket.events import Events

SENSOR = (34, 34)
CLASSES = tuple("0123456789")
_PARTS = {"train": "Train", "test": "Test"}

INFO = DatasetInfo(
    name="nmnist",
    title="N-MNIST: 60,000 + 10,000 recordings, 34x34 events, 10 classes",
    licence="CC BY-SA 4.0",
    citation=(
        "G. Orchard, A. Jayawant, G. K. Cohen, N. Thakor (2015). Converting Static Image Datasets "
        "to Spiking Neuromorphic Datasets Using Saccades. Frontiers in Neuroscience 9:437"
    ),
    homepage="https://www.garrickorchard.com/datasets/n-mnist",
    obtain="Unpack Train.zip and Test.zip of the homepage to DIR/N-MNIST/Train and /Test",
    folders=("N-MNIST", "NMNIST", "N-MNIST-1k"),
)


class Config(RecordingConfig):
    """Recordings below ``root``; ``folder`` names another folder there than the usual ones."""

    name: Literal["nmnist"] = "nmnist"
    folder: str = ""
    steps: Annotated[int, Interval(ge=1, le=4096)] = 4


def load(config: Config) -> Dataset:
    """Frames of every recording there is.

    Raises:
        UserError: no recordings, a digit that only the test part has, a file that cannot be read.
    """
    folder, found = _found(config)
    told: list[str] = []
    classes, parts = present_classes(CLASSES, found, folder, told)
    samples, notes = framed(INFO.name, config, folder, parts, SENSOR)
    channels = config.channels
    return Dataset(
        INFO.name, samples["train"], samples["test"], classes, (MEAN,) * channels,
        (STD,) * channels, INFO.licence, INFO.citation, (*told, *notes),
    )  # fmt: skip


def survey(config: Config) -> Survey:
    """What the recordings are, broken ones told apart."""
    return survey_parts(_found(config)[1], SENSOR)


def recording(config: Config, index: int, part: str = "train") -> tuple[Events, str]:
    """The events of one sample, and its file's name."""
    return one(_found(config)[1], index, part, SENSOR)


def _found(config: Config) -> tuple[Path, Parts]:
    folder = folder_of(INFO, config.root, config.folder, lambda p: (p / "Train").is_dir())
    parts = {part: _listed(folder / name) for part, name in _PARTS.items()}
    return folder, parts


def _listed(folder: Path) -> list[Recording]:
    found = [
        Recording(path, label)
        for label, digit in enumerate(CLASSES)
        for path in sorted((folder / digit).glob("*.bin"))
    ]
    if not found:
        remedy = f"Files are looked for at {folder}/<digit>/*.bin"
        raise UserError("has no recording", where=str(folder), remedy=remedy)
    return found
