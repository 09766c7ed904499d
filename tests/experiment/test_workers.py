"""One training over two processes, against one process with the same batches."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from spiketicket.errors import UserError  # noqa: E402
from spiketicket.machine.workers import ALONE, Workers  # noqa: E402

pytestmark = pytest.mark.xdist_group("processes")

SETTINGS = (
    "data.train_limit=169",
    "train.epochs=2",
    "train.tune=off",
    "train.batch_size=32",
    "model.width=0.25",
    "train.precision=fp32",
    "controls.random_trained=false",
    "train.checkpoint_steps=2",
    "train.weights.name=sgd",
    "train.weights.lr=0.1",
    "train.scores.name=sgd",
    "train.scores.lr=1",
)


def command(runs: Path, processes: int, *settings: str) -> list[str]:
    program = "from spiketicket.cli import main; main()"
    start = [sys.executable]
    if processes > 1:
        file = runs.with_suffix(".py")
        file.write_text(program)
        start += ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
        start += [str(file)]
    else:
        start += ["-c", program]
    chosen = [part for s in (*SETTINGS, *settings) for part in ("--set", s)]
    return [*start, "find", "digits-binw", "--runs", str(runs), "--threads", "1", "--json", *chosen]


def find(runs: Path, processes: int, *settings: str) -> dict[str, object]:
    done = subprocess.run(
        command(runs, processes, *settings), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)  # printed once, not by every process
    return found


def logs(runs: Path, stage: str) -> list[dict[str, float]]:
    (log,) = runs.glob(f"*/seed-0/{stage}/log.jsonl")
    return [json.loads(line) for line in log.read_text().splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["ticket", "dense"])
def test_two_processes_train_as_one_does(both: tuple[Path, Path], stage: str) -> None:
    one, two = (logs(runs, stage) for runs in both)
    assert len(one) == len(two) == 2
    for a, b in zip(one, two, strict=True):
        assert b["loss"] == pytest.approx(a["loss"], rel=1e-4)
        assert b["validation_loss"] == pytest.approx(a["validation_loss"], rel=1e-4)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("ddp")
    find(folder / "one", 1)
    find(folder / "two", 2)
    return folder / "one", folder / "two"


@pytest.mark.slow
def test_a_killed_process_ends_all_and_the_run_goes_on_exactly(
    both: tuple[Path, Path], tmp_path: Path
) -> None:
    runs = tmp_path / "killed"
    with subprocess.Popen(
        command(runs, 2), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as launcher:
        checkpoint = runs / "x"
        while launcher.poll() is None and not checkpoint.exists():
            checkpoint = next(runs.glob("*/seed-0/ticket/checkpoint.pt"), checkpoint)
            time.sleep(0.01)
        assert launcher.poll() is None, "the run was over before it could be killed"
        children = subprocess.run(
            ["pgrep", "-P", str(launcher.pid)], capture_output=True, text=True, check=True
        ).stdout.split()
        os.kill(int(children[-1]), signal.SIGKILL)
        assert launcher.wait(60) != 0
    assert not list(runs.glob("*/result.json"))
    find(runs, 2)
    for name in ("ticket/model.ticket", "dense/model.ticket", "ticket/predictions.npy"):
        (whole,) = both[1].glob(f"*/seed-0/{name}")
        (resumed,) = runs.glob(f"*/seed-0/{name}")
        assert whole.read_bytes() == resumed.read_bytes()


def test_the_shares_are_all_rows() -> None:
    for count, processes in ((7, 3), (8, 2), (5, 5)):
        rows = np.arange(count)
        parts = [rows[Workers(rank, processes).share(count)] for rank in range(processes)]
        assert np.concatenate(parts).tolist() == rows.tolist()
        assert min(map(len, parts)) >= 1
    with pytest.raises(UserError, match="cannot be shared by 3 processes"):
        Workers(0, 3).share(2)


def test_a_process_alone_is_left_alone() -> None:
    model = torch.nn.Linear(2, 2)
    assert ALONE.parallel(model, [], synced=True) is model
    assert ALONE.sums(0.1, 2) == [0.1, 2]
    assert ALONE.agreed("x") == "x"
    assert all(p.requires_grad for p in model.parameters())


@pytest.mark.slow
def test_batch_statistics_of_its_own_rows_are_another_training(
    both: tuple[Path, Path], tmp_path: Path
) -> None:
    find(tmp_path / "own", 2, "train.sync_batch_norm=false")
    one, own = logs(both[0], "dense"), logs(tmp_path / "own", "dense")
    assert own[-1]["loss"] != pytest.approx(one[-1]["loss"], rel=1e-3)


@pytest.mark.slow
def test_processes_that_have_trained_together_can_do_so_again(tmp_path: Path) -> None:
    """The one that is done first is not to take the other's last group for the next: it hung."""
    program = tmp_path / "again.py"
    program.write_text(
        "from spiketicket.machine.workers import joined\n"
        "import time\n"
        "for turn in range(4):\n"
        "    with joined('cpu') as workers:\n"
        "        assert workers.agreed(turn) == turn\n"
        "        assert workers.sums(1.0) == [2.0]\n"
        "        time.sleep(0.5 * workers.first)  # as it writes the verdict\n"
    )
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    subprocess.run([*start, str(program)], check=True, timeout=120)
