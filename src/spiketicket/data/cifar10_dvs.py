"""CIFAR10-DVS: pictures of CIFAR-10 that move on a screen before an event camera.

10,000 recordings of about 1.3 s, 128x128 pixels; any number of them, in one of two layouts:

    airplane/cifar10_airplane_0.aedat   automobile/...     official: ten folders of AEDAT 2.0
    events_np/airplane/cifar10_airplane_0.npz  ...         SpikingJelly's

There is no official split. As is usual, nine in ten recordings of each class are for training and
one in ten for test; here they are drawn with ``split_seed``. Some published results take the
first hundred of each class for test instead, as TEBN did: they cannot be compared with these.

Rows and columns of the official files are exchanged here, since the camera lay on its side: its
published readers do so, one to write its arrays (SpikingJelly) and one to show the recordings
(events-tfds). So x is 127 - the address's y, y is 127 - the address's x, and ON is where the
polarity bit is 0, which is what SpikingJelly's files hold: both layouts give the same frames.

Source: README.txt of the data set; spikingjelly/datasets/cifar10_dvs.py in
github.com/fangwei123456/spikingjelly; github.com/jackd/events-tfds.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Final, Literal

import numpy as np
from annotated_types import Gt, Interval, Lt

from spiketicket.data import split
from spiketicket.data.event_set import EventSet
from spiketicket.data.recordings import Parts, Recording, TimedConfig
from spiketicket.data.types import DatasetInfo
from spiketicket.errors import UserError
from spiketicket.events.published import SENSORS, is_transposed
from spiketicket.recipe import Seed

SENSOR = SENSORS["cifar10_dvs"]
CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)

INFO = DatasetInfo(
    name="cifar10_dvs",
    title="CIFAR10-DVS: 10,000 recordings, 128x128 events, 10 classes",
    licence="CC BY 4.0",
    citation=(
        "H. Li, H. Liu, X. Ji, G. Li, L. Shi (2017). CIFAR10-DVS: An Event-Stream Dataset for "
        "Object Classification. Frontiers in Neuroscience 11:309"
    ),
    homepage="https://figshare.com/articles/dataset/CIFAR10-DVS_New/4724671",
    obtain="Unpack the ten zip files of the homepage to DIR/CIFAR10-DVS/airplane and so on",
    folders=("CIFAR10-DVS", "CIFAR10DVS", "CIFAR10_DVS"),
)

_PLACES: Final = (("", ".aedat"), ("extract", ".aedat"), ("events_np", ".npz"))
"""Where the class folders may lie below the data set's folder, and how their files are named."""


class Config(TimedConfig):
    """Recordings below ``root``."""

    camera = SENSOR

    name: Literal["cifar10_dvs"] = "cifar10_dvs"
    folder: str = ""
    """Another folder below ``root`` than the usual ones."""
    steps: Annotated[int, Interval(ge=1, le=4096)] = 10
    test_fraction: Annotated[float, Gt(0), Lt(1)] = 0.1
    """Fraction of each class that is the test part."""
    split_seed: Seed = 0
    """Seed of that draw; the recipe's own seed does not change it."""


def _find(config: Config, folder: Path, notes: list[str]) -> Parts:
    """No class may be too small for ``test_fraction``, no file lie in another class's folder."""
    place, suffix = _place(folder) or ("", ".aedat")
    rows = [
        row
        for label, name in enumerate(CLASSES)
        if (folder / place / name).is_dir()
        for row in _listed(folder / place / name, label, suffix)
    ]
    official = suffix == ".aedat"
    exchanged = "official files, rows and columns exchanged"
    notes.append(exchanged if official else "SpikingJelly's files")
    y = np.array([row.label for row in rows], np.int64)
    fraction, seed = config.test_fraction, config.split_seed
    chosen = set(
        split.drawn(
            y, fraction, seed, classes=CLASSES, part="test", where="data.test_fraction"
        ).tolist()
    )
    notes.append(
        f"no official split: {len(rows) - len(chosen):,} for training and {len(chosen):,} for test"
        f" are drawn by class with data.split_seed {seed}"
    )
    train, test = ([r for i, r in enumerate(rows) if (i in chosen) == side] for side in (0, 1))
    return {"train": train, "test": test}


def _place(folder: Path) -> tuple[str, str] | None:
    """The first place with a class folder, so that one without recordings is an error."""
    for place, suffix in _PLACES:
        if any((folder / place / name).is_dir() for name in CLASSES):
            return place, suffix
    return None


def _listed(folder: Path, label: int, suffix: str) -> list[Recording]:
    """The recordings of a class by number, which all layouts share."""
    found = []
    for path in folder.glob(f"[!.]*{suffix}"):
        match = re.fullmatch(r"cifar10_([a-z]+)_(\d{1,9})", path.stem, re.ASCII)
        if match is not None and match[1] in CLASSES and match[1] != CLASSES[label]:
            what = f"lies among the recordings of {CLASSES[label]}"
            raise UserError(what, where=str(path), remedy=f"Move it to the folder {match[1]}")
        found.append((int(match[2]) if match else -1, path.name, path))
    if not found:
        raise UserError(f"holds no recording (*{suffix})", where=str(folder), remedy=INFO.obtain)
    return [
        Recording(path=path, label=label, transposed=is_transposed(INFO.name, path))
        for *_, path in sorted(found)
    ]


_SET = EventSet(
    info=INFO, classes=CLASSES, sensor=SENSOR, has=lambda p: _place(p) is not None, find=_find
)
load, survey, recording = _SET.load, _SET.survey, _SET.recording
