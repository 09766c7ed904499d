"""show: what a run came to, or how far it is."""

import json
import math
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command import Result
from judged import judged

from spiketicket.cli.print_run import sparkline
from spiketicket.verdict.rules import StageScores

Run = Callable[..., Result]

RECIPE = """
name = "small"
[data]
name = "digits"
[model]
name = "convnet"
[ticket]
name = "edge_popup"
density = 0.5
[train]
epochs = 3
tune = "off"
"""
TITLES = ("ticket", "dense, trained", "random mask, trained", "random mask, frozen")
STAGES = {"ticket": 97.0, "dense": 98.0, "random_trained": 90.0, "random_frozen": 10.0}


def write(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def stage(folder: Path, name: str) -> dict[str, Any]:
    facts = {
        "stage": name,
        "density": 0.5,
        "binary": True,
        "bn_affine": False,
        "kept": 50,
        "parameters": 100,
        "file_bytes": 4321,
        "trained_epochs": 3,
    }
    history = [
        {"epoch": e, "loss": 2.0 / (e + 1), "validation_accuracy": 0.3 * (e + 1)} for e in range(3)
    ]
    accuracy = {"test_accuracy": STAGES[name], "validation_accuracy": 90.0}
    write(folder / "result.json", {**facts, **accuracy, "history": history})
    write(folder / "timing.json", {"wall_s": 75.0, "device": "a CPU", "threads": 1})
    return {
        **facts,
        "title": name.replace("_", " "),
        "test_accuracy": [STAGES[name]],
        "validation_accuracy": [90.0],
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A finished run."""
    made = tmp_path / "small-0123456789"
    made.mkdir()
    (made / "recipe.toml").write_text(RECIPE)
    listed = [
        {"name": name, "title": title, "role": "ticket" if name == "ticket" else "control"}
        for name, title in zip(STAGES, TITLES, strict=True)
    ]
    write(made / "stages.json", {"version": 1, "stages": listed})
    rows = [stage(made / "seed-0" / name, name) for name in STAGES]
    scores = {name: StageScores([value, value - 1]) for name, value in STAGES.items()}
    verdict = judged(scores).to_dict()
    write(
        made / "result.json",
        {
            "name": "small",
            "hash": "0123456789",
            "seeds": [0],
            "condition": "BinW-SNN",
            "notes": [],
            "device": "a CPU",
            "threads": 1,
            "verdict": verdict,
            "stages": rows,
            "tickets": ["small-seed0.ticket"],
        },
    )
    return made


def test_what_tuning_took_is_told_as_the_stages_say(spike: Run, folder: Path) -> None:
    result = json.loads((folder / "result.json").read_text())
    trials = [{"factor": 1.0, "epochs": 1, "validation_accuracy": 50.0, "validation_loss": 1.0}]
    result["stages"][1]["tuning"] = {"factor": 1.0, "seed": 0, "edge": False, "trials": trials}
    write(folder / "result.json", result)
    told = "tuning   1 trials of 1 kinds of stages on seed 0, half the epochs each"
    lines = spike("show", str(folder)).stdout.splitlines()
    assert told in lines, "where it is not known it is no 0 s"
    timing = folder / "seed-0" / "dense" / "timing.json"
    write(timing, {**json.loads(timing.read_text()), "tuning_s": 30.0})
    lines = spike("show", str(folder)).stdout.splitlines()
    assert f"{told}: 30.0 s, beside the times above" in lines


def test_a_finished_run(spike: Run, folder: Path) -> None:
    result = spike("show", str(folder))
    assert result.exit_code == 0
    rows = [line.split() for line in result.stdout.splitlines()]
    assert ["test", "accuracy", "%", "97.00", "98.00", "90.00", "10.00"] in rows
    assert [
        "time",
        "1",
        "min",
        "15",
        "s",
        "1",
        "min",
        "15",
        "s",
        "1",
        "min",
        "15",
        "s",
        "1",
        "min",
        "15",
        "s",
    ] in rows
    assert ["ticket", "█▃▁", "0.667", "▁▅█", "90.00"] in rows
    assert "Unproven: the seeds' differences are all equal" in result.stdout
    assert f"ticket   {folder / 'small-seed0.ticket'}" in result.stdout
    assert f"cost     not measured: spiketicket measure {folder}" in result.stdout


def test_what_was_measured_is_one_line(spike: Run, folder: Path) -> None:
    zero = {"dense": 9e6, "macs": 1e5, "acs": 2.2e6, "ac_units": 2.5e6, "updates": 0}
    measure = {
        "set": {"name": "digits", "part": "test", "images": 2, "of": 3},
        "timesteps": 4,
        "accuracy": 97.0,
        "groups": {},
        "total": zero,
        "layers": [],
        "neurons": [],
        "sparsity": {
            "mask_density": 0.5,
            "zero_weights": 0.5,
            "activation_sparsity": 0.9,
            "file_bytes": 1,
            "fp32_bytes": 4,
            "entropy_bytes": 1,
        },
        "energy": [{"table": "45nm-fp32", "total_pj": 2.71e6}],
    }
    write(folder / "seed-0" / "ticket" / "measure.json", measure)
    words = spike("show", str(folder)).stdout
    assert "ticket: 2.5 M accumulations, 100 k multiplications, 2.71 µJ by 45nm-fp32" in words


def test_comparisons_are_in_the_order_of_the_stages(spike: Run, folder: Path) -> None:
    result = json.loads((folder / "result.json").read_text())
    result["verdict"]["comparisons"] = dict(sorted(result["verdict"]["comparisons"].items()))
    write(folder / "result.json", result)
    shown = spike("show", str(folder)).stdout
    assert re.findall(r"ticket - (.*?)  ", shown) == ["dense", "random trained", "random frozen"]


def test_what_an_earlier_version_left_out_is_filled_in(spike: Run, folder: Path) -> None:
    whole = json.loads((folder / "result.json").read_text())
    for row in whole["stages"]:
        del row["title"], row["bn_affine"]
    del whole["tickets"], whole["notes"]
    for compared in whole["verdict"]["comparisons"].values():
        del compared["trained"], compared["title"]
    for key in ("budget", "floor", "beside"):
        del whole["verdict"][key]
    write(folder / "result.json", whole)
    assert "test accuracy %" in spike("show", str(folder)).stdout
    assert json.loads(spike("show", str(folder), "--json").stdout)["tickets"] == []


@pytest.mark.parametrize("wall_s", [math.inf, math.nan, "x", None, True, 1e308])
@pytest.mark.parametrize("command", ["show", "report"])
def test_a_time_that_is_none_is_no_reason_to_fail(
    spike: Run, folder: Path, command: str, wall_s: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)  # a report without a name is written there
    timing = {"wall_s": wall_s, "device": "a CPU", "threads": 1}
    write(folder / "seed-0" / "ticket" / "timing.json", timing)
    assert spike(command, str(folder)).exit_code == 0


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"tokens": {"kept": 1, "of": 2}}, "its densities or its ranking"),
        ({"operations": {"head": 3.0}}, "operations that are no tables"),
        ({"test_accuracy": [1.0, 2.0]}, "not an accuracy for every seed"),
        ({"density": "0.5"}, "density: input should be a valid number"),
    ],
)
def test_a_row_that_cannot_be_shown_is_told(
    spike: Run, folder: Path, change: dict[str, Any], told: str
) -> None:
    whole = json.loads((folder / "result.json").read_text())
    whole["stages"][0] |= change
    write(folder / "result.json", whole)
    done = spike("show", str(folder))
    assert done.exit_code == 0
    assert told in done.stdout


def test_an_unfinished_run(spike: Run, folder: Path) -> None:
    (folder / "result.json").unlink()
    begun = folder / "seed-0" / "random_trained"
    (begun / "result.json").unlink()
    (begun / "checkpoint.pt").write_bytes(b"")
    line = json.dumps({"epoch": 0, "loss": 2.0, "validation_accuracy": 0.25})
    (begun / "log.jsonl").write_text(line + "\n" + line[:20])
    shutil.rmtree(folder / "seed-0" / "random_frozen")
    result = spike("show", str(folder))
    assert result.exit_code == 0
    rows = [line.split() for line in result.stdout.splitlines()]
    assert "small: unfinished, 2 of 4 stages are done" in result.stdout
    assert ["ticket", "done", "97.00"] in rows
    assert ["random", "mask,", "trained", "begun,", "1", "epoch", "done", "-"] in rows
    assert ["random", "mask,", "frozen", "missing", "-"] in rows
    assert "none: it was stopped" in result.stdout
    assert "seed-0/random_trained/log.jsonl: 1 of 2 lines cannot be read" in result.stdout


@pytest.mark.parametrize(
    ("host", "pid", "words"),
    [
        (socket.gethostname(), os.getpid(), "running"),
        (socket.gethostname(), 2**22 + 1, "which has ended"),
        ("elsewhere", 1, "another machine"),
        (socket.gethostname(), "x", "none: it was stopped"),
    ],
    ids=["running", "ended", "elsewhere", "no number"],
)
def test_who_works_in_a_run(spike: Run, folder: Path, host: str, pid: Any, words: str) -> None:
    (folder / "result.json").unlink()
    write(folder / ".claimed-by", {"pid": pid, "host": host})
    assert words in spike("show", str(folder)).stdout


def test_json(spike: Run, folder: Path) -> None:
    found = json.loads(spike("show", str(folder), "--json").stdout)
    assert found["verdict"]["outcome"] == "unproven"
    assert found["stages"][0]["wall_s"] == 75.0
    (folder / "result.json").unlink()
    found = json.loads(spike("show", str(folder), "--json").stdout)
    assert found["expected"] == list(STAGES)
    assert [row["done"] for row in found["stages"]] == [True] * 4


def test_a_folder_that_is_no_run(spike: Run, tmp_path: Path) -> None:
    result = spike("show", str(tmp_path))
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: {tmp_path}: is no run folder")


def test_names_do_not_steer_the_terminal(spike: Run, folder: Path) -> None:
    (folder / "result.json").unlink()
    (folder / "recipe.toml").write_text(RECIPE.replace("small", "\\u001b[31m[bold]\\u202e"))
    words = spike("show", str(folder)).stdout
    assert not {"\x1b", "\u202e"} & set(words)
    assert "[bold]" in words


def test_show_of_a_run_needs_no_torch(folder: Path) -> None:
    code = f"""
import sys
sys.modules["torch"] = None
from spiketicket.cli import main
sys.argv = ["spiketicket", "show", {str(folder)!r}]
main()
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=180)


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ([], ""),
        ([1.0], "▁"),
        ([2.0, 2.0], "▁▁"),
        ([0.0, 1.0], "▁█"),
        ([0.0, math.nan, 1.0, math.inf], "▁?█?"),
        ([math.nan], "?"),
        (list(range(8)), "▁▂▃▄▅▆▇█"),
    ],
)
def test_sparklines(values: list[float], line: str) -> None:
    assert sparkline(values) == line


def test_a_long_sparkline_keeps_both_ends() -> None:
    line = sparkline(list(range(1000)), widest=10)
    assert len(line) == 10
    assert (line[0], line[-1]) == ("▁", "█")
