"""The published values are the tables', number by number."""

import pytest

from spiketicket.errors import UserError
from spiketicket.reproduce.published import published, source

DATA = ("cifar10", "cifar100", "dvs_gesture", "cifar10_dvs")
CNN = """
ANN | 88.10/92.05 | 68.64/76.74 | 92.92/94.83 | 78.65/80.14
BNN | 86.75/91.54 | 67.27/74.42 | 92.09/93.69 | 77.94/78.98
BinAct-BNN | 83.84/86.74 | 58.57/66.60 | 85.41/89.43 | 69.21/62.21
SNN | 87.71/91.78 | 67.94/72.37 | 92.78/93.27 | 78.41/80.06
BinW-SNN | 87.57/91.21 | 66.81/72.93 | 91.97/93.92 | 77.49/79.04
ANN ticket | 87.73/90.87 | 67.56/75.62 | 92.43/93.83 | 77.92/80.02
BNN ticket | 85.27/91.07 | 66.73/73.87 | 91.74/93.11 | 77.31/78.26
BinAct-BNN ticket | 81.30/83.96 | 55.81/62.76 | 81.53/84.77 | 63.82/57.41
SNN ticket | 87.52/91.36 | 67.22/72.01 | 92.17/92.88 | 77.94/79.71
BinW-SNN ticket | 87.76/91.82 | 66.74/72.73 | 91.70/93.52 | 77.01/78.66
"""
TRANSFORMERS = """
cifar10 | 85.71/87.36 | 84.81/87.17 | 82.04/83.76 | 81.75/82.98 | 81.21/82.44
cifar100 | 67.37/69.12 | 66.54/69.43 | 64.71/66.22 | 62.98/64.86 | 62.82/64.89
dvs_gesture | 94.96/97.12 | 94.13/96.99 | 93.89/96.74 | 94.37/96.88 | 94.50/97.22
cifar10_dvs | 78.43/80.01 | 77.86/79.77 | 76.61/78.42 | 77.14/78.91 | 77.03/79.02
"""


def cells(text):
    for line in text.strip().splitlines():
        name, *values = (part.strip() for part in line.split("|"))
        yield name, [tuple(float(v) for v in pair.split("/")) for pair in values]


def test_table_1():
    for name, pairs in cells(CNN):
        series, _, ticket = name.partition(" ")
        for data, pair in zip(DATA, pairs, strict=True):
            for net, value in zip(("vgg9", "resnet19"), pair, strict=True):
                known = published(f"table1.{data}-{net}")
                assert known.accuracy(series, ticket or "dense") == value


def test_table_2():
    columns = [
        ("Transformer", "dense"),
        ("Spikeformer", "dense"),
        ("Transformer", "patch"),
        ("Spikeformer", "patch"),
        ("Spikeformer", "pepsp"),
    ]
    for data, pairs in cells(TRANSFORMERS):
        for (series, stage), pair in zip(columns, pairs, strict=True):
            for net, value in zip(("tiny", "small"), pair, strict=True):
                known = published(f"table2.{data}-{net}")
                assert known.accuracy(series, stage) == value
    assert published("table2.cifar10-tiny").pruned == {"patch": 31.4, "pepsp": 48.7}
    assert published("table2.cifar10-small").pruned == {"patch": 37.6, "pepsp": 54.9}


def test_what_is_not_printed():
    assert published("") is None
    assert published("table1.cifar10-vgg9").accuracy("ANN", "random_trained") is None
    assert "2311.12060" in source()
    with pytest.raises(UserError, match=r"There are table1\.cifar10-vgg9"):
        published("table1.mnist-vgg9")
