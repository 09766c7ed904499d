"""Mistakes are one line and exit code 2; Ctrl-C is 130; a bug of ours stays a traceback."""

import errno
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command import Result
from room import files_at_most

from spiketicket.cli.export import Target
from spiketicket.errors import NO_TORCH, UserError
from spiketicket.ticket.zoo import find_ticket

Run = Callable[..., Result]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            ["find", "nothing.toml"],
            "error: nothing.toml: no such recipe file. Recipes in the package:",
        ),
        (
            ["find", "digits-bin"],
            "error: digits-bin: no such recipe file. Did you mean digits-binw?",
        ),
        (["find", "--set", "seed=1", "--set", "seed=2"], "error: --set seed: is given twice"),
        (
            ["find", "--set", "model.name=vgg8"],
            "error: --set model.name: unknown network (got 'vgg8'). Did you mean vgg9?",
        ),
        (["find", "--set", "ticket.density=0"], "error: --set ticket.density: must be > 0 (got 0)"),
        (
            ["train", "--set", "model.timesteps=0"],
            "error: --set model.timesteps: must be >= 1 (got 0)",
        ),
        (["eval", "nothing.ticket"], "nothing.ticket"),
        (["show", "nothing.ticket"], "nothing.ticket"),
        (["data", "check", "nothing"], "error: unknown dataset (got 'nothing')"),
        (["data", "get", "nothing"], "error: unknown dataset (got 'nothing')"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input(spike: Run, arguments: list[str], text: str) -> None:
    result = spike(*arguments)
    assert result.exit_code == 2
    assert text in result.stderr
    assert all(line.startswith("error: ") for line in result.stderr.splitlines())
    assert result.stdout == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["nothing"],
        ["find", "--seeds", "0"],
        ["find", "--threads", "0"],
        ["find", "--device", "x"],
        ["find", "--nothing"],
        ["eval"],
        ["show"],
        ["data", "nothing"],
        ["find", "a", "b"],
    ],
    ids=" ".join,
)
def test_bad_usage(spike: Run, arguments: list[str]) -> None:
    result = spike(*arguments)
    assert result.exit_code == 2
    assert "Traceback" not in result.output


def test_choices_are_told_in_a_line(spike: Run) -> None:
    result = spike("export", "x.ticket")
    assert result.exit_code == 2
    targets = ", ".join(Target)
    assert f"--to: is missing. It is one of {targets}. See " in result.output


def test_every_mistake_of_a_recipe_has_its_line(spike: Run) -> None:
    result = spike("find", "--set", "ticket.density=2", "--set", "model.x=1", "--set", "seed=-1")
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 3


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (UserError("is wrong", where="here"), "error: here: is wrong\n"),
        (
            OSError(errno.ENOSPC, "No space left on device", "runs/a"),
            "error: runs/a: the disk is full. Make room, then run the same command again to go on"
            "\n",
        ),
        (
            OSError(errno.EROFS, "Read-only file system", "runs/a"),
            "error: runs/a: no permission, or the disk is read-only. Choose another folder\n",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "runs/a"),
            "error: runs/a: no permission, or the disk is read-only. Choose another folder\n",
        ),
        (
            NotADirectoryError(errno.ENOTDIR, "Not a directory", "runs"),
            "error: runs: Not a directory\n",
        ),
        (ModuleNotFoundError("No module named 'torch'", name="torch"), f"error: {NO_TORCH}\n"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_errors_of_a_run(spike: Run, fake_run: Any, error: BaseException, text: str) -> None:
    fake_run.error = error
    result = spike("find", "--json")
    assert result.exit_code == 2
    assert result.stderr == text


def test_ctrl_c(spike: Run, fake_run: Any) -> None:
    fake_run.error = KeyboardInterrupt()
    result = spike("find")
    assert result.exit_code == 130
    assert result.stderr.endswith("stopped; run the same command again to go on\n")


@pytest.mark.parametrize("error", [ValueError("a bug"), ModuleNotFoundError("x", name="x")])
def test_a_bug_is_not_hidden(spike: Run, fake_run: Any, error: Exception) -> None:
    fake_run.error = error
    with pytest.raises(type(error)):
        spike("find")


@pytest.mark.slow
@pytest.mark.parametrize("command", ["find", "train", "eval digits-binw"])
def test_without_torch(command: str) -> None:
    code = f"""
import sys
sys.modules["torch"] = None
from spiketicket.cli import main
sys.argv = ["spiketicket", *{command.split()!r}]
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (2, f"error: {NO_TORCH}\n")


def test_a_cuda_that_is_not_there(spike: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    result = spike("find", "--device", "cuda")
    assert (result.exit_code, result.stderr) == (
        2,
        "error: --device: PyTorch sees no CUDA device (got 'cuda'). Use cpu\n",
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_for_the_output() -> None:
    code = "import sys; from spiketicket.cli import main; sys.argv[1:] = ['data', 'list']; main()"
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", code],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode != 0
    assert "Traceback" not in done.stderr


HOSTILE = "a\x1b]0;t\x07\x9b2J\u202e\u200b\nerror: forged\u2028b"


@pytest.mark.parametrize(
    "arguments",
    [
        ["find", HOSTILE],
        ["find", "--set", f"{HOSTILE}=1"],
        ["find", "--set", f"model.name={HOSTILE}"],
        ["find", "--device", HOSTILE],
        ["find", f"--{HOSTILE}"],
        [HOSTILE],
        ["show", HOSTILE],
        ["run", HOSTILE, HOSTILE],
        ["run", "x", "--top", HOSTILE],
        ["data", "check", HOSTILE],
        ["data", HOSTILE],
        ["zoo", "path", HOSTILE],
        ["report", HOSTILE],
        ["reproduce", HOSTILE],
        ["measure", HOSTILE],
        ["export", HOSTILE, "--to", "c", "-o", "x"],
        ["sweep", "--axis", f"{HOSTILE}=1,2"],
        ["compare", "--methods", HOSTILE],
    ],
    ids=lambda arguments: " ".join(a for a in arguments if a != HOSTILE)[:20],
)
def test_a_name_can_neither_steer_the_terminal_nor_forge_a_line(
    spike: Run, arguments: list[str]
) -> None:
    result = spike(*arguments)
    assert result.exit_code == 2
    assert result.stderr
    for line in result.stderr.split("\n"):
        assert line.isprintable()
        assert not line.startswith("error: forged")
    assert "\\u202e" in result.stderr


def test_a_recipe_has_one_line_a_mistake_whatever_its_values_are(
    spike: Run, tmp_path: Path
) -> None:
    path = tmp_path / "x.toml"
    path.write_text('[model]\nname = "\\u001b[2J\\nerror: forged\\u202e"\n"k\\u2028" = 1\n')
    result = spike("find", str(path))
    lines = result.stderr.splitlines()
    assert all(line.startswith("error: ") and line.isprintable() for line in lines)
    assert not any(line.startswith("error: forged") for line in lines)


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ["pack", "{}", "-o", "OUT/a.ticket"],
        *(["export", "{}", "--to", to, "-o", "OUT"] for to in ("c", "torch", "pt2", "hub")),
    ],
    ids=" ".join,
)
def test_a_file_that_finds_no_room_is_named_with_a_remedy(
    spike: Run, tmp_path: Path, arguments: list[str]
) -> None:
    """PyTorch itself ended the process where it could not write."""
    places = {"{}": str(find_ticket("digits-binw").path), "OUT": str(tmp_path)}
    given = [places.get(a, a.replace("OUT", str(tmp_path))) for a in arguments]
    with files_at_most(1000):
        done = spike(*given)
    assert done.exit_code == 2
    assert "is larger than a file may be here" in done.stderr
    assert "Make room" in done.stderr
    assert not list(tmp_path.iterdir())
