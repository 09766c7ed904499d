"""Ctrl-C, for real."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.xdist_group("processes")

SCRIPT = Path(sys.executable).with_name("spiketicket")
# A shell that puts the tests into the background has Ctrl-C ignored, in its children as well.
HEARING = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from spiketicket.cli import main
main()
"""


@pytest.mark.slow
def test_a_stopped_search_goes_on(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-c",
        HEARING,
        "find",
        "digits-binw",
        "--set",
        "train.epochs=2",
        "--tune",
        "off",
        "--set",
        "data.train_limit=300",
        "--set",
        "train.checkpoint_steps=3",
        "--set",
        "model.width=0.25",
        "--runs",
        tmp_path,
    ]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 300
    while not list(tmp_path.glob("*/*/*/checkpoint.pt")) and time.monotonic() < until:
        assert run.poll() is None, run.communicate()
        time.sleep(0.02)
    run.send_signal(signal.SIGINT)
    stdout, stderr = run.communicate(timeout=300)
    assert (run.returncode, stdout) == (130, "")
    assert stderr.endswith("stopped; run the same command again to go on\n")

    done = subprocess.run([*command, "--json"], capture_output=True, check=True, timeout=300)
    (ticket,) = json.loads(done.stdout)["tickets"]
    shown = subprocess.run([SCRIPT, "show", ticket], capture_output=True, check=True, timeout=300)
    assert b"BinW-SNN" in shown.stdout
    tested = subprocess.run([SCRIPT, "eval", ticket, "--json"], capture_output=True, check=True)
    result = json.loads(tested.stdout)
    assert result["test_accuracy"] == pytest.approx(result["stated_accuracy"])
