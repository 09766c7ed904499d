"""CIFAR10-DVS in its two layouts: orientation, the split that is drawn, bad files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spiketicket.data import Dataset, check_dataset, cifar10_dvs, load_dataset, make_config
from spiketicket.errors import UserError

Event = tuple[int, int, int, int]

STEPS, SIDE = 3, 16
COUNT = 10
"""Recordings of a class."""
NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]

pytestmark = pytest.mark.usefixtures("frame_cache", "no_data_variable")


def seen(label: int, number: int) -> list[Event]:
    """What the camera of a recording saw, upright: (0, 0) is the picture's top left."""
    rng = np.random.default_rng(100 * label + number)
    places = rng.integers(0, [128, 128, 2, 5000], (25, 4)).tolist()
    times = np.cumsum([step for *_, step in places])
    return [(int(t), *row[:3]) for t, row in zip(times, places, strict=True)]


def address(event: Event) -> int:
    """Of the DVS128 on its side: its y counts the picture's columns, its x the rows, backwards."""
    _, column, row, p = event
    return (127 - column) << 8 | (127 - row) << 1 | (1 - p)


def official(folder: Path, encode: Any, names: Sequence[str] = NAMES, count: int = COUNT) -> Path:
    for name in names:
        (folder / name).mkdir(parents=True)
        for number in range(count):
            events = seen(NAMES.index(name), number)
            words = np.array([(address(event), event[0]) for event in events], ">u4")
            path = folder / name / f"cifar10_{name}_{number}.aedat"
            path.write_bytes(encode.aedat2_head() + words.tobytes())
    return folder


def spikingjelly(folder: Path, encode: Any) -> Path:
    for label, name in enumerate(NAMES):
        place = folder / "events_np" / name
        place.mkdir(parents=True)
        for number in range(COUNT):
            content = encode.npz(seen(label, number))
            (place / f"cifar10_{name}_{number}.npz").write_bytes(content)
    return folder


def load(root: Path, **fields: Any) -> Dataset:
    size = {"steps": STEPS, "height": SIDE, "width": SIDE}
    return load_dataset(make_config("cifar10_dvs", root=str(root), **(size | fields)))


def load_error(root: Path, **fields: Any) -> str:
    with pytest.raises(UserError) as caught:
        load(root, **fields)
    return str(caught.value)


def counted(events: Sequence[Event], height: int = SIDE, width: int = SIDE) -> np.ndarray:
    frames = np.zeros((STEPS, 2, height, width), np.int64)
    first, last = events[0][0], events[-1][0]
    for t, x, y, p in events:
        step = (t - first) * STEPS // (last - first + 1)
        frames[step, p, y * height // 128, x * width // 128] += 1
    return frames


def numbers(dataset: Dataset, part: str, label: int) -> list[int]:
    """Which recordings of a class a part has, by their frames."""
    samples = getattr(dataset, part)
    known = [counted(seen(label, number)) for number in range(COUNT)]
    return [
        next(n for n, frames in enumerate(known) if np.array_equal(frames, x))
        for x in samples.x[samples.y == label]
    ]


@pytest.fixture
def root(tmp_path: Path, encode: Any) -> Path:
    return official(tmp_path, encode)


def test_both_layouts_give_the_same_upright_frames(root: Path, encode: Any, tmp_path: Path) -> None:
    dataset = load(root)
    assert dataset.classes == tuple(NAMES)
    assert (len(dataset.train), len(dataset.test)) == (90, 10)
    for label in range(10):
        train, test = (numbers(dataset, part, label) for part in ("train", "test"))
        assert train == sorted(train)
        assert sorted(train + test) == list(range(COUNT))
        assert len(test) == 1
    other = load(spikingjelly(tmp_path / "CIFAR10DVS", encode))
    assert other.checksum == dataset.checksum
    assert other.notes != dataset.notes


def test_rows_and_columns_are_exchanged_before_framing(root: Path) -> None:
    dataset = load(root, height=8, width=32)
    known = [counted(seen(0, number), 8, 32) for number in range(COUNT)]
    first = dataset.train.x[0]
    assert any(np.array_equal(first, frames) for frames in known)


def test_published_size_and_steps(tmp_path: Path, encode: Any) -> None:
    root = official(tmp_path, encode, NAMES[:2])
    dataset = load_dataset(make_config("cifar10_dvs", root=str(root)))
    assert dataset.train.x.shape == (18, 10, 2, 128, 128)
    assert dataset.train.x.dtype == np.uint8


def test_the_split_follows_its_own_seed_and_is_told(root: Path) -> None:
    first, again, other = (load(root, split_seed=seed) for seed in (0, 0, 1))
    assert first.checksum == again.checksum
    assert first.checksum != other.checksum
    told = "no official split: 90 for training and 10 for test are drawn by class with"
    assert any(f"{told} data.split_seed 1" in note for note in other.notes)
    third = load(root, test_fraction=0.3)
    assert third.test.counts(10).tolist() == [3] * 10


def test_numbers_are_in_order_and_not_names(tmp_path: Path, encode: Any) -> None:
    root = official(tmp_path, encode, NAMES[:2], 12)
    dataset = load(root, test_fraction=0.5)
    known = [counted(seen(0, number)) for number in range(12)]
    found = [
        next(n for n, frames in enumerate(known) if np.array_equal(frames, x))
        for x in dataset.train.x[dataset.train.y == 0]
    ]
    assert found == sorted(found)
    assert max(found) > 9


def test_only_the_classes_that_are_there(tmp_path: Path, encode: Any) -> None:
    dataset = load(official(tmp_path, encode, ["truck", "bird"]))
    assert dataset.classes == ("bird", "truck")
    assert dataset.train.counts(2).tolist() == [9, 9]
    assert "classes without a recording are left out: airplane, automobile, cat" in " ".join(
        dataset.notes
    )


def test_one_class(tmp_path: Path, encode: Any) -> None:
    assert "at least two classes" in load_error(official(tmp_path, encode, ["cat"]))


def test_notes_of_many_files_are_one_line(root: Path) -> None:
    for path in sorted(root.glob("*/*.aedat"))[:40]:
        # A byte more than whole events, which a note tells.
        path.write_bytes(path.read_bytes() + b"\0")
    told = [note for note in load(root).notes if "less than one event" in note]
    assert len(told) <= 2, "one line a part"
    assert "more alike)" in told[0]


def test_counts_above_255_make_all_frames_wide(root: Path, encode: Any) -> None:
    before = load(root)
    events = [(t, 127, 127, 1) for t in range(3 * 300)]
    words = np.array([(address(event), event[0]) for event in events], ">u4")
    number = numbers(before, "train", 9)[0]
    path = root / "truck" / f"cifar10_truck_{number}.aedat"
    path.write_bytes(encode.aedat2_head() + words.tobytes())
    after = load(root)
    assert after.train.x.dtype == after.test.x.dtype == np.uint16
    assert after.train.x[81, :, 1, 15, 15].tolist() == [300] * 3
    others = np.arange(90) != 81
    assert np.array_equal(after.train.x[others], before.train.x[others])
    assert np.array_equal(after.test.x, before.test.x)


def test_a_class_without_recordings(root: Path) -> None:
    for path in (root / "deer").iterdir():
        path.unlink()
    (root / "deer" / "deer.zip").write_bytes(b"PK")
    assert f"{root / 'deer'}: holds no recording (*.aedat)" in load_error(root)


def test_a_recording_of_another_class(root: Path) -> None:
    moved = root / "cat" / "cifar10_dog_3.aedat"
    (root / "dog" / "cifar10_dog_3.aedat").rename(moved)
    text = load_error(root)
    assert f"{moved}: lies among the recordings of cat" in text
    assert "Move it to the folder dog" in text


def test_a_class_too_small_for_the_split(tmp_path: Path, encode: Any) -> None:
    root = official(tmp_path, encode, NAMES[:2], 3)
    text = load_error(root)
    assert "data.test_fraction: leaves class" in text
    assert "Use a test fraction from" in text


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "is empty"),
        (b"nonsense that is not a recording", "starts with other bytes"),
        (b"#!AER-DAT2.0\r\n# AEChip: ch.unizh.ini.jaer.chip.retina.DVS128\r\n", "holds no event"),
        (b"#!AER-DAT2.0\r\n# AEChip: eu.seebetter.ini.chips.davis.DAVIS240C\r\n", "240x180"),
    ],
)
def test_a_bad_recording(root: Path, content: bytes, what: str) -> None:
    path = root / "frog" / "cifar10_frog_7.aedat"
    path.write_bytes(content)
    text = load_error(root)
    assert text.startswith(f"{path}: ")
    assert what in text


def test_no_data_set(tmp_path: Path) -> None:
    text = load_error(tmp_path)
    assert f"looked in {tmp_path / 'CIFAR10-DVS'}, {tmp_path / 'CIFAR10DVS'}" in text
    assert "Unpack the ten zip files of the homepage" in text


@pytest.mark.parametrize("name", ["CIFAR10-DVS", "CIFAR10DVS/extract", "mine"])
def test_where_it_is_found(tmp_path: Path, encode: Any, name: str) -> None:
    official(tmp_path / name, encode, NAMES[:2])
    (tmp_path / name / "cat.zip").write_bytes(b"PK")
    (tmp_path / name / "airplane" / "._cifar10_airplane_0.aedat").write_bytes(b"hidden")
    dataset = load(tmp_path, folder=name if name == "mine" else "")
    assert dataset.classes == ("airplane", "automobile")
    assert len(dataset.train) + len(dataset.test) == 2 * COUNT


def test_check_and_single_recordings(root: Path) -> None:
    config = make_config("cifar10_dvs", root=str(root), steps=STEPS)
    report = check_dataset(config)
    assert report.ok, report.problem
    assert report.survey is not None
    assert report.survey.counts == (25,) * 100
    assert report.test_counts == (1,) * 10
    events, name = cifar10_dvs.recording(config, 0)
    number = int(name.removesuffix(".aedat").rsplit("_", 1)[1])
    assert name.startswith("cifar10_airplane_")
    assert [tuple(map(int, row)) for row in events.data] == seen(0, number)
