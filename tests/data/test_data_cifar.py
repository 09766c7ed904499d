"""CIFAR-10 and CIFAR-100 from files as Python 2 wrote them."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spiketicket.data import check_dataset, cifar, cifar10, cifar100, load_dataset, make_config
from spiketicket.data.cifar import unpickle
from spiketicket.errors import UserError

FOLDER = "cifar-10-batches-py"


@pytest.fixture
def root(tmp_path: Path, adopt: Any, cifar10_files: Any, formats: Any) -> Path:
    adopt(cifar10, cifar10_files.files)
    formats.put(tmp_path / FOLDER, cifar10_files.files)
    return tmp_path


@pytest.mark.parametrize("place", ["parent", "folder", "variable"])
def test_reads_pixels_and_classes(
    root: Path, cifar10_files: Any, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPIKETICKET_DATA", str(root))
    given = {"parent": str(root), "folder": str(root / FOLDER), "variable": ""}[place]
    dataset = load_dataset(make_config("cifar10", root=given))
    assert np.array_equal(dataset.train.x, cifar10_files.train_x)
    assert np.array_equal(dataset.train.y, cifar10_files.train_y)
    assert np.array_equal(dataset.test.x, cifar10_files.test_x)
    assert np.array_equal(dataset.test.y, cifar10_files.test_y)
    assert dataset.classes[:2] == ("airplane", "automobile")
    assert dataset.train.x.flags.writeable
    assert dataset.test.x.flags.writeable


def test_home_folder_is_understood(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(root))
    assert len(load_dataset(make_config("cifar10", root="~")).test) == 10


def test_reads_cifar100_fine_classes(tmp_path: Path, adopt: Any, formats: Any) -> None:
    rng = np.random.default_rng(3)
    x = rng.integers(0, 256, (100, 3072), dtype=np.uint8)
    labels = rng.permutation(100).tolist()
    batch = {b"data": x, b"fine_labels": labels, b"coarse_labels": [0] * 100}
    names = {b"fine_label_names": [b"c%d" % n for n in range(100)], b"coarse_label_names": [b"z"]}
    files = {
        "train": formats.py2_pickle(batch),
        "test": formats.py2_pickle(batch),
        "meta": formats.py2_pickle(names),
    }
    adopt(cifar100, files)
    formats.put(tmp_path / "cifar-100-python", files)
    dataset = load_dataset(make_config("cifar100", root=str(tmp_path)))
    assert np.array_equal(dataset.train.x.reshape(100, -1), x)
    assert dataset.train.y.tolist() == labels
    assert dataset.classes[99] == "c99"


def test_missing_files_are_named_with_the_command(root: Path) -> None:
    (root / FOLDER / "data_batch_2").unlink()
    (root / FOLDER / "test_batch").unlink()
    with pytest.raises(UserError) as caught:
        load_dataset(make_config("cifar10", root=str(root)))
    text = str(caught.value)
    assert f"missing data_batch_2, test_batch; looked in {root / FOLDER}." in text
    assert "spiketicket data get cifar10 --root DIR" in text
    assert "SPIKETICKET_DATA" in text


def test_nothing_there_names_every_folder_looked_in(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="looked in ") as caught:
        load_dataset(make_config("cifar10", root=str(tmp_path)))
    assert f"{tmp_path / FOLDER}, {tmp_path}." in str(caught.value)


@pytest.mark.usefixtures("no_data_variable")
def test_no_folder_given() -> None:
    with pytest.raises(UserError, match=r"data.root: no folder .*`root`.*SPIKETICKET_DATA"):
        load_dataset(make_config("cifar10"))


def test_one_flipped_bit_is_found(root: Path) -> None:
    path = root / FOLDER / "data_batch_3"
    content = bytearray(path.read_bytes())
    content[5000] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match="data_batch_3: is damaged or not the official file"):
        load_dataset(make_config("cifar10", root=str(root)))
    report = check_dataset(make_config("cifar10", root=str(root)))
    states = {check.name: check.state for check in report.files}
    assert states.pop("data_batch_3") == "wrong"
    assert set(states.values()) == {"ok"}
    assert not report.ok


def test_check_counts_classes(root: Path) -> None:
    (report) = check_dataset(make_config("cifar10", root=str(root)))
    assert report.ok
    assert report.train_counts == (2,) * 10
    assert report.test_counts == (1,) * 10
    assert (report.shape, report.imbalance) == ((3, 32, 32), 1.0)
    assert report.checksum == load_dataset(make_config("cifar10", root=str(root))).checksum


def test_checksum_sees_one_pixel(root: Path, adopt: Any, cifar10_files: Any, formats: Any) -> None:
    before = load_dataset(make_config("cifar10", root=str(root))).checksum
    changed = dict(cifar10_files.files)
    pixels = cifar10_files.test_x.reshape(10, 3072).copy()
    pixels[9, 3071] ^= 1
    changed["test_batch"] = formats.py2_pickle({b"labels": list(range(10)), b"data": pixels})
    adopt(cifar10, changed)
    formats.put(root / FOLDER, changed)
    assert load_dataset(make_config("cifar10", root=str(root))).checksum != before


class Attack:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("protocol", range(6))
def test_no_code_runs_whatever_the_file_says(tmp_path: Path, protocol: int) -> None:
    target = tmp_path / "made"
    content = pickle.dumps({"data": Attack(target)}, protocol=protocol)
    with pytest.raises(UserError, match=r"evil: is not a CIFAR file: it asks for .*mkdir"):
        unpickle(content, Path("evil"))
    assert not target.exists()


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("builtins", "eval"),
        ("numpy", "load"),
        ("numpy.core.multiarray", "fromfile"),
        ("spiketicket.data.cifar", "_reconstruct"),
        ("numpy", "ndarray.tofile"),
    ],
)
def test_only_three_names_are_known(module: str, name: str) -> None:
    content = b"\x80\x02c" + f"{module}\n{name}\n".encode() + b"."
    with pytest.raises(UserError, match=f"asks for {module}.{name}"):
        unpickle(content, Path("x"))


def test_cut_pickles_are_user_errors(formats: Any) -> None:
    good = formats.py2_pickle({b"labels": [1, 2], b"data": np.zeros((1, 3072), np.uint8)})
    for length in (*range(250), len(good) - 1):
        with pytest.raises(UserError, match="x: is not a CIFAR file"):
            unpickle(good[:length], Path("x"))


def test_the_unpickler_never_sees_an_unofficial_file(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def spy(content: bytes, path: Path) -> Any:
        seen.append(path.name)
        return unpickle(content, path)

    monkeypatch.setattr(cifar, "unpickle", spy)
    (root / FOLDER / "test_batch").write_bytes(b"c__builtin__\neval\n.")
    with pytest.raises(UserError, match="test_batch: is damaged or not the official file"):
        load_dataset(make_config("cifar10", root=str(root)))
    assert "data_batch_5" in seen
    assert "test_batch" not in seen


DATA = np.zeros((2, 3072), np.uint8)


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ({b"labels": [0, 1]}, "its data must be uint8"),
        ({b"labels": [0, 1], b"data": DATA[:, :-1]}, "its data must be uint8"),
        ({b"labels": [0, 1], b"data": DATA.astype(np.int16)}, "its data must be uint8"),
        ({b"labels": [0, 1], b"data": np.asfortranarray(DATA)}, "its data must be uint8"),
        ({b"labels": [0, 1], b"data": b"abc"}, "its data must be uint8"),
        ({b"labels": [0], b"data": DATA}, "has 2 images but 1 classes"),
        ({b"labels": [0, 10], b"data": DATA}, "whole numbers from 0 to 9"),
        ({b"labels": [0, -1], b"data": DATA}, "whole numbers from 0 to 9"),
        ({b"labels": [0, 1.0], b"data": DATA}, "whole numbers from 0 to 9"),
        ({b"data": DATA}, "whole numbers from 0 to 9"),
        ([1], "it holds a list"),
    ],
)
def test_batches_of_another_form(
    tmp_path: Path, adopt: Any, cifar10_files: Any, formats: Any, batch: Any, message: str
) -> None:
    files = cifar10_files.files | {"data_batch_4": formats.py2_pickle(batch)}
    adopt(cifar10, files)
    formats.put(tmp_path, files)
    with pytest.raises(UserError, match=f"data_batch_4: .*{message}"):
        load_dataset(make_config("cifar10", root=str(tmp_path)))


def test_class_names_of_another_form(
    tmp_path: Path, adopt: Any, cifar10_files: Any, formats: Any
) -> None:
    files = cifar10_files.files | {"batches.meta": formats.py2_pickle({b"label_names": [1]})}
    adopt(cifar10, files)
    formats.put(tmp_path, files)
    with pytest.raises(UserError, match=r"batches.meta: holds no list of class names label_names"):
        load_dataset(make_config("cifar10", root=str(tmp_path)))


@pytest.mark.skipif(not os.environ.get("SPIKETICKET_DATA"), reason="SPIKETICKET_DATA is not set")
def test_the_real_cifar10() -> None:
    report = check_dataset(make_config("cifar10"))
    assert report.ok, report.problem
    assert report.train_counts == (5000,) * 10
    assert report.test_counts == (1000,) * 10
    dataset = load_dataset(make_config("cifar10"))
    assert dataset.train.y[:5].tolist() == [6, 9, 9, 4, 1]
    assert dataset.checksum == "86d8465cbbca4d980efdefcf6ae691d4e2e23ddf746ca1f006f4a204d37d9fe4"
    for channel in range(3):
        pixels = dataset.train.x[:, channel]
        assert round(pixels.mean() / 255, 4) == cifar10.MEAN[channel]
        assert round(pixels.std(dtype=np.float64) / 255, 4) == cifar10.STD[channel]
