"""MNIST and Fashion-MNIST: the idx format, packed or not."""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spiketicket.data import check_dataset, fashion_mnist, load_dataset, make_config, mnist
from spiketicket.data.idx import parse
from spiketicket.errors import UserError

SHAPES = st.lists(st.integers(0, 5), min_size=1, max_size=4).map(tuple)


def encode(array: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, array.ndim])
    return header + b"".join(size.to_bytes(4, "big") for size in array.shape) + array.tobytes()


@settings(deadline=None)
@given(SHAPES, st.integers(0, 2**32 - 1))
def test_parse_gives_back_what_was_written(shape: tuple[int, ...], seed: int) -> None:
    array = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    assert np.array_equal(parse(encode(array), "x"), array)


@settings(deadline=None)
@given(st.integers(0, 200), st.integers(1, 3))
def test_any_other_length_is_an_error(cut: int, extra: int) -> None:
    content = encode(np.zeros((3, 8, 8), np.uint8))
    for wrong in (content[: -1 - cut], content + b"\0" * extra):
        with pytest.raises(UserError, match="x: "):
            parse(wrong, "x")


@pytest.mark.parametrize("head", [b"", b"\0\0", b"\0\0\x08", b"\x1f\x8b\x08\0", b"\0\0\x0d\x01"])
def test_another_magic_number(head: bytes) -> None:
    with pytest.raises(UserError, match="x: is not an idx file of bytes"):
        parse(head + b"\0" * 4 if len(head) == 4 else head, "x")


def test_a_header_that_promises_too_much_allocates_nothing() -> None:
    huge = b"\0\0\x08\xff" + b"\xff" * (4 * 255)
    with pytest.raises(UserError, match="bytes long, as its header says"):
        parse(huge, "x")


@pytest.mark.parametrize("module", [mnist, fashion_mnist])
@pytest.mark.parametrize("packed", [True, False])
def test_reads_pixels_and_classes(
    tmp_path: Path, adopt: Any, mnist_files: Any, formats: Any, module: Any, packed: bool
) -> None:
    adopt(module, mnist_files.files)
    files = mnist_files.files
    if packed:
        files = {f"{name}.gz": gzip.compress(content) for name, content in files.items()}
    formats.put(tmp_path / module.INFO.folders[-1], files)
    dataset = load_dataset(make_config(module.INFO.name, root=str(tmp_path)))
    assert np.array_equal(dataset.train.x, mnist_files.train_x)
    assert np.array_equal(dataset.train.y, mnist_files.train_y)
    assert np.array_equal(dataset.test.x, mnist_files.test_x)
    assert np.array_equal(dataset.test.y, mnist_files.test_y)
    assert (dataset.shape, len(dataset.classes)) == ((1, 28, 28), 10)


def test_each_finds_its_own_folder_below_one_root(
    tmp_path: Path, adopt: Any, mnist_files: Any, formats: Any
) -> None:
    adopt(mnist, mnist_files.files)
    other = dict(mnist_files.files)
    other["t10k-labels-idx1-ubyte"] = encode(np.arange(10, dtype=np.uint8)[::-1].copy())
    adopt(fashion_mnist, other)
    formats.put(tmp_path, mnist_files.files)
    formats.put(tmp_path / "FashionMNIST" / "raw", other)
    assert load_dataset(make_config("mnist", root=str(tmp_path))).test.y[0] == 0
    assert load_dataset(make_config("fashion_mnist", root=str(tmp_path))).test.y[0] == 9


@pytest.fixture
def root(tmp_path: Path, adopt: Any, mnist_files: Any, formats: Any) -> Path:
    adopt(mnist, mnist_files.files)
    return formats.put(
        tmp_path, {f"{name}.gz": gzip.compress(data) for name, data in mnist_files.files.items()}
    )


def load_error(root: Path) -> str:
    with pytest.raises(UserError) as caught:
        load_dataset(make_config("mnist", root=str(root)))
    return str(caught.value)


def test_a_cut_gzip_file(root: Path) -> None:
    path = root / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-100])
    assert f"{path}: is not a whole gzip file" in load_error(root)


def test_a_flipped_bit_in_a_gzip_file(root: Path) -> None:
    path = root / "train-images-idx3-ubyte.gz"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 8
    path.write_bytes(content)
    assert str(path) in load_error(root)


def test_a_file_that_is_no_gzip_file(root: Path) -> None:
    path = root / "t10k-labels-idx1-ubyte.gz"
    path.write_bytes(b"<html>not found</html>")
    assert f"{path}: is not a whole gzip file" in load_error(root)
    report = check_dataset(make_config("mnist", root=str(root)))
    assert [check.state for check in report.files] == ["ok", "ok", "ok", "wrong"]


def test_a_gzip_file_that_unpacks_without_end_is_not_unpacked(root: Path) -> None:
    path = root / "train-labels-idx1-ubyte.gz"
    path.write_bytes(gzip.compress(b"\0" * (64 << 20)))
    assert "is damaged or not the official file" in load_error(root)


def test_an_official_file_with_more_behind_it(root: Path, mnist_files: Any) -> None:
    path = root / "train-labels-idx1-ubyte.gz"
    path.write_bytes(gzip.compress(mnist_files.files["train-labels-idx1-ubyte"] + b"more"))
    assert f"{path}: is damaged or not the official file" in load_error(root)


def test_another_datasets_file(root: Path, mnist_files: Any) -> None:
    path = root / "train-labels-idx1-ubyte.gz"
    path.write_bytes(gzip.compress(encode(np.zeros(20, np.uint8))))
    assert f"{path}: is damaged or not the official file" in load_error(root)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("train-labels-idx1-ubyte", np.zeros(19, np.uint8), "has 20 images but there are 19"),
        ("train-labels-idx1-ubyte", np.zeros((20, 1), np.uint8), "must have 1 dimensions"),
        ("t10k-images-idx3-ubyte", np.zeros((10, 784), np.uint8), "must have 3 dimensions"),
        ("t10k-images-idx3-ubyte", np.zeros((10, 28, 27), np.uint8), "images differ in shape"),
        ("t10k-labels-idx1-ubyte", np.full(10, 10, np.uint8), "test classes must be 0 to 9"),
        ("train-labels-idx1-ubyte", np.zeros(20, np.uint8), "class 1 has no training sample"),
    ],
)
def test_files_that_do_not_fit_together(
    tmp_path: Path,
    adopt: Any,
    mnist_files: Any,
    formats: Any,
    name: str,
    array: np.ndarray,
    message: str,
) -> None:
    files = mnist_files.files | {name: encode(array)}
    adopt(mnist, files)
    assert message in load_error(formats.put(tmp_path, files))


def test_official_sizes_are_those_of_the_format() -> None:
    for module in (mnist, fashion_mnist):
        sizes = {entry.name: entry.size for entry in module.INFO.files}
        assert sizes["train-images-idx3-ubyte"] == 47040016
        assert sizes["train-labels-idx1-ubyte"] == 60008
        assert sizes["t10k-images-idx3-ubyte"] == 7840016
        assert sizes["t10k-labels-idx1-ubyte"] == 10008


DATA = Path(os.environ.get("SPIKETICKET_DATA") or "no data")


@pytest.mark.parametrize("module", [mnist, fashion_mnist])
def test_the_real_files(module: Any) -> None:
    name = module.INFO.name
    if not any((DATA / folder).is_dir() for folder in module.INFO.folders):
        pytest.skip(f"SPIKETICKET_DATA has no {name}")
    report = check_dataset(make_config(name, root=str(DATA)))
    assert report.ok, report.problem
    dataset = load_dataset(make_config(name, root=str(DATA)))
    pixels = dataset.train.x / 255
    assert (round(pixels.mean(), 4), round(pixels.std(), 4)) == (*module.MEAN, *module.STD)
