"""MNIST: 60,000 + 10,000 handwritten digits of 28x28 grey pixels.

``MEAN`` and ``STD`` are those of all pixels of the 60,000 training images, scaled to 0..1 and
rounded to four places; the validation split is among them.
"""

from __future__ import annotations

from typing import Literal

from spiketicket.data import idx
from spiketicket.data.types import Dataset, DatasetInfo
from spiketicket.recipe import DataConfig

MEAN = (0.1307,)
STD = (0.3081,)
CLASSES = tuple("0123456789")

INFO = DatasetInfo(
    name="mnist",
    title="MNIST: 60,000 + 10,000 handwritten digits, 28x28, 10 classes",
    licence="CC BY-SA 3.0",
    citation=(
        "Y. LeCun, L. Bottou, Y. Bengio, P. Haffner (1998). Gradient-based learning applied to "
        "document recognition. Proceedings of the IEEE 86(11)."
    ),
    homepage="http://yann.lecun.com/exdb/mnist/",
    obtain="spiketicket data get mnist --root DIR",
    folders=("mnist", "MNIST", "MNIST/raw"),
    files=idx.files(
        md5=(
            "6bbc9ace898e44ae57da46a324031adb",
            "a25bea736e30d166cdddb491f175f624",
            "2646ac647ad5339dbf082846283269ea",
            "27ae3e4e09519cfbb04c329615203637",
        ),
        packed_md5=(
            "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "d53e105ee54ea40749a09fcbcd1e9432",
            "9fb629c4189551a2d022fa330f9573f3",
            "ec29112dd5afa0611ce80d1b7f02629c",
        ),
        # The authors' page gives its files to nobody any more: two public copies of the same
        # bytes, the first kept by the PyTorch project.
        hosts=(
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
    ),
)


class Config(DataConfig):
    """MNIST from the official idx files, packed or not."""

    pictures = (1, 28, 28)

    name: Literal["mnist"] = "mnist"


def load(config: Config) -> Dataset:
    """Read the files below ``config.root``; images are [N, 1, 28, 28].

    Raises:
        UserError: a file is missing, damaged or not the official one.
    """
    return idx.load(INFO, config.root, CLASSES, MEAN, STD)
