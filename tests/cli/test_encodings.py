"""Output never fails for its characters, nor with a traceback for where it goes."""

import json
import os
import shutil
import subprocess
import sys
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from spiketicket.data import load_dataset, make_config

pytestmark = [pytest.mark.xdist_group("processes"), pytest.mark.slow]

NAME = "b\u00f6\u4f60\u202e"
DRIVER = """
import json, sys
from spiketicket import cli
for arguments in json.loads(sys.argv[1]):
    sys.argv[1:] = arguments
    try:
        cli.main()
    except SystemExit as end:
        print("code", end.code, arguments[0], flush=True)
"""


def command_line(code: str, *arguments: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
    env = {**os.environ, **options.pop("env", {})}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output="stdout" not in options,
        check=False,
        timeout=120,
        env=env,
        **options,
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ticket, a picture, and an unfinished run, all with names that few encodings hold."""
    made = tmp_path_factory.mktemp("encodings") / NAME
    run, package = made / f"r{NAME}", resources.files("spiketicket")
    (run / "seed-0" / "ticket").mkdir(parents=True)
    shutil.copy(str(package / "ticket" / "zoo" / "digits-binw.ticket"), made / f"{NAME}.ticket")
    shutil.copy(str(package / "recipe" / "shipped" / "digits-binw.toml"), run / "recipe.toml")
    history = [{"epoch": e, "loss": 2.0 / (e + 1), "validation_accuracy": 0.3} for e in range(3)]
    (run / "seed-0" / "ticket" / "log.jsonl").write_text("\n".join(map(json.dumps, history)))
    from PIL import Image

    Image.fromarray(load_dataset(make_config("digits")).test.x[0, 0]).save(made / f"{NAME}.png")
    return made


def commands(place: Path, out: Path) -> list[list[str]]:
    ticket, run = str(place / f"{NAME}.ticket"), str(place / f"r{NAME}")
    return [
        ["version", "--verbose"],
        ["data", "list"],
        ["data", "check", "digits"],
        ["zoo", "list"],
        ["zoo", "path", "digits-binw"],
        ["show", ticket],
        ["show", ticket, "--json"],
        ["show", run],
        ["show", run, "--json"],
        ["run", ticket, str(place), "--plan"],
        ["run", ticket, f"nothing{NAME}"],
        ["run", "--help"],
        ["find", "--help"],
        ["pack", ticket, "-o", str(out / f"{NAME}.ticket")],
        ["export", ticket, "--to", "c", "-o", str(out / f"c{NAME}")],
        ["report", run, "-o", str(out / f"{NAME}.html")],
        ["eval", ticket],
        ["measure", ticket, "--images", "4"],
        ["find", f"nothing{NAME}"],
        ["find", "--set", f"{NAME}=1"],
        ["train", f"nothing{NAME}"],
        ["reproduce", "--list"],
        ["reproduce", NAME],
        ["sweep", "--axis", NAME],
        ["compare", "--methods", NAME],
        ["bench", NAME],
        ["find", "--seeds", NAME],
        [NAME],
    ]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_every_command_in_any_encoding(place: Path, tmp_path: Path, encoding: str) -> None:
    asked = commands(place, tmp_path)
    done = command_line(DRIVER, json.dumps(asked), env={"PYTHONIOENCODING": encoding})
    out, err = done.stdout.decode(encoding), done.stderr.decode(encoding)
    assert "Traceback" not in err
    assert done.returncode == 0, err
    codes = [line.split()[1] for line in out.splitlines() if line.startswith("code ")]
    assert len(codes) == len(asked)
    assert set(codes) == {"0", "1", "2"} or set(codes) == {"0", "2"}
    for text in (out, err):
        assert all(line.isprintable() for line in text.split("\n"))
    assert "\\u4f60\\u202e" in out
    assert "\\u4f60\\u202e" in err


def test_the_c_locale(place: Path) -> None:
    """Where file names are ASCII too."""
    env = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    asked = [c for c in commands(place, place) if c[0] == "show" or c[-1].startswith("nothing")]
    done = command_line(DRIVER, json.dumps(asked[:3] + asked[-1:]), env=env)
    assert b"Traceback" not in done.stderr
    assert done.returncode == 0, done.stderr


MAIN = "from spiketicket.cli import main; main()"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("arguments", [["version"], ["zoo", "list"], ["run", "--help"]], ids=str)
def test_a_standard_output_that_is_full_is_a_line(arguments: list[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        done = command_line(MAIN, *arguments, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 2
    assert done.stderr.count(b"\n") == 1
    assert done.stderr.startswith(b"error: ")


def test_no_standard_output_at_all() -> None:
    arguments = [sys.executable, "-c", MAIN, "version"]
    done = subprocess.run(
        ["sh", "-c", '"$@" >&-', "sh", *arguments], stderr=subprocess.PIPE, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_standard_error_that_is_full_changes_nothing() -> None:
    with Path("/dev/full").open("wb") as full:
        done = command_line(MAIN, "find", "nothing", stdout=subprocess.PIPE, stderr=full)
    assert done.returncode == 2
