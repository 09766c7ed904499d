"""What a run says of its answers: labels, and pictures of samples right and wrong."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spiketicket.data.types import Samples
from spiketicket.experiment.answers import answers_file, read_answers


def written(place: Path, x: Any, y: Any, given: Any, classes: int = 3) -> Path:
    path = place / "answers.npz"
    names = [f"class {i}" for i in range(classes)]
    path.write_bytes(answers_file(Samples(x, np.asarray(y, np.int64)), names, np.asarray(given), 7))
    return path


def test_a_sample_of_every_class_and_the_first_wrong_ones(tmp_path: Path) -> None:
    x = np.arange(6 * 4, dtype=np.uint8).reshape(6, 1, 2, 2)
    found = read_answers(written(tmp_path, x, [2, 0, 0, 1, 1, 2], [2, 1, 0, 1, 0, 2]))
    assert found.labels.tolist() == [2, 0, 0, 1, 1, 2]
    assert found.examples == (1, 3, 0)  # of class 0, 1 and 2
    assert found.wrong == (1, 4)
    assert found.seed == 7
    assert found.ids.tolist() == [0, 1, 3, 4]
    for index in found.ids.tolist():
        assert np.array_equal(found.image(index), x[index])
    assert (found.class_name(1), found.class_name(9)) == ("class 1", "9")


def test_frames_of_a_recording_are_added_up(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 200, (4, 3, 2, 5, 5)).astype(np.uint8)
    found = read_answers(written(tmp_path, x, [0, 1, 2, 0], [0, 1, 2, 1]))
    assert np.array_equal(found.image(3), x[3].astype(np.int64).sum(0))


def test_large_pictures_are_fewer_and_labels_stay(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 256, (40, 3, 96, 96)).astype(np.uint8)
    y = np.arange(40) % 20
    path = written(tmp_path, x, y, (y + 1) % 20, classes=20)
    found = read_answers(path)
    assert path.stat().st_size < 200_000
    assert 0 < len(found.ids) < 20
    assert len(found.labels) == 40
    x = np.random.default_rng(0).integers(0, 256, (4, 3, 300, 300)).astype(np.uint8)
    found = read_answers(written(tmp_path, x, [0, 1, 2, 0], [1, 1, 1, 1]))
    assert (found.examples, found.wrong, found.images.shape[0]) == ((), (), 0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"labels": np.array([0, 5])}, "of no class"),
        ({"labels": np.array([-1, 1])}, "of no class"),
        ({"labels": np.zeros((2, 2), np.int64)}, "one per sample"),
        ({"ids": np.array([0, 99])}, "of no sample"),
        ({"ids": np.array([0])}, "for every index"),
        ({"images": np.zeros((2, 4))}, r"\[M, C, H, W\]"),
        ({"wrong": np.array([1, 7])}, "no picture"),
        ({"classes": np.array([{}], object)}, "allow_pickle|pickle"),
    ],
)
def test_damage_is_named(tmp_path: Path, change: Any, said: str) -> None:
    path = tmp_path / "answers.npz"
    whole = {
        "labels": np.array([0, 1]),
        "classes": np.array(["a", "b"]),
        "ids": np.array([0, 1]),
        "images": np.zeros((2, 1, 4, 4), np.uint8),
        "examples": np.array([0, 1]),
        "wrong": np.array([1]),
        "seed": np.array(0),
    }
    np.savez(path, **whole)
    assert read_answers(path).wrong == (1,)
    np.savez(path, **(whole | change))
    with pytest.raises(ValueError, match=said):
        read_answers(path)
