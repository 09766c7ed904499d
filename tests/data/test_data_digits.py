"""The digits that come with the package."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import pytest

from spiketicket.data import Dataset, digits, load_dataset, make_config
from spiketicket.errors import UserError


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return load_dataset(make_config("digits"))


def original() -> tuple[np.ndarray, np.ndarray]:
    with np.load(str(files("spiketicket.data") / "files" / "digits.npz")) as arrays:
        return arrays["x"], arrays["y"]


def test_the_file_holds_the_published_data() -> None:
    x, y = original()
    assert x.shape == (1797, 8, 8)
    assert (x.min(), x.max()) == (0, 16)
    assert np.bincount(y).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    # The first row of the published file, as it is printed there.
    assert x[0].reshape(-1)[:16].tolist() == [0, 0, 5, 13, 9, 1, 0, 0, 0, 0, 13, 15, 10, 15, 5, 0]


def test_parts_are_the_whole_file_once_in_its_order(dataset: Dataset) -> None:
    assert (len(dataset.train), len(dataset.test)) == (1437, 360)
    counts, y = original()
    scaled = np.floor(counts.astype(float) * 255 / 16 + 0.5).astype(np.uint8)
    keys = [(image.tobytes(), int(label)) for image, label in zip(scaled, y, strict=True)]
    for part in (dataset.train, dataset.test):
        rest = iter(keys)
        for image, label in zip(part.x, part.y, strict=True):
            assert (image.tobytes(), int(label)) in rest, "not in the original order"
    both = [
        (image.tobytes(), int(label))
        for part in (dataset.train, dataset.test)
        for image, label in zip(part.x, part.y, strict=True)
    ]
    assert sorted(both) == sorted(keys)


def test_each_class_keeps_its_share(dataset: Dataset) -> None:
    whole = np.bincount(original()[1])
    assert np.abs(dataset.test.counts(10) - whole * 360 / 1797).max() < 1


def test_split_is_fixed_for_ever(dataset: Dataset) -> None:
    checksum = "51e9e25eb0ca7b0b9fcdd14e9660bdcce0f8fa4c57f8877fd9ee0015de7c3538"
    assert dataset.checksum == checksum


def test_constants_are_those_of_the_training_pixels(dataset: Dataset) -> None:
    pixels = dataset.train.x / 255
    assert (round(pixels.mean(), 4), round(pixels.std(), 4)) == (*digits.MEAN, *digits.STD)


@pytest.mark.parametrize("size", [16, 32])
def test_enlarging_repeats_pixels(dataset: Dataset, size: int) -> None:
    large = load_dataset(make_config("digits", size=size))
    assert large.shape == (1, size, size)
    step = size // 8
    for row in range(step):
        for column in range(step):
            assert np.array_equal(large.test.x[:, :, row::step, column::step], dataset.test.x)


def test_damaged_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digits, "_SHA256", "0" * 64)
    with pytest.raises(UserError, match=r"digits.npz: is damaged. Install spiketicket again"):
        load_dataset(make_config("digits"))


@pytest.mark.parametrize(("size", "canvas"), [(8, 16), (16, 32), (8, 32), (32, 32)])
def test_every_digit_lies_whole_on_its_canvas(size: int, canvas: int) -> None:
    plain = load_dataset(make_config("digits", size=size))
    placed = load_dataset(make_config("digits", size=size, canvas=canvas))
    assert placed.shape == (1, canvas, canvas)
    corners = set()
    for part in ("train", "test"):
        before, after = getattr(plain, part), getattr(placed, part)
        assert np.array_equal(before.y, after.y)
        for small, large in zip(before.x[:, 0], after.x[:, 0], strict=True):
            assert np.array_equal(large[large > 0], small[small > 0])
            rows, columns = (np.flatnonzero(large.any(axis)) for axis in (1, 0))
            r, c = (np.flatnonzero(small.any(axis)) for axis in (1, 0))
            top, left = rows[0] - r[0], columns[0] - c[0]
            assert 0 <= top <= canvas - size
            assert 0 <= left <= canvas - size
            assert np.array_equal(large[top : top + size, left : left + size], small)
            corners.add((int(top), int(left)))
    places = (canvas - size + 1) ** 2
    assert len(corners) == places if places < 300 else len(corners) > 0.9 * places


def test_the_canvas_has_the_constants_of_its_pixels() -> None:
    placed = load_dataset(make_config("digits", size=16, canvas=32))
    pixels = placed.train.x / 255
    assert placed.mean == pytest.approx((pixels.mean(),), abs=1e-3)
    assert placed.std == pytest.approx((pixels.std(),), abs=1e-3)


def test_a_canvas_smaller_than_the_digit_is_refused() -> None:
    with pytest.raises(UserError, match=r"data\.canvas: must be at least data\.size \(32\)"):
        load_dataset(make_config("digits", size=32, canvas=16))
