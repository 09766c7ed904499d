"""What stands where a ticket is wanted is understood, or explained."""

import io
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from command import Result
from PIL import Image

from spiketicket.cli.places import ticket_at, ticket_or_folder
from spiketicket.data import load_dataset, make_config
from spiketicket.errors import UserError
from spiketicket.ticket.zoo import find_ticket

Run = Callable[..., Result]
ZOO = find_ticket("digits-binw").path


def test_a_file_a_name_and_a_run_folder(tmp_path: Path) -> None:
    assert ticket_at(str(ZOO)) == ZOO
    assert ticket_at("digits-binw") == ZOO
    shutil.copy(ZOO, tmp_path / "a.ticket")
    assert ticket_at(str(tmp_path)) == tmp_path / "a.ticket"
    assert ticket_or_folder(str(tmp_path)) == tmp_path
    assert ticket_at("not/there.ticket") == Path("not/there.ticket")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("digits-bin", "no ticket of the zoo has this name. Did you mean digits-binw?"),
        (
            "cifar10-vgg9",
            "is a recipe of the package, and a ticket is needed. spiketicket find cifa",
        ),
        ("own.toml", "is a recipe, and a ticket is needed. spiketicket find own.toml makes one"),
        ("begun", "is a run that has no ticket yet: it is written at the end. spiketicket show"),
        ("nothing", "is a folder without a ticket"),
        ("several", "is a folder with 2 tickets, and one is needed. Name one of them: 1.ticket, 2"),
    ],
)
def test_others_are_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("own.toml").touch()
    for name in ("begun", "nothing", "several"):
        Path(name).mkdir()
    Path("begun/recipe.toml").touch()
    for name in ("1", "2"):
        Path(f"several/{name}.ticket").touch()
    with pytest.raises(UserError) as error:
        ticket_at(given)
    assert said in str(error.value)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures in folders named like their classes, one of them in a wrong one."""
    folder = tmp_path_factory.mktemp("pictures")
    test = load_dataset(make_config("digits")).test
    for index in range(10):
        label = int(test.y[index]) if index else (int(test.y[0]) + 1) % 10
        (folder / str(label)).mkdir(exist_ok=True)
        Image.fromarray(test.x[index][0]).save(folder / str(label) / f"{index}.png")
    return folder


def test_class_folders_give_the_accuracy(spike: Run, folders: Path) -> None:
    shown = json.loads(spike("run", "digits-binw", folders, "--json").stdout)
    right = sum(r["classes"][0]["class"] == r["label"] for r in shown["results"])
    assert shown["accuracy"] == {"percent": 10.0 * right, "right": right, "count": 10}
    assert 7 <= right <= 9
    told = spike("run", "digits-binw", folders).stdout.splitlines()[-1]
    assert told.startswith(f"accuracy: {10 * right:.2f} %: {right} of 10")


def test_other_folders_have_no_accuracy(spike: Run, folders: Path, tmp_path: Path) -> None:
    shutil.copy(next(folders.rglob("*.png")), tmp_path / "picture.png")
    result = spike("run", "digits-binw", tmp_path)
    assert "accuracy" not in result.stdout
    assert "accuracy" not in json.loads(spike("run", "digits-binw", tmp_path, "--json").stdout)


def piped(content: bytes, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    code = "from spiketicket.cli import main; main()"
    command = [sys.executable, "-c", code, "run", *arguments]
    return subprocess.run(command, input=content, capture_output=True, timeout=60, check=False)


@pytest.mark.slow
def test_a_picture_from_standard_input(spike: Run, folders: Path) -> None:
    path = next(folders.rglob("5.png"))
    there = spike("run", "digits-binw", path).stdout
    done = piped(path.read_bytes(), "digits-binw", "-")
    assert done.stdout.decode() == there.replace(str(path), "-")
    for content, said in ((b"", "nothing comes from standard input"), (b"x" * 99, "-: cannot be")):
        done = piped(content, "digits-binw", "-")
        assert done.returncode == 2
        assert said in done.stderr.decode()
    done = piped(b"x", "digits-events", "-")
    assert b"a recording cannot be read from standard input" in done.stderr


def test_pictures_of_standard_input_are_bounded(
    monkeypatch: pytest.MonkeyPatch, spike: Run
) -> None:
    from spiketicket.engine import inputs

    class Stream:
        buffer = io.BytesIO(b"x" * (2 << 20))

        def isatty(self) -> bool:
            return False

    monkeypatch.setenv("SPIKETICKET_MAX_MEMORY", "1MiB")
    monkeypatch.setattr(sys, "stdin", Stream())
    with pytest.raises(UserError, match="standard input"):
        inputs._standard_input()


@pytest.mark.slow
def test_json_is_one_document(spike: Run) -> None:
    one = json.loads(spike("show", "digits-binw", "--json").stdout)
    two = json.loads(spike("show", "digits-binw", "digits-events", "--json").stdout)
    assert two[0] == one
    assert len(two) == 2
    found = json.loads(spike("eval", "digits-binw", ZOO, "--json").stdout)
    assert [row["test_accuracy"] for row in found] == [found[0]["test_accuracy"]] * 2


@pytest.mark.slow
@pytest.mark.parametrize(
    "setting", ["data.train_limit=99999", "train.batch_size=99999", "data.train_limit=5"]
)
def test_a_find_that_cannot_be_leaves_no_folder(spike: Run, tmp_path: Path, setting: str) -> None:
    for command in ("find", "train"):
        result = spike(command, "--set", setting, "--runs", tmp_path / "runs")
        assert result.exit_code == 2
        assert not (tmp_path / "runs").exists()
