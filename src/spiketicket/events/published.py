"""What the files of published recordings do not say: their sensor, and which way it lay.

Told by the names of the data sets in ``spiketicket/data``, so that a ticket which names one is run
on recordings of it where only the engine is installed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

SENSORS: Final[Mapping[str, tuple[int, int]]] = {
    "cifar10_dvs": (128, 128),
    "dvs_gesture": (128, 128),
    "nmnist": (34, 34),
}
"""Width and height; of other data sets the files or the recipe say it."""


def is_transposed(name: str, path: Path) -> bool:
    """Whether rows and columns of a recording are exchanged, as in the official files of
    CIFAR10-DVS.
    """
    return name == "cifar10_dvs" and path.suffix == ".aedat"
