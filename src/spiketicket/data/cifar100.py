"""CIFAR-100: 50,000 + 10,000 colour photographs of 32x32 pixels in 100 (fine) classes.

``MEAN`` and ``STD`` are those of all pixels of the 50,000 training images, a value per channel,
scaled to 0..1 and rounded to four places; the validation split is among them.
"""

from __future__ import annotations

from typing import Literal

from spiketicket.data import cifar
from spiketicket.data.types import Archive, DataFile, Dataset, DatasetInfo
from spiketicket.recipe import DataConfig

MEAN = (0.5071, 0.4865, 0.4409)
STD = (0.2673, 0.2564, 0.2762)

INFO = DatasetInfo(
    name="cifar100",
    title="CIFAR-100: 50,000 + 10,000 colour photographs, 32x32, 100 classes",
    licence="no formal licence; free to use with citation",
    citation=(
        "A. Krizhevsky (2009). Learning Multiple Layers of Features from Tiny Images. "
        "Technical report, University of Toronto."
    ),
    homepage="https://www.cs.toronto.edu/~kriz/cifar.html",
    obtain="spiketicket data get cifar100 --root DIR",
    folders=("cifar-100-python",),
    files=(
        DataFile(name="train", md5="16019d7e3df5f24257cddd939b257f8d"),
        DataFile(name="test", md5="f0ef6b0ae62326f3e7ffdfab6717acfc"),
        DataFile(name="meta", md5="7973b15100ade9c7d40fb424638fde48"),
    ),
    archive=Archive(
        name="cifar-100-python.tar.gz",
        md5="eb9058c3a382ffc7106e4002c42a8d85",
        # The second is where the author's page has been sending downloads on to.
        urls=(
            "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
            "https://cave.cs.toronto.edu/kriz/cifar-100-python.tar.gz",
        ),
    ),
)


class Config(DataConfig):
    """CIFAR-100, fine classes, from the official python files."""

    pictures = (3, 32, 32)

    name: Literal["cifar100"] = "cifar100"


def load(config: Config) -> Dataset:
    """Read the files below ``config.root``; images are [N, 3, 32, 32].

    Raises:
        UserError: a file is missing, damaged or not the official one.
    """
    return cifar.load(
        INFO,
        config.root,
        train=("train",),
        test="test",
        meta=("meta", b"fine_label_names"),
        labels=b"fine_labels",
        mean=MEAN,
        std=STD,
    )
