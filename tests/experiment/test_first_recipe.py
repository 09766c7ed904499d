"""A first recipe for a folder of real pictures or recordings: what is found, and that it runs."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from spiketicket.data import load_dataset, make_config
from spiketicket.data.digits_events import Config as Simulated
from spiketicket.data.digits_events import recording
from spiketicket.data.looking import look_at_pictures, look_at_recordings
from spiketicket.errors import UserError
from spiketicket.experiment.find import find
from spiketicket.experiment.first_recipe import first_recipe
from spiketicket.recipe import load_recipe


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """400 of the real digits as PNG of 16x16, a folder for each class."""
    root = tmp_path_factory.mktemp("digits")
    train = load_dataset(make_config("digits", size=16)).train
    for index in range(400):
        folder = root / f"digit {train.y[index]}"
        folder.mkdir(exist_ok=True)
        Image.fromarray(train.x[index, 0]).save(folder / f"{index}.png")
    return root


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings of digits in the 5-byte format, in train and test."""
    root = tmp_path_factory.mktemp("recordings")
    labels = load_dataset(make_config("digits")).train.y
    for part, each in (("train", 4), ("test", 2)):
        for label in (0, 1):
            at = np.flatnonzero(labels == label)[: each + 4][-each:]
            (root / part / str(label)).mkdir(parents=True)
            for index in at:
                events, _ = recording(Simulated(), int(index), "train")
                t = events.t - events.t[0]
                rows = np.empty((len(t), 5), np.uint8)
                rows[:, 0], rows[:, 1] = events.x, events.y
                rows[:, 2] = events.p.astype(np.int64) << 7 | t >> 16
                rows[:, 3], rows[:, 4] = t >> 8 & 255, t & 255
                (root / part / str(label) / f"{index}.bin").write_bytes(rows.tobytes())
    return root


def settings(root: Path, path: Path, look: Any) -> tuple[str, dict[str, Any]]:
    made = first_recipe(look(root), path)
    path.write_text(made.text)
    loaded = load_recipe(path)
    assert loaded == load_recipe(path)
    assert loaded.hash == made.recipe.hash
    return made.text, loaded.model_dump()


def test_pictures(digits: Path, tmp_path: Path) -> None:
    text, made = settings(digits, tmp_path / "my digits.toml", look_at_pictures)
    assert made["name"] == "my-digits"
    data = made["data"]
    assert (data["name"], data["size"], data["channels"]) == ("image_folder", 16, 1)
    assert data["root"] == str(digits)
    assert (data["test_fraction"], data["validation"]) == (0.2, 0.1)
    assert (made["model"]["name"], made["ticket"]["density"]) == ("convnet", 0.5)
    # 400 files, a fifth to test with, a tenth of the rest to choose with
    assert "# for 288 training samples" in text
    assert (made["train"]["batch_size"], made["train"]["epochs"]) == (16, 40)
    assert made["verdict"]["margin"] == 5.0
    loaded = load_dataset(make_config("image_folder", **{k: data[k] for k in ("root", "size")}))
    assert (len(loaded.train), len(loaded.test)) == (320, 80)


def test_recordings_whose_files_name_no_sensor(recordings: Path, tmp_path: Path) -> None:
    _, made = settings(recordings, tmp_path / "r.toml", look_at_recordings)
    data = made["data"]
    look = look_at_recordings(recordings)
    assert not look.told
    assert data["sensor"] == look.sensor
    assert max(look.sensor) <= 32
    assert data["height"] == 8 * (look.sensor[1] // 8)
    assert data["steps"] == made["model"]["timesteps"]
    assert look.counts("train") == (4, 4)
    assert look.counts("test") == (2, 2)
    assert "test_fraction" not in first_recipe(look, tmp_path / "r.toml").text


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pictures", "recordings"])
def test_it_runs_as_it_is(
    kind: str,
    digits: Path,
    recordings: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SPIKETICKET_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "r.toml"
    pictures = kind == "pictures"
    settings(
        digits if pictures else recordings,
        path,
        look_at_pictures if pictures else look_at_recordings,
    )
    limits = ["train.epochs=1", "train.tune=off", "train.kernel=eager"]
    limits += ["data.train_limit=40", "data.test_limit=20"] if pictures else []
    found = find(load_recipe(path, limits), runs_dir=tmp_path / "runs", threads=1)
    assert list(found.folder.glob("*.ticket"))


@pytest.mark.parametrize(
    ("width", "height", "size"), [(200, 150, 64), (28, 28, 32), (30, 27, 24), (8, 8, 16)]
)
def test_the_size_follows_the_pictures(tmp_path: Path, width: int, height: int, size: int) -> None:
    for name in ("a", "b"):
        for index in range(10):
            (tmp_path / "p" / name).mkdir(parents=True, exist_ok=True)
            pixels = np.full((height, width, 3), (index, 9, 200), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "p" / name / f"{index}.png")
    _, made = settings(tmp_path / "p", tmp_path / "r.toml", look_at_pictures)
    assert (made["data"]["size"], made["data"]["channels"]) == (size, 3)
    assert (tmp_path / "r.toml").read_text().count('root = "p"') == 1


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ((), "holds no class folder"),
        (("x.png",), "holds no class folder"),
        (("a/1.png",), "only the class a"),
        (("a/1.png", "b/1.txt"), "holds no picture"),
        (("a/1.bin", "b/1.bin"), "holds recordings, not pictures. Give it as `events`"),
        (("Train/a/1.png", "Test/a/1.png"), "Rename Test to test and Train to train"),
        (("a/1.png", "b/1.png"), "class a has 1 to train with, and needs 3 or more"),
    ],
)
def test_what_is_no_data_set_is_refused_in_a_sentence(
    tmp_path: Path, files: tuple[str, ...], told: str
) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".png"):
            Image.new("RGB", (8, 8), (1, 2, 3)).save(tmp_path / name)
        else:
            (tmp_path / name).write_bytes(b"x")
    with pytest.raises(UserError) as caught:
        first_recipe(look_at_pictures(tmp_path), tmp_path / "r.toml")
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
