"""The CIFAR "python version" files: pickles that Python 2 wrote, read without running anything.

A batch is a dict with ``data``, uint8 [n, 3072] (red, green and blue planes of 32x32, row by row),
and a list of classes. Format: https://www.cs.toronto.edu/~kriz/cifar.html

The unpickler knows three names, and gives each of them a stand-in of ours: not even numpy's own
reconstruction code runs on what the file says. A pickle can still ask for any amount of memory,
so a file's md5 is checked before the unpickler sees it.
"""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from spiketicket.data import store
from spiketicket.data.types import Dataset, DatasetInfo, Samples
from spiketicket.errors import UserError

_PIXELS = 3 * 32 * 32


class _Array:
    """Keeps the state of a pickled array: (version, shape, dtype, Fortran order, bytes)."""

    state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _DType:
    """Keeps the type code of a pickled dtype."""

    def __init__(self, code: Any = None, *_: Any) -> None:
        self.code = code

    def __setstate__(self, state: Any) -> None:
        pass


def _reconstruct(*_: Any) -> _Array:
    return _Array()


_KNOWN: Final[dict[tuple[str, str], Any]] = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _DType,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _KNOWN[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}") from None


def load(
    info: DatasetInfo,
    root: str,
    *,
    train: tuple[str, ...],
    meta: tuple[str, bytes],
    labels: bytes,
    test: str,
    mean: tuple[float, ...],
    std: tuple[float, ...],
) -> Dataset:
    """Read a CIFAR dataset from ``root`` or its folder below it.

    ``train`` and ``test`` name the batch files, ``meta`` the file and key of the class names,
    ``labels`` the key of a batch's classes.

    Raises:
        UserError: a file is missing, is not the official one, or is not a CIFAR batch.
    """
    folder = store.require(info, root)
    names = _class_names(info, folder, *meta)

    def samples(batches: tuple[str, ...]) -> Samples:
        parts = [_batch(info, name, folder, labels, len(names)) for name in batches]
        x, y = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        return Samples(x, y)

    return Dataset(
        name=info.name,
        train=samples(train),
        test=samples((test,)),
        classes=names,
        mean=mean,
        std=std,
        licence=info.licence,
        citation=info.citation,
    )


def unpickle(content: bytes, path: Path) -> dict[Any, Any]:
    """The dict in a CIFAR file; ``path`` is for messages. Raises UserError, and runs no code."""
    try:
        made = _Unpickler(io.BytesIO(content), encoding="bytes").load()
    # A damaged pickle may raise nearly any exception from inside the unpickler.
    except Exception as error:
        raise UserError(f"is not a CIFAR file: {error}", where=str(path)) from error
    if not isinstance(made, dict):
        raise UserError(f"is not a CIFAR file: it holds a {type(made).__name__}", where=str(path))
    return made


def _class_names(info: DatasetInfo, folder: Path, name: str, key: bytes) -> tuple[str, ...]:
    content, path = store.read(info, name, folder)
    names = unpickle(content, path).get(key)
    if not isinstance(names, list) or not all(isinstance(item, bytes) for item in names):
        raise UserError(f"holds no list of class names {key.decode()}", where=str(path))
    return tuple(item.decode("ascii", "replace") for item in names)


def _batch(
    info: DatasetInfo, name: str, folder: Path, key: bytes, classes: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    content, path = store.read(info, name, folder)
    batch = unpickle(content, path)
    x = _pixels(batch.get(b"data"), path)
    y = batch.get(key)
    if not isinstance(y, list) or not all(type(item) is int and 0 <= item < classes for item in y):
        what = f"its {key.decode()} must be a list of whole numbers from 0 to {classes - 1}"
        raise UserError(what, where=str(path))
    if len(x) != len(y):
        raise UserError(f"has {len(x)} images but {len(y)} classes", where=str(path))
    return x, np.array(y, np.int64)


def _pixels(array: Any, path: Path) -> NDArray[np.uint8]:
    """uint8 [n, 3, 32, 32] from a kept array state."""
    state = array.state if isinstance(array, _Array) else None
    if isinstance(state, tuple) and len(state) == 5:
        _, shape, dtype, fortran, raw = state
        plain = isinstance(dtype, _DType) and dtype.code == b"u1" and not fortran
        if plain and isinstance(raw, bytes) and shape == (len(raw) // _PIXELS, _PIXELS):
            return np.frombuffer(raw, np.uint8).reshape(shape[0], 3, 32, 32)
    raise UserError(f"its data must be uint8 [n, {_PIXELS}]", where=str(path))
