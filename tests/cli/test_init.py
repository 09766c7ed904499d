"""init: writes a recipe, and writes over nothing."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from command import Result
from PIL import Image

from spiketicket.recipe import load_recipe

Run = Callable[..., Result]


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for label, name in enumerate(("cat", "dog")):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for index in range(10):
            Image.new("RGB", (40, 30), (index, 100 * label, 7)).save(
                tmp_path / "photos" / name / f"{index}.png"
            )
    return tmp_path / "photos"


def test_it_writes_a_recipe_and_says_what_next(spike: Run, photos: Path) -> None:
    result = spike("init", "--images", "photos")
    assert result.exit_code == 0
    assert "spiketicket find photos.toml" in result.stdout
    assert "2: cat, dog" in result.stdout
    made = load_recipe("photos.toml")
    assert made.data.root == str(photos)
    assert made.data.size == 32  # type: ignore[attr-defined]


def test_nothing_is_written_over_without_force(spike: Run, photos: Path) -> None:
    kept = photos.parent / "mine.toml"
    kept.write_text("kept")
    options = ("init", "--images", str(photos), "-o", "mine.toml")
    result = spike(*options)
    assert result.exit_code == 2
    assert "is there already" in result.stderr
    assert "--force" in result.stderr
    assert kept.read_text() == "kept"
    told = json.loads(spike(*options, "--force", "--json").stdout)
    assert told["path"] == "mine.toml"
    assert load_recipe(kept).hash


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ((), "give one of them"),
        (("--images", "photos", "--events", "photos"), "not both"),
        (("--images", "nowhere"), "nowhere: is not a folder"),
        (("--events", "photos"), "Give it as --images"),
        (("--images", "photos", "--set", "train.epochs=3"), "must be of the section data"),
        (("--images", "photos", "--set", "data.sizes=3"), "Did you mean size?"),
    ],
)
def test_what_it_refuses(spike: Run, photos: Path, options: tuple[str, ...], told: str) -> None:
    result = spike("init", *options)
    assert result.exit_code == 2
    assert told in result.stderr
    assert result.stderr.count("error:") == 1
    assert not list(photos.parent.glob("*.toml"))


def test_what_is_said_of_the_data_is_in_the_recipe(spike: Run, photos: Path) -> None:
    assert spike("init", "--images", "photos", "--set", "data.channels=1").exit_code == 0
    text = (photos.parent / "photos.toml").read_text()
    assert text.count("channels = 1") == 1
    assert load_recipe("photos.toml").data.channels == 1  # type: ignore[attr-defined]
