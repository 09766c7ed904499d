"""``spiketicket live`` as a program: lines, summary, pipes, signals."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import Result

from spiketicket.events import EVENT

Run = Callable[..., Result]


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Half a second, 34x34."""
    rng = np.random.default_rng(0)
    data = np.zeros(20_000, EVENT)
    data["t"] = np.arange(20_000) * 25
    for name, most in (("x", 34), ("y", 34), ("p", 2)):
        data[name] = rng.integers(0, most, len(data))
    path = tmp_path / "recording.npy"
    np.save(path, data)
    return path


def _started(*arguments: str, **how: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "spiketicket", "live", "nmnist1k-vgg", *arguments]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **how
    )


def test_a_line_of_json_a_decision_and_a_summary(spike: Run, recording: Path) -> None:
    done = spike("live", "nmnist1k-vgg", str(recording), "--window-ms", "100", "--speed", "max")
    assert done.exit_code == 0
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["start_us"] for line in lines] == [0, 100_000, 200_000, 300_000]
    assert all(len(line["logits"]) == 10 for line in lines)
    assert "4 decisions" in done.stderr
    assert "20,000 events" in done.stderr


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--speed", "fast"], "must be a number above 0, or max"),
        (["--roi", "1,2"], "must be LEFT,TOP,WIDTH,HEIGHT"),
        (["--sensor", "34"], "must have the form WIDTHxHEIGHT"),
        ([], "Give --window-ms"),
    ],
)
def test_mistakes_are_one_line(spike: Run, recording: Path, more: list[str], words: str) -> None:
    done = spike("live", "nmnist1k-vgg", str(recording), *more)
    assert done.exit_code == 2
    assert words in done.stderr
    assert not done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_with_the_summary(recording: Path, how: signal.Signals) -> None:
    running = _started(str(recording), "--window-ms", "20", "--loop")
    assert running.stdout is not None
    running.stdout.readline()
    running.send_signal(how)
    _, err = running.communicate(timeout=30)
    assert running.returncode == 0
    assert "decisions in" in err


@pytest.mark.slow
def test_a_reader_that_goes_ends_it_with_the_summary(recording: Path) -> None:
    running = _started(str(recording), "--window-ms", "20", "--loop")
    assert running.stdout is not None
    assert running.stderr is not None
    running.stdout.readline()
    running.stdout.close()
    with running.stderr:
        err = running.stderr.read()
    assert running.wait(timeout=30) == 1
    assert "has gone" in err
    assert "decisions in" in err


@pytest.mark.slow
def test_a_full_pipe_drops_windows_and_nothing_else(recording: Path) -> None:
    running = _started(str(recording), "--window-ms", "4", "--hop-ms", "1", "--loop")
    assert running.stdout is not None
    assert json.loads(running.stdout.readline())
    time.sleep(2.5)  # nobody reads: 64 KiB are some 200 lines
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=30)
    assert running.returncode == 0
    dropped = int(err.split("left out: ")[1].split(" windows")[0].replace(",", ""))
    assert dropped > 100
    assert all(json.loads(line) for line in out.splitlines()[:-1])


@pytest.mark.slow
def test_on_a_terminal_there_is_a_screen_that_goes_away(recording: Path) -> None:
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "spiketicket", "live", "nmnist1k-vgg", str(recording)]
    running = subprocess.Popen(
        [*command, "--window-ms", "20"],
        stdout=theirs,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TERM": "xterm"},
    )
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):
        while more := os.read(ours, 65_536):
            shown += more
    _, err = running.communicate(timeout=30)
    os.close(ours)
    assert running.returncode == 0
    assert b"decisions/s" in shown
    assert b"dropped windows" in shown
    assert shown.endswith(b"\x1b[?25h\x1b[?1049l")
    assert "decisions in" in err
