"""CIFAR-10: 50,000 + 10,000 colour photographs of 32x32 pixels in 10 classes.

``MEAN`` and ``STD`` are those of all pixels of the 50,000 training images, a value per channel,
scaled to 0..1 and rounded to four places; the validation split is among them.
"""

from __future__ import annotations

from typing import Literal

from spiketicket.data import cifar
from spiketicket.data.types import Archive, DataFile, Dataset, DatasetInfo
from spiketicket.recipe import DataConfig

MEAN = (0.4914, 0.4822, 0.4465)
STD = (0.2470, 0.2435, 0.2616)

TRAIN = tuple(f"data_batch_{number}" for number in range(1, 6))

INFO = DatasetInfo(
    name="cifar10",
    title="CIFAR-10: 50,000 + 10,000 colour photographs, 32x32, 10 classes",
    licence="no formal licence; free to use with citation",
    citation=(
        "A. Krizhevsky (2009). Learning Multiple Layers of Features from Tiny Images. "
        "Technical report, University of Toronto."
    ),
    homepage="https://www.cs.toronto.edu/~kriz/cifar.html",
    obtain="spiketicket data get cifar10 --root DIR",
    folders=("cifar-10-batches-py",),
    files=(
        DataFile(name="data_batch_1", md5="c99cafc152244af753f735de768cd75f"),
        DataFile(name="data_batch_2", md5="d4bba439e000b95fd0a9bffe97cbabec"),
        DataFile(name="data_batch_3", md5="54ebc095f3ab1f0389bbae665268c751"),
        DataFile(name="data_batch_4", md5="634d18415352ddfa80567beed471001a"),
        DataFile(name="data_batch_5", md5="482c414d41f54cd18b22e5b47cb7c3cb"),
        DataFile(name="test_batch", md5="40351d587109b95175f43aff81a1287e"),
        DataFile(name="batches.meta", md5="5ff9c542aee3614f3951f8cda6e48888"),
    ),
    archive=Archive(
        name="cifar-10-python.tar.gz",
        md5="c58f30108f718f92721af3b95e74349a",
        # The second is where the author's page has been sending downloads on to.
        urls=(
            "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
            "https://cave.cs.toronto.edu/kriz/cifar-10-python.tar.gz",
        ),
    ),
)


class Config(DataConfig):
    """CIFAR-10 from the official python files."""

    pictures = (3, 32, 32)

    name: Literal["cifar10"] = "cifar10"


def load(config: Config) -> Dataset:
    """Read the files below ``config.root``; images are [N, 3, 32, 32].

    Raises:
        UserError: a file is missing, damaged or not the official one.
    """
    return cifar.load(
        INFO,
        config.root,
        train=TRAIN,
        test="test_batch",
        meta=("batches.meta", b"label_names"),
        labels=b"labels",
        mean=MEAN,
        std=STD,
    )
