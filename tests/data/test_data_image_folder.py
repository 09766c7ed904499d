"""Pictures in a folder for each class."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from spiketicket.data import Dataset, check_dataset, load_dataset, make_config, training_split
from spiketicket.errors import UserError


def picture(path: Path, value: Any, size: tuple[int, int] = (8, 8), mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value).save(path, lossless=True)


def load(root: Path, **fields: Any) -> Dataset:
    return load_dataset(make_config("image_folder", root=str(root), size=8, **fields))


def load_error(root: Path, **fields: Any) -> str:
    with pytest.raises(UserError) as caught:
        load(root, **fields)
    return str(caught.value)


@pytest.fixture
def one_level(tmp_path: Path) -> Path:
    """Two classes of ten pictures, each of one colour: 10 times its number."""
    for number in range(10):
        picture(tmp_path / "cat" / f"{number}.png", (10 * number, 0, 0))
        picture(tmp_path / "dog" / f"{number}.bmp", (10 * number, 255, 0))
    return tmp_path


@pytest.fixture
def two_parts(tmp_path: Path) -> Path:
    for part, count in (("train", 3), ("test", 2)):
        for number in range(count):
            picture(tmp_path / part / "b" / f"{number}.png", (number, 1, 2))
            picture(tmp_path / part / "a" / f"{number}.webp", (number, 101, 2))
    return tmp_path


def test_train_and_test_folders_are_the_parts(two_parts: Path) -> None:
    dataset = load(two_parts)
    assert dataset.classes == ("a", "b")
    assert dataset.train.y.tolist() == [0, 0, 0, 1, 1, 1]
    assert dataset.test.y.tolist() == [0, 0, 1, 1]
    assert dataset.train.x[:, 0, 0, 0].tolist() == [0, 1, 2, 0, 1, 2]
    assert dataset.train.x[:, 1, 0, 0].tolist() == [101, 101, 101, 1, 1, 1]


def test_a_named_pipe_among_the_pictures_is_named(one_level: Path) -> None:
    os.mkfifo(one_level / "cat" / "pipe.png")
    assert "pipe.png: is not a file" in load_error(one_level)


def test_one_level_gives_a_stratified_part_to_test(one_level: Path) -> None:
    dataset = load(one_level, test_fraction=0.3)
    assert dataset.test.counts(2).tolist() == [3, 3]
    assert dataset.train.counts(2).tolist() == [7, 7]
    reds = [part.x[part.y == 0, 0, 0, 0].tolist() for part in (dataset.train, dataset.test)]
    assert sorted(reds[0] + reds[1]) == list(range(0, 100, 10))
    assert dataset.train.x[dataset.train.y == 1, 1].min() == 255


def test_the_draw_follows_its_own_seed(one_level: Path) -> None:
    first, again, other = (load(one_level, split_seed=seed).checksum for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_mean_and_std_are_those_of_the_training_pixels(one_level: Path) -> None:
    dataset = load(one_level)
    pixels = dataset.train.x / 255
    assert dataset.mean == pytest.approx(pixels.mean((0, 2, 3)).tolist(), abs=1e-12)
    assert dataset.std[:2] == pytest.approx(pixels.std((0, 2, 3)).tolist()[:2], abs=1e-12)
    assert dataset.std[2] == 1.0, "blue has no spread to divide by"


def test_centre_square_scaled_keeps_pixels_of_the_right_size(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    exact = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    for part in ("train", "test"):
        picture(tmp_path / part / "a" / "x.png", (9, 9, 9))
        (tmp_path / part / "b").mkdir()
        Image.fromarray(exact).save(tmp_path / part / "b" / "x.png")
    # Wide and twice the size: a white square in the middle, and black ends whose edge the filter
    # mixes into the outermost columns only.
    wide = np.zeros((16, 48, 3), np.uint8)
    wide[:, 16:32] = 255
    Image.fromarray(wide).save(tmp_path / "train" / "b" / "y.png")
    dataset = load(tmp_path)
    assert np.array_equal(dataset.train.x[1], exact.transpose(2, 0, 1))
    assert dataset.train.x[2, :, :, 1:7].min() == 255
    assert dataset.train.x[2].min() > 127


def test_grey(two_parts: Path) -> None:
    dataset = load(two_parts, channels=1)
    assert dataset.shape == (1, 8, 8)
    assert len(dataset.mean) == 1


def test_transparent_pixels_are_black(two_parts: Path) -> None:
    picture(two_parts / "train" / "a" / "z.png", (200, 200, 200, 0), mode="RGBA")
    assert load(two_parts).train.x[3].max() == 0


def test_exif_orientation_is_followed(two_parts: Path) -> None:
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[0] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(two_parts / "train" / "a" / "z.png", exif=exif)
    turned = load(two_parts).train.x[3, 0]
    assert turned[:, 7].min() == 255
    assert turned[:, :7].max() == 0


def test_folder_is_below_root_and_names_the_data(two_parts: Path) -> None:
    dataset = load(two_parts.parent, folder=two_parts.name)
    assert dataset.name == two_parts.name
    assert dataset.checksum == load(two_parts).checksum


@pytest.mark.parametrize("content", [b"", b"not a picture", b"%!PS-Adobe-3.0 EPSF-3.0\n"])
def test_an_unreadable_picture_is_named(one_level: Path, content: bytes) -> None:
    bad = one_level / "dog" / "bad.png"
    bad.write_bytes(content)
    assert f"{bad}: cannot be read as a picture" in load_error(one_level)


def test_a_truncated_picture_is_named(one_level: Path) -> None:
    bad = one_level / "cat" / "bad.png"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(bad)
    bad.write_bytes(bad.read_bytes()[:4000])
    assert f"{bad}: cannot be read as a picture" in load_error(one_level)


def test_a_decompression_bomb_is_named(one_level: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture(one_level / "cat" / "bomb.png", (0, 0, 0), (100, 100))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    assert "bomb.png: cannot be read as a picture" in load_error(one_level)


def test_sixteen_bits_are_not_cut_off_silently(one_level: Path) -> None:
    deep = np.full((8, 8), 40000, np.uint16)
    Image.fromarray(deep).save(one_level / "cat" / "deep.png")
    assert "deep.png: has pixels of more than 8 bits" in load_error(one_level)


def test_one_class(tmp_path: Path) -> None:
    picture(tmp_path / "cat" / "1.png", (1, 2, 3))
    assert f"{tmp_path}: holds only the class cat; at least two" in load_error(tmp_path)


def test_no_class(tmp_path: Path) -> None:
    picture(tmp_path / "1.png", (1, 2, 3))
    assert f"{tmp_path}: holds no class folder" in load_error(tmp_path)


def test_no_such_folder(tmp_path: Path) -> None:
    assert f"{tmp_path / 'x'}: is not a folder" in load_error(tmp_path, folder="x")


@pytest.mark.parametrize(("part", "where"), [("train", "test"), ("test", "train")])
def test_class_in_one_part_only(two_parts: Path, part: str, where: str) -> None:
    picture(two_parts / part / "c" / "1.png", (1, 2, 3))
    expected = f"{two_parts / where}: has no folder for c, which {part} has"
    assert expected in load_error(two_parts)


def test_train_without_test(tmp_path: Path) -> None:
    picture(tmp_path / "train" / "a" / "1.png", (1, 2, 3))
    assert "has a folder train but no folder test" in load_error(tmp_path)


def test_class_without_pictures(one_level: Path) -> None:
    (one_level / "bird").mkdir()
    (one_level / "bird" / "notes.txt").write_text("soon")
    assert f"{one_level / 'bird'}: holds no picture" in load_error(one_level)


def test_folder_inside_a_class(one_level: Path) -> None:
    picture(one_level / "cat" / "more" / "1.png", (1, 2, 3))
    assert f"{one_level / 'cat' / 'more'}: is a folder inside a class folder" in load_error(
        one_level
    )


def test_files_left_out_are_told(one_level: Path) -> None:
    before = load(one_level)
    assert before.notes == ()
    (one_level / "cat" / "readme.txt").write_text("x")
    (one_level / "cat" / ".hidden").write_text("x")
    (one_level / ".git").mkdir()
    report = check_dataset(make_config("image_folder", root=str(one_level), size=8))
    assert report.ok
    assert report.notes == (
        f"left out, as it is not a picture: {one_level / 'cat' / 'readme.txt'}",
    )
    assert report.checksum == before.checksum


def test_test_fraction_that_leaves_nothing(one_level: Path) -> None:
    text = load_error(one_level, test_fraction=0.01)
    assert "data.test_fraction: leaves class cat (10 samples) no sample for test (got 0.01)" in text
    assert "Use a test fraction from 0.1 to 0.9" in text


def test_pictures_that_are_all_the_same(tmp_path: Path) -> None:
    for name in ("a", "b"):
        for number in range(5):
            picture(tmp_path / name / f"{number}.png", (7, 7, 7))
    assert "all pixels of all training pictures are the same" in load_error(tmp_path)


@pytest.fixture
def three_parts(two_parts: Path) -> Path:
    for number in (7, 8):
        for name in ("a", "b"):
            picture(two_parts / "val" / name / f"{number}.png", (number, 50, 2))
    return two_parts


def test_val_is_the_validation_split(three_parts: Path) -> None:
    dataset = load(three_parts)
    for seed in (0, 1):
        config = make_config("image_folder", validation=0.5)
        train, validation = training_split(dataset, config, seed)
        assert np.array_equal(train.x, dataset.train.x)
        assert validation.x[:, 0, 0, 0].tolist() == [7, 8, 7, 8]
        assert validation.y.tolist() == [0, 0, 1, 1]
    assert "val/ is the validation split; data.validation is not read" in dataset.notes
    before = dataset.checksum
    picture(three_parts / "val" / "a" / "7.png", (9, 50, 2))
    assert load(three_parts).checksum != before


def test_a_class_that_val_lacks_is_named(three_parts: Path) -> None:
    for part in ("train", "test"):
        picture(three_parts / part / "c" / "1.png", (1, 2, 3))
    assert load_error(three_parts).endswith("val: has no folder for c, which train has")


@pytest.mark.parametrize(
    ("names", "remedy"),
    [
        ({"train": "Train", "test": "Test"}, "Rename Test to test and Train to train"),
        ({"train": "training"}, "Rename training to train"),
        ({"test": "testing"}, "Rename testing to test"),
        ({"val": "validation"}, "Rename validation to val"),
    ],
)
def test_a_part_of_another_name_is_told_to_be_renamed(
    three_parts: Path, names: dict[str, str], remedy: str
) -> None:
    for part, name in names.items():
        (three_parts / part).rename(three_parts / name)
    error = load_error(three_parts)
    assert error.startswith(f"{three_parts}: has parts that are not called")
    assert error.endswith(remedy)


def test_a_class_may_be_called_like_a_part(one_level: Path) -> None:
    (one_level / "cat").rename(one_level / "Test")
    assert load(one_level).classes == ("Test", "dog")


def test_train_and_val_alone(three_parts: Path) -> None:
    (three_parts / "test").rename(three_parts.parent / "away")
    assert load_error(three_parts).endswith("Rename val to test, or add test/")


def test_what_is_left_out_is_told_with_its_reason(three_parts: Path) -> None:
    (three_parts / "extra").mkdir()
    (three_parts / "train" / "labels.csv").write_text("a,b")
    notes = load(three_parts).notes
    assert f"left out, as it is not in train, test, val: {three_parts / 'extra'}" in notes
    where = three_parts / "train" / "labels.csv"
    assert f"left out, as it is not in the folder of a class: {where}" in notes


def test_a_check_names_copies_with_the_first_pair(tmp_path: Path) -> None:
    for index, place in enumerate(("train/a/1", "train/a/2", "train/b/1", "test/a/1", "test/b/1")):
        picture(tmp_path / f"{place}.png", (40 * index, 1, 2))
    config = make_config("image_folder", root=str(tmp_path), size=8)
    assert check_dataset(config).notes == ()
    shutil.copy(tmp_path / "train" / "a" / "2.png", tmp_path / "test" / "b" / "2.png")
    shutil.copy(tmp_path / "train" / "a" / "1.png", tmp_path / "test" / "a" / "1.png")
    first = tmp_path / "train" / "a" / "1.png", tmp_path / "test" / "a" / "1.png"
    second = tmp_path / "train" / "a" / "2.png", tmp_path / "test" / "b" / "2.png"
    assert sorted(check_dataset(config).notes) == [
        f"equal bytes: 1 file has two labels, first {second[0]} and {second[1]}",
        f"equal bytes: 2 files are in train and in test, first {first[0]} and {first[1]}",
    ]
