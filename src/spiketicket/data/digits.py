"""The 1,797 handwritten digits of 8x8 pixels that come with this package.

They are the test part of "Optical Recognition of Handwritten Digits" (E. Alpaydin and C. Kaynak
1998, UCI Machine Learning Repository, CC BY 4.0): counts of black pixels, 0 to 16, in blocks of
4x4. Ours are

    pixel = (255 * count + 8) // 16                             0 -> 0, 8 -> 128, 16 -> 255

as uint8. The 360 test images are a fixed stratified draw, ``Stream(0, "digits", "test")``, that
no seed of a recipe changes; the other 1,437 are for training. Both keep the original order.
``MEAN`` and ``STD`` are those of all pixels of the 1,437, scaled to 0..1 and rounded to four
places; the validation split is among them. Enlarging repeats pixels and changes neither.
"""

from __future__ import annotations

import hashlib
import io
from importlib.resources import files
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from spiketicket.data import split
from spiketicket.data.types import Dataset, DatasetInfo, Samples
from spiketicket.errors import UserError
from spiketicket.recipe import DataConfig
from spiketicket.streams import Stream

MEAN = (0.3049,)
STD = (0.3759,)
CLASSES = tuple("0123456789")
TEST_COUNT = 360

_FILE = "digits.npz"
_SHA256 = "6f801551877abf69fbf3711373bb642a18dc933430a3385cd6febc235225ea6f"

INFO = DatasetInfo(
    name="digits",
    title="UCI handwritten digits: 1,437 + 360 images, 8x8 grey, 10 classes",
    licence="CC BY 4.0",
    citation=(
        "E. Alpaydin, C. Kaynak (1998). Optical Recognition of Handwritten Digits. UCI Machine "
        "Learning Repository. https://doi.org/10.24432/C50P49"
    ),
    homepage="https://doi.org/10.24432/C50P49",
    obtain="It comes with this package",
    shipped=True,
)


class Config(DataConfig):
    """The digits that come with this package; ``root`` is not read."""

    side_keys = ("size", "canvas")

    name: Literal["digits"] = "digits"
    size: Literal[8, 16, 32] = 8
    """Height and width: 8 as it is, or every pixel repeated 2 or 4 times each way."""
    canvas: Literal[0, 16, 32] = 0
    """Side of a black canvas on which every digit lies at a random place, the same for all seeds;
    0 is none."""

    def stated_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of a sample."""
        side = self.canvas or self.size
        return 1, side, side


def load(config: Config) -> Dataset:
    """The digits; images are [N, 1, size, size].

    Raises:
        UserError: the installed file is damaged.
    """
    content = files("spiketicket.data").joinpath("files", _FILE).read_bytes()
    if hashlib.sha256(content).hexdigest() != _SHA256:
        raise UserError("is damaged", where=_FILE, remedy="Install spiketicket again")
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        counts, y = arrays["x"], arrays["y"].astype(np.int64)
    pixels = ((255 * counts.astype(np.int64) + 8) // 16).astype(np.uint8)
    repeat = config.size // 8
    x = pixels.repeat(repeat, axis=1).repeat(repeat, axis=2)[:, np.newaxis]
    mean: tuple[float, ...] = MEAN
    std: tuple[float, ...] = STD
    if config.canvas:
        x, mean, std = _placed(x, config)
    test = split.draw(y, TEST_COUNT, Stream(0, "digits", "test"))
    train = np.setdiff1d(np.arange(len(y)), test, assume_unique=True)
    return Dataset(
        name=INFO.name,
        train=Samples(x[train], y[train]),
        test=Samples(x[test], y[test]),
        classes=CLASSES,
        mean=mean,
        std=std,
        licence=INFO.licence,
        citation=INFO.citation,
    )


def _placed(
    x: NDArray[np.uint8], config: Config
) -> tuple[NDArray[np.uint8], tuple[float, ...], tuple[float, ...]]:
    """Images on the canvas, and the mean and standard deviation that follow from MEAN and STD."""
    side, free = config.canvas, config.canvas - config.size
    if free < 0:
        raise UserError(
            f"must be at least data.size ({config.size})", where="data.canvas", value=side
        )
    places = Stream(0, "digits", "place").integers(2 * len(x), free + 1).reshape(-1, 2)
    out = np.zeros((len(x), 1, side, side), np.uint8)
    for image, digit, (row, column) in zip(out, x, places, strict=True):
        image[:, row : row + config.size, column : column + config.size] = digit
    share = (config.size / side) ** 2
    mean = share * MEAN[0]
    square = share * (STD[0] ** 2 + MEAN[0] ** 2)
    return out, (round(mean, 4),), (round((square - mean**2) ** 0.5, 4),)
