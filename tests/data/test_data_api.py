"""What every dataset promises, and the functions that find them by name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from spiketicket.data import (
    Dataset,
    Samples,
    check_dataset,
    get_dataset,
    list_datasets,
    load_dataset,
    make_config,
)
from spiketicket.errors import UserError
from spiketicket.recipe import DataConfig, registry

NAMES = registry.names("data")
HEX = set("0123456789abcdef")


def test_all_six_are_found() -> None:
    expected = ("cifar10", "cifar100", "digits", "fashion_mnist", "image_folder", "mnist")
    assert set(expected) <= set(NAMES)
    assert tuple(info.name for info in list_datasets()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_info_is_whole(name: str) -> None:
    info = registry.load("data", name).INFO
    assert info.name == name
    assert all((info.title, info.licence, info.obtain))
    assert len(info.title) <= 100
    assert "\n" not in info.title
    # official files are looked for in folders; recordings lie in folders without a fixed list
    assert info.folders or not info.files
    md5s = [entry.md5 for entry in info.files]
    md5s += [entry.download_md5 for entry in info.files if entry.urls]
    urls = [url for entry in info.files for url in entry.urls]
    if info.archive:
        md5s.append(info.archive.md5)
        urls += info.archive.urls
    assert len(set(md5s)) == len(md5s)
    assert all(len(md5) == 32 and set(md5) <= HEX for md5 in md5s)
    assert all(url.startswith(("https://", "http://")) for url in urls)
    if info.files:
        assert (info.citation, info.homepage) != ("", "")
        assert info.obtain == f"spiketicket data get {name} --root DIR"


@pytest.mark.parametrize("name", NAMES)
def test_config_has_its_name_and_defaults(name: str) -> None:
    config = make_config(name, root="somewhere")
    assert isinstance(config, DataConfig)
    assert (config.name, config.root) == (name, "somewhere")


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"digits", "digits_events"}))
def test_an_empty_folder_is_a_problem_and_no_crash(name: str, tmp_path: Path) -> None:
    config = make_config(name, root=str(tmp_path))
    report = check_dataset(config)
    assert not report.ok
    assert str(tmp_path) in report.problem
    assert {check.state for check in report.files} <= {"missing"}
    assert (report.train_counts, report.imbalance) == ((), 0.0)
    with pytest.raises(UserError):
        load_dataset(config)


def test_digits_need_no_folder() -> None:
    report = check_dataset(make_config("digits"))
    assert report.ok
    assert sum(report.train_counts) == 1437
    assert 1 < report.imbalance < 1.1


@pytest.mark.parametrize("call", [make_config, get_dataset])
def test_unknown_names_suggest_near_ones(call: object) -> None:
    with pytest.raises(UserError, match="cifar10"):
        call("cifar-10")  # type: ignore[operator]


def test_a_bare_data_config_is_refused() -> None:
    with pytest.raises(UserError, match=r"must be a spiketicket.data.digits.Config"):
        load_dataset(DataConfig(name="digits"))


def test_no_torch_is_imported() -> None:
    code = (
        "import sys, spiketicket.data as d\n"
        "d.list_datasets(); d.load_dataset(d.make_config('digits'))\n"
        "print(sorted({'torch', 'pooch', 'requests', 'rich'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def array(count: int, *shape: int) -> np.ndarray:
    return np.zeros((count, *shape), np.uint8)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.zeros((2, 1, 4, 4)), [0, 1], r"images must be uint8 \[N, C, H, W\]"),
        (array(2, 4, 4), [0, 1], r"images must be uint8 \[N, C, H, W\]"),
        (array(2, 1, 4, 4), [0, 1, 1], r"classes must be int64 \[2\]"),
        (array(2, 1, 4, 4), [0.0, 1.0], r"classes must be int64 \[2\]"),
        (array(0, 1, 4, 4), [], "there is no sample"),
    ],
)
def test_samples_of_another_form(x: np.ndarray, y: list[float], message: str) -> None:
    classes = np.array(y, np.int64 if all(isinstance(item, int) for item in y) else None)
    with pytest.raises(UserError, match=message):
        Samples(x, classes)


def dataset(
    train: tuple[int, ...] = (0, 1),
    test: tuple[int, ...] = (0, 1),
    test_size: int = 4,
    classes: tuple[str, ...] = ("a", "b"),
    mean: tuple[float, ...] = (0.5,),
    std: tuple[float, ...] = (0.5,),
) -> Dataset:
    parts = {
        part: Samples(array(len(y), 1, size, size), np.array(y, np.int64))
        for part, y, size in (("train", train, 4), ("test", test, test_size))
    }
    return Dataset(
        name="mine", **parts, classes=classes, mean=mean, std=std, licence="mine", citation=""
    )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"test_size": 5}, "training and test images differ in shape"),
        ({"mean": (0.5, 0.5)}, "mean and std must have 1 values"),
        ({"std": (0.0,)}, "std must be > 0"),
        ({"classes": ("a",), "train": (0,), "test": (0,)}, "at least two classes"),
        ({"train": (0, 2)}, "training classes must be 0 to 1"),
        ({"test": (-1, 0)}, "test classes must be 0 to 1"),
        ({"train": (1, 1)}, "class a has no training sample"),
    ],
)
def test_parts_that_do_not_fit(fields: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=f"mine: .*{message}"):
        dataset(**fields)  # type: ignore[arg-type]


def test_checksum_sees_classes_labels_and_parts() -> None:
    variants = [
        dataset(),
        dataset(classes=("a", "c")),
        dataset(train=(1, 0)),
        dataset(test=(1, 0)),
        dataset(train=(0, 1, 0), test=(1,)),
    ]
    assert len({variant.checksum for variant in variants}) == len(variants)
    assert dataset().checksum == variants[0].checksum == dataset(mean=(0.1,)).checksum
