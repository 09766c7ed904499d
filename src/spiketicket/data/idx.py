"""The idx files of MNIST and its relatives, packed by gzip or not.

    bytes 0, 0; type 8 (uint8); number of dimensions; each dimension as a big-endian 32-bit
    number; the values, last dimension fastest

Format: "The IDX file format", on the page of the MNIST database.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spiketicket.data import store
from spiketicket.data.types import DataFile, Dataset, DatasetInfo, Samples
from spiketicket.errors import UserError

PARTS = ("train", "t10k")
_HEADERS = {"images-idx3-ubyte": 16, "labels-idx1-ubyte": 8}


def files(
    md5: tuple[str, ...], packed_md5: tuple[str, ...], hosts: tuple[str, ...]
) -> tuple[DataFile, ...]:
    """The four files: training images and labels, test images and labels.

    ``md5`` are of the content, ``packed_md5`` of the ``.gz`` files at the ``hosts`` (addresses that
    end in a slash), both in that order.
    """
    names = [f"{part}-{kind}" for part in PARTS for kind in _HEADERS]
    sizes = [16 + 784 * 60000, 8 + 60000, 16 + 784 * 10000, 8 + 10000]
    return tuple(
        DataFile(
            name=name,
            md5=content,
            size=size,
            gzip=True,
            urls=tuple(f"{host}{name}.gz" for host in hosts),
            download_md5=packed,
        )
        for name, content, packed, size in zip(names, md5, packed_md5, sizes, strict=True)
    )


def load(
    info: DatasetInfo,
    root: str,
    classes: tuple[str, ...],
    mean: tuple[float, ...],
    std: tuple[float, ...],
) -> Dataset:
    """Read the four files from ``root`` or the dataset's folder below it; images [N, 1, 28, 28].

    Raises:
        UserError: a file is missing, is not the official one, or is not idx.
    """
    folder = store.require(info, root)
    train, test = (_samples(info, folder, part) for part in PARTS)
    return Dataset(
        name=info.name,
        train=train,
        test=test,
        classes=classes,
        mean=mean,
        std=std,
        licence=info.licence,
        citation=info.citation,
    )


def parse(content: bytes, where: str) -> NDArray[np.uint8]:
    """The array in an idx file of bytes, any shape; ``where`` is for messages.

    Raises:
        UserError: another magic number, or a length other than the header says.
    """
    if len(content) < 4 or content[:3] != b"\0\0\x08":
        what = "is not an idx file of bytes: it must start with 00 00 08"
        raise UserError(what, where=where, value=content[:4].hex(" "))
    dimensions = content[3]
    start = 4 + 4 * dimensions
    shape = tuple(int.from_bytes(content[at : at + 4], "big") for at in range(4, start, 4))
    expected = start + math.prod(shape)
    if dimensions == 0 or len(content) != expected:
        what = f"must be {expected} bytes long, as its header says with shape {list(shape)}"
        raise UserError(what, where=where, value=len(content))
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _samples(info: DatasetInfo, folder: Path, part: str) -> Samples:
    arrays = []
    for kind, header in _HEADERS.items():
        content, path = store.read(info, f"{part}-{kind}", folder)
        array = parse(content, str(path))
        if array.ndim != header // 4 - 1:
            what = f"must have {header // 4 - 1} dimensions"
            raise UserError(what, where=str(path), value=list(array.shape))
        arrays.append(array)
    images, labels = arrays
    if len(images) != len(labels):
        what = f"has {len(images)} images but there are {len(labels)} labels"
        raise UserError(what, where=str(folder / f"{part}-images-idx3-ubyte"))
    return Samples(images[:, np.newaxis].copy(), labels.astype(np.int64))
