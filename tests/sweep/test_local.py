"""Real worker processes: killed, and left behind by a killed driver."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import pytest
import torch

from spiketicket.experiment.find import find
from spiketicket.machine import cores, parallel
from spiketicket.sweep import Local, run_runs, worker
from spiketicket.sweep.axes import make_runs, parse_axes

pytestmark = pytest.mark.xdist_group("processes")

# A shell that puts the tests into the background has Ctrl-C ignored, in its children as well.
MAIN = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from spiketicket.cli import main
main()
"""
SWEEP = [
    sys.executable,
    "-c",
    MAIN,
    "sweep",
    "digits-binw",
    "--axis",
    "ticket.density=0.2,0.3",
    "--quiet",
    "--json",
    "--name",
    "x",
    "--cpus-per-run",
    "1",
]
SETTINGS = [
    "data.train_limit=60",
    "model.width=0.25",
    "model.timesteps=1",
    "train.epochs=20",
    "train.tune=off",
    "train.batch_size=20",
    "train.checkpoint_steps=1",
    "controls.random_trained=false",
]


def command(runs):
    return [*SWEEP, "--runs", str(runs), *(x for s in SETTINGS for x in ("--set", s))]


@pytest.fixture(scope="module")
def made():
    from spiketicket.recipe import read_tables
    from spiketicket.recipe.named import packaged_recipes

    tables = read_tables(packaged_recipes()["digits-binw"])
    return make_runs(tables, parse_axes(["ticket.density=0.2,0.3"]), SETTINGS)


@pytest.fixture(scope="module")
def alone(made, tmp_path_factory):
    """What find makes of the same recipes, one by one, without a sweep."""
    folder = tmp_path_factory.mktemp("alone")
    for run in made:
        find(run.recipe, runs_dir=folder, threads=1)
    return folder


def wait_for(what, process=None, seconds=600):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if found := what():
            return found
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.01)
    pytest.fail("it did not come")


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.slow
def test_a_killed_worker_is_replaced_and_goes_on_from_its_checkpoint(
    tmp_path, made, alone, content, listener
):
    class Killer(type(listener)):
        killed = 0
        trained: ClassVar = {}

        def tick(self, view):
            at_work = [w.process.pid for w in carrier._running.values()]
            if at_work and view.running and not self.killed:
                ((task, _, _),) = view.running
                # a line is written before the checkpoint of its epoch, so the second says that
                # the first epoch will not be trained again
                logs = (tmp_path / task.place).rglob("log.jsonl")
                if any(log.read_bytes().count(b"\n") >= 2 for log in logs):
                    self.task, (self.killed,) = task, at_work
                    os.kill(self.killed, signal.SIGKILL)
            super().tick(view)

        def finished(self, task, outcome):
            self.trained[task.id] = outcome.epochs

    carrier, killer = Local(1, 1), Killer()
    result = run_runs(made, tmp_path, carrier, observer=killer)
    assert [row["state"] for row in result.rows] == ["done", "done"]
    (said,) = [text for text in killer.said if "SIGKILL" in text]
    assert "the worker was ended by signal SIGKILL; going on from its checkpoint" in said
    assert not alive(killer.killed)
    assert killer.trained[killer.task.id] < killer.task.epochs
    for run in made:
        assert content(tmp_path / run.folder) == content(alone / run.folder)


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_driver_that_ends_is_started_again(tmp_path, made, alone, content, how):
    first = subprocess.Popen(command(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    place = wait_for(lambda: list(tmp_path.rglob("checkpoint.pt")), first)[0].parent
    worker = json.loads(next(tmp_path.rglob(".claimed-by*")).read_text())["pid"]
    assert worker != first.pid
    first.send_signal(how)
    out, err = first.communicate(timeout=100)
    if how != signal.SIGKILL:
        assert (first.returncode, out) == (130, b"")
        assert err.endswith(b"stopped; run the same command again to go on\n")
    wait_for(lambda: not alive(worker))
    assert not (place / "result.json").exists()
    again = subprocess.run(command(tmp_path), capture_output=True, check=True, timeout=900)
    rows = json.loads(again.stdout)["runs"]
    assert [row["state"] for row in rows] == ["done", "done"]
    for run in made:
        assert content(tmp_path / run.folder) == content(alone / run.folder)


@pytest.mark.slow
def test_two_workers_do_what_one_does(tmp_path, made, alone, content):
    result = run_runs(made, tmp_path, Local(2, 1))
    assert [row["state"] for row in result.rows] == ["done", "done"]
    for run in made:
        assert content(tmp_path / run.folder) == content(alone / run.folder)


def test_threads_are_shared_out(monkeypatch):
    monkeypatch.setattr("spiketicket.machine.cores.cores", lambda: 8)
    assert [Local(n).threads for n in (1, 2, 3, 9)] == [8, 4, 2, 1]
    assert Local(2, 1).threads == 1


@pytest.mark.parametrize(("told", "threads", "share"), [(None, None, 4), (3, 3, 3)])
def test_a_worker_is_told_its_share_and_waits_asleep(monkeypatch, told, threads, share):
    monkeypatch.setattr("spiketicket.machine.cores.cores", lambda: 8)
    for name in cores.WAITING:
        monkeypatch.delenv(name, raising=False)
    started = []

    class Process:
        def __init__(self, target, args, **rest):
            self.settings = args[1]

        def start(self):
            started.append((self.settings, {name: os.environ[name] for name in cores.WAITING}))

    context = SimpleNamespace(Pipe=multiprocessing.Pipe, Process=Process)
    monkeypatch.setattr("multiprocessing.get_context", lambda kind: context)
    Local(2, told)._start()
    ((settings, environment),) = started
    assert (settings.threads, settings.share, environment) == (threads, share, cores.WAITING)


def test_a_run_of_a_sweep_takes_at_most_its_share(monkeypatch, tmp_path):
    seen, before = [], torch.get_num_threads()
    monkeypatch.setattr(worker, "_look_around", lambda settings, host: None)
    monkeypatch.setattr(worker, "Fence", lambda path, token: lambda: None)
    monkeypatch.setattr(worker, "_do", lambda *_: seen.append(parallel.threads()))
    order = worker.Order(SimpleNamespace(id="x"), 1, "token")
    worker.execute(order, worker.Settings(runs_dir=str(tmp_path), sweep="sweep", share=3))
    assert (seen, torch.get_num_threads()) == ([3], before)
