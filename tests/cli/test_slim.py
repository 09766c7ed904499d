"""What ``pip install spiketicket`` alone can do: numpy, Pillow and safetensors are all there is."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spiketicket.data import load_dataset, make_config
from spiketicket.errors import missing_package
from spiketicket.events.frame_config import FrameConfig
from spiketicket.events.frames import PlainFraming
from spiketicket.events.published import SENSORS
from spiketicket.recipe import registry
from spiketicket.ticket.zoo import find_ticket

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
HERE = {"numpy", "PIL", "safetensors", "spiketicket"}
# No module of any other package is found; those of this file's process stay out of the child.
CHILD = f"""
import sys
HERE = {sorted(HERE)!r}
class Only:
    def find_spec(self, name, path=None, target=None):
        first = name.partition(".")[0]
        if first not in HERE and first not in sys.stdlib_module_names:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Only())
from spiketicket.cli import main
sys.argv = ["spiketicket", *sys.argv[1:]]
main()
"""
Slim = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("slim")
    for name in ("digits-binw", "digits-events", "digits-multisp"):
        shutil.copy(find_ticket(name).path, folder)
    test = load_dataset(make_config("digits")).test
    Image.fromarray(test.x[0][0]).save(folder / "picture.png")
    (folder / "class.txt").write_text(str(int(test.y[0])))
    draw = np.random.default_rng(0)
    times = np.sort(draw.integers(0, 100_000, 3000))
    x, y = (draw.integers(0, 32, 3000) for _ in range(2))
    x[0] = y[0] = 31
    np.savez(folder / "recording.npz", t=times, x=x, y=y, p=draw.integers(0, 2, 3000))
    return folder


@pytest.fixture
def slim(place: Path) -> Slim:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", CHILD, *arguments],
            capture_output=True,
            text=True,
            cwd=place,
            timeout=120,
            check=False,
        )

    return run


def test_the_installation_is_these_packages() -> None:
    names = {re.split("[><=]", text)[0] for text in PROJECT["dependencies"]}
    assert names == {"numpy", "pillow", "safetensors"}
    assert {name.lower().replace("pil", "pillow") for name in HERE - {"spiketicket"}} == names


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("show digits-binw.ticket", "classifier"),
        ("show digits-multisp.ticket --json", '"format_version"'),
        ("verify digits-binw.ticket", "drawn by seed 0"),
        ("run digits-binw.ticket picture.png --plan", "us per sample"),
        ("run digits-multisp.ticket picture.png --resize", "picture.png: "),
        ("run digits-events.ticket recording.npz --backend numpy", "recording.npz: "),
        ("pack digits-binw.ticket -o packed.ticket", "digest"),
        ("export digits-binw.ticket --to c -o c_files", "c_files"),
        ("data view recording.npz --text", "3,000 events"),
        ("data view recording.npz -o recording.svg", "recording.svg"),
        ("zoo list", "digits-events"),
        ("zoo path digits-binw", "digits-binw.ticket"),
        ("version --verbose", "engine"),
        ("--help", "First steps"),
        ("find --help", "--seeds"),
    ],
)
def test_commands_that_need_no_more(slim: Slim, line: str, shown: str) -> None:
    done = slim(*line.split())
    assert done.returncode == 0, done.stderr
    assert shown in done.stdout


def test_the_class_is_the_one_it_is_elsewhere(slim: Slim, place: Path) -> None:
    done = slim("run", "digits-binw.ticket", "picture.png", "--json")
    found = json.loads(done.stdout)["results"][0]["classes"][0]["class"]
    assert found == (place / "class.txt").read_text()


@pytest.mark.parametrize(
    ("line", "extra"),
    [
        ("find", "train"),
        ("train digits-binw", "train"),
        ("eval digits-binw.ticket", "train"),
        ("measure digits-binw.ticket", "train"),
        ("bench digits-binw.ticket", "train"),
        ("sweep --axis seed=1", "train"),
        ("compare", "train"),
        ("verify digits-binw.ticket --rerun", "train"),
        ("export digits-binw.ticket --to onnx -o x", "train"),
        ("zoo eval digits-binw", "train"),
        ("reproduce --list", "report"),
        ("report .", "report"),
        ("show .", "report"),
        ("data list", "report"),
        ("data check digits", "report"),
        ("data get nmnist", "report"),
    ],
)
def test_others_say_what_to_install(slim: Slim, line: str, extra: str) -> None:
    done = slim(*line.split())
    assert done.returncode == 2
    *_, last = done.stderr.splitlines()
    assert last.startswith("error: ")
    assert f"pip install 'spiketicket[{extra}]'" in last or f"'spiketicket[{extra}]'" in last
    assert "Traceback" not in done.stderr


def test_every_package_of_an_extra_is_known_to_the_message() -> None:
    for package in PROJECT["optional-dependencies"]["report"]:
        name = re.split("[><=]", package)[0].replace("-", "_")
        told = missing_package(ModuleNotFoundError(name=f"{name}.part"))
        assert told is not None, name
        assert "spiketicket[report]" in told
    assert missing_package(ModuleNotFoundError(name="nobody")) is None
    assert "spiketicket[train]" in (missing_package(ModuleNotFoundError(name="torch")) or "")


def test_framing_without_pydantic_is_the_same() -> None:
    assert vars(PlainFraming()) == FrameConfig().model_dump()


def test_sensors_of_the_data_sets_are_known_without_them() -> None:
    for name in registry.names("data"):
        module = registry.load("data", name)
        if "steps" in module.Config.model_fields:
            assert SENSORS.get(name) == getattr(module, "SENSOR", None), name
