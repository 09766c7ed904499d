"""The 1,797 handwritten digits of 8x8 pixels that come with this package.

They are the test part of "Optical Recognition of Handwritten Digits" (E. Alpaydin and C. Kaynak
1998, UCI Machine Learning Repository, CC BY 4.0): counts of black pixels, 0 to 16, in blocks of
4x4. Ours are

    pixel = (255 * count + 8) // 16                             0 -> 0, 8 -> 128, 16 -> 255

as uint8. The 360 test images are a fixed stratified draw, ``Stream(0, "digits", "test")``, that
no seed of a recipe changes; the other 1,437 are for training. Both keep the original order.
``MEAN`` and ``STD`` are those of all pixels of the 1,437, scaled to 0..1 and rounded to four
places; the validation part is among them. Enlarging repeats pixels and changes neither.
"""

from __future__ import annotations

import hashlib
import io
from importlib.resources import files
from typing import Literal

import numpy as np

from spiketicket.data import _split
from spiketicket.data._types import Dataset, DatasetInfo, Samples
from spiketicket.errors import UserError
from spiketicket.philox import Stream
from spiketicket.recipe import DataConfig

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
)


class Config(DataConfig):
    """The digits that come with this package; ``root`` is not read."""

    name: Literal["digits"] = "digits"
    size: Literal[8, 16, 32] = 8
    """Height and width: 8 as it is, or every pixel repeated 2 or 4 times each way."""


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
    test = _split.draw(y, TEST_COUNT, Stream(0, "digits", "test"))
    train = np.setdiff1d(np.arange(len(y)), test, assume_unique=True)
    return Dataset(
        name=INFO.name,
        train=Samples(x[train], y[train]),
        test=Samples(x[test], y[test]),
        classes=CLASSES,
        mean=MEAN,
        std=STD,
        licence=INFO.licence,
        citation=INFO.citation,
    )
