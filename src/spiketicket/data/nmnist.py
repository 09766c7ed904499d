"""N-MNIST: the MNIST digits seen by an event camera that moves in three saccades.

60,000 and 10,000 recordings of 300 ms, 34x34 pixels, in the official layout

    Train/<digit>/<number>.bin    Test/<digit>/<number>.bin

Any number of the files is a data set.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Interval

from spiketicket.data.event_set import EventSet
from spiketicket.data.recordings import Parts, Recording, RecordingConfig
from spiketicket.data.types import DatasetInfo
from spiketicket.errors import UserError
from spiketicket.events.published import SENSORS

SENSOR = SENSORS["nmnist"]
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
    """Recordings below ``root``."""

    camera = SENSOR

    name: Literal["nmnist"] = "nmnist"
    folder: str = ""
    """Another folder below ``root`` than the usual ones."""
    steps: Annotated[int, Interval(ge=1, le=4096)] = 4


def _find(config: Config, folder: Path, notes: list[str]) -> Parts:
    del config, notes
    return {part: _listed(folder / name) for part, name in _PARTS.items()}


def _listed(folder: Path) -> list[Recording]:
    found = [
        Recording(path=path, label=label)
        for label, digit in enumerate(CLASSES)
        for path in sorted((folder / digit).glob("*.bin"))
    ]
    if not found:
        remedy = f"Files are looked for at {folder}/<digit>/*.bin"
        raise UserError("has no recording", where=str(folder), remedy=remedy)
    return found


_SET = EventSet(
    info=INFO, classes=CLASSES, sensor=SENSOR, has=lambda p: (p / "Train").is_dir(), find=_find
)
load, survey, recording = _SET.load, _SET.survey, _SET.recording
