"""Encoders of the official formats, from their descriptions; they share no code with src."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import importlib.util
import io
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from spiketicket.data.types import DatasetInfo


def py2_pickle(value: Any) -> bytes:
    """Protocol 2 as Python 2's cPickle writes CIFAR's dicts: byte strings, numpy arrays, lists."""
    return b"\x80\x02" + _py2(value) + b"."


def _py2(value: Any) -> bytes:
    if isinstance(value, bytes):
        short = len(value) < 256
        return (
            b"U" + bytes([len(value)]) if short else b"T" + struct.pack("<i", len(value))
        ) + value
    if isinstance(value, bool):
        return b"\x88" if value else b"\x89"
    if isinstance(value, int):
        return b"J" + struct.pack("<i", value)
    if isinstance(value, float):
        return b"G" + struct.pack(">d", value)
    if isinstance(value, list):
        return b"](" + b"".join(map(_py2, value)) + b"e"
    if isinstance(value, dict):
        return b"}(" + b"".join(_py2(k) + _py2(v) for k, v in value.items()) + b"u"
    assert isinstance(value, np.ndarray)
    code = value.dtype.str[1:].encode()
    dtype = b"cnumpy\ndtype\n" + _py2(code) + b"K\x00K\x01\x87R"
    dtype += b"(K\x03" + _py2(b"|") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    start = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + _py2(b"b") + b"\x87R"
    )
    shape = b"(" + b"".join(_py2(n) for n in value.shape) + b"t"
    order = b"\x89" if value.flags.c_contiguous else b"\x88"
    return start + b"(K\x01" + shape + dtype + order + _py2(value.tobytes("A")) + b"tb"


def idx_bytes(array: np.ndarray) -> bytes:
    """The idx format of bytes."""
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def tar_gz(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def put(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


@dataclasses.dataclass(kw_only=True)
class Fixture:
    """Small official-looking files and what is in them."""

    files: dict[str, bytes]
    train_x: np.ndarray
    train_y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray


@pytest.fixture
def no_data_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPIKETICKET_DATA", raising=False)


@pytest.fixture
def adopt(monkeypatch: pytest.MonkeyPatch) -> Callable[..., DatasetInfo]:
    """Make a dataset module take these files for the official ones."""

    def apply(module: ModuleType, files: dict[str, bytes], **changes: Any) -> DatasetInfo:
        entries = tuple(
            dataclasses.replace(entry, md5=md5(files[entry.name]), size=len(files[entry.name]))
            for entry in module.INFO.files
        )
        info = dataclasses.replace(module.INFO, **{"files": entries, **changes})
        monkeypatch.setattr(module, "INFO", info)
        return info

    return apply


@pytest.fixture
def cifar10_files() -> Fixture:
    """Seven files with four images a training batch and ten test images, each class present."""
    rng = np.random.default_rng(1)
    batches = [rng.integers(0, 256, (4, 3072), dtype=np.uint8) for _ in range(5)]
    labels = [[(4 * batch + item) % 10 for item in range(4)] for batch in range(5)]
    test, test_labels = rng.integers(0, 256, (10, 3072), dtype=np.uint8), list(range(10))
    names = ["airplane", "automobile", "bird", "cat", "deer"]
    names += ["dog", "frog", "horse", "ship", "truck"]
    files = {
        f"data_batch_{number}": py2_pickle(
            {b"batch_label": b"training", b"labels": label, b"data": data, b"filenames": [b"a.png"]}
        )
        for number, (data, label) in enumerate(zip(batches, labels, strict=True), 1)
    }
    files["test_batch"] = py2_pickle({b"labels": test_labels, b"data": test})
    files["batches.meta"] = py2_pickle({b"label_names": [name.encode() for name in names]})
    x = np.concatenate(batches).reshape(-1, 3, 32, 32)
    return Fixture(
        files=files,
        train_x=x,
        train_y=np.concatenate(labels),
        test_x=test.reshape(-1, 3, 32, 32),
        test_y=test_labels,
    )


@pytest.fixture
def mnist_files() -> Fixture:
    """Four idx files with twenty training and ten test images of 28x28, each class present."""
    rng = np.random.default_rng(2)
    train, test = (rng.integers(0, 256, (count, 28, 28), dtype=np.uint8) for count in (20, 10))
    train_y, test_y = np.arange(20, dtype=np.uint8) % 10, np.arange(10, dtype=np.uint8)
    files = {
        "train-images-idx3-ubyte": idx_bytes(train),
        "train-labels-idx1-ubyte": idx_bytes(train_y),
        "t10k-images-idx3-ubyte": idx_bytes(test),
        "t10k-labels-idx1-ubyte": idx_bytes(test_y),
    }
    return Fixture(
        files=files, train_x=train[:, None], train_y=train_y, test_x=test[:, None], test_y=test_y
    )


@pytest.fixture
def formats() -> Any:
    """The encoders, as one thing to ask for."""

    class Formats:
        pass

    for function in (py2_pickle, idx_bytes, md5, tar_gz, put):
        setattr(Formats, function.__name__, staticmethod(function))
    Formats.gzip = staticmethod(gzip.compress)  # type: ignore[attr-defined]
    return Formats


@pytest.fixture(scope="session")
def encode() -> ModuleType:
    """The encoders of recordings, which are those of the tests of events."""
    path = Path(__file__).parents[1] / "events" / "conftest.py"
    spec = importlib.util.spec_from_file_location("encoders_of_recordings", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def frame_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of frames of the test's own."""
    folder = tmp_path_factory.mktemp("frames")
    monkeypatch.setenv("SPIKETICKET_CACHE", str(folder))
    return folder
