"""Fashion-MNIST: 60,000 + 10,000 pictures of clothes of 28x28 grey pixels in 10 classes.

``MEAN`` and ``STD`` are those of all pixels of the 60,000 training images, scaled to 0..1 and
rounded to four places; the validation split is among them.
"""

from __future__ import annotations

from typing import Literal

from spiketicket.data import idx
from spiketicket.data.types import Dataset, DatasetInfo
from spiketicket.recipe import DataConfig

MEAN = (0.2860,)
STD = (0.3530,)
CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)

INFO = DatasetInfo(
    name="fashion_mnist",
    title="Fashion-MNIST: 60,000 + 10,000 pictures of clothes, 28x28, 10 classes",
    licence="MIT, Zalando SE",
    citation=(
        "H. Xiao, K. Rasul, R. Vollgraf (2017). Fashion-MNIST: a Novel Image Dataset for "
        "Benchmarking Machine Learning Algorithms. arXiv 1708.07747."
    ),
    homepage="https://github.com/zalandoresearch/fashion-mnist",
    obtain="spiketicket data get fashion_mnist --root DIR",
    folders=("fashion_mnist", "fashion-mnist", "FashionMNIST", "FashionMNIST/raw"),
    files=idx.files(
        md5=(
            "f4a8712d7a061bf5bd6d2ca38dc4d50a",
            "9018921c3c673c538a1fc5bad174d6f9",
            "8181f5470baa50b63fa0f6fddb340f0a",
            "15d484375f8d13e6eb1aabb0c3f46965",
        ),
        packed_md5=(
            "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "25c81989df183df01b3e8a0aad5dffbe",
            "bef4ecab320f06d8554ea6380940ec79",
            "bb300cfdad3c16e7a12a480ee83cd310",
        ),
        hosts=(
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
        ),
    ),
)


class Config(DataConfig):
    """Fashion-MNIST from the official idx files, packed or not."""

    pictures = (1, 28, 28)

    name: Literal["fashion_mnist"] = "fashion_mnist"


def load(config: Config) -> Dataset:
    """Read the files below ``config.root``; images are [N, 1, 28, 28].

    Raises:
        UserError: a file is missing, damaged or not the official one.
    """
    return idx.load(INFO, config.root, CLASSES, MEAN, STD)
