"""Samples that a Python program has in memory, as ``spiketicket.find(model=...)`` is given them.

They are known by their checksum for as long as the process runs. A recipe that names them can be
read anywhere, and run where the same samples are given again.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import StringConstraints

from spiketicket.data.types import Dataset, DatasetInfo, Samples
from spiketicket.errors import UserError
from spiketicket.recipe import DataConfig

INFO = DatasetInfo(
    name="given",
    title="Samples that a Python program hands to spiketicket.find",
    licence="yours",
    citation="",
    homepage="",
    obtain="Call spiketicket.find(model=..., train=..., test=...)",
)
_LEAST_STD: Final = 1e-3
_KNOWN: Final[dict[str, Dataset]] = {}


class Config(DataConfig):
    """Samples in memory, known by their checksum; ``root`` is not read."""

    name: Literal["given"] = "given"
    checksum: Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{64})?$")] = ""
    """Of the samples and their classes."""


def load(config: Config) -> Dataset:
    """The samples of this checksum.

    Raises:
        UserError: this process was not given them.
    """
    if config.checksum not in _KNOWN:
        raise UserError(
            "these samples were in the memory of a Python program, and are not here",
            where=config.root or "data.checksum",
            value=config.checksum,
            remedy="Call spiketicket.find(model=..., train=..., test=...) with them again",
        )
    return _KNOWN[config.checksum]


def keep(train: Samples, test: Samples, classes: tuple[str, ...]) -> Dataset:
    """Make a data set of samples, which :func:`load` then finds.

    Images are normalised by the mean and spread of the training pixels; counts of events are not.

    Raises:
        UserError: the two parts do not fit together.
    """
    channels = train.x.shape[-3]
    mean, std = [0.0] * channels, [1 / 255] * channels
    if train.x.ndim == 4:
        mean, std = _statistics(train.x)
    dataset = Dataset(
        name=INFO.name,
        train=train,
        test=test,
        classes=classes,
        mean=tuple(mean),
        std=tuple(std),
        licence=INFO.licence,
        citation=INFO.citation,
    )
    _KNOWN[dataset.checksum] = dataset
    return dataset


def _statistics(x: NDArray[np.generic]) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel, of pixels as 0..1, to four places."""
    mean, std = [], []
    for channel in range(x.shape[1]):
        # whole numbers: exact, and without a float copy of all pixels
        counts = np.bincount(x[:, channel].ravel(), minlength=256).astype(np.float64)
        values, share = np.arange(256) / 255, counts / counts.sum()
        middle = float(values @ share)
        spread = float((values - middle) ** 2 @ share) ** 0.5
        mean.append(round(middle, 4))
        std.append(max(round(spread, 4), _LEAST_STD))
    return mean, std
