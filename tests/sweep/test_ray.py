"""A real Ray cluster of two nodes on this machine, of which this and that is killed.

The nodes are `ray start` processes on the loopback address; each is ended by its process group.
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from spiketicket.experiment.find import find
from spiketicket.sweep import Local, RayCluster, run_runs
from spiketicket.sweep.axes import make_runs, parse_axes

pytest.importorskip("ray", reason="Ray is not installed: pip install 'spiketicket[cluster]'")
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("processes")]

AXES = ["ticket.density=0.2,0.3", "seed=0:1"]
SETTINGS = [
    "data.train_limit=60",
    "model.width=0.25",
    "model.timesteps=1",
    "train.epochs=30",
    "train.tune=off",
    "train.batch_size=10",
    "train.checkpoint_steps=1",
    "controls.random_trained=false",
]
COMMAND = [
    sys.executable,
    "-c",
    "from spiketicket.cli import main; main()",
    "sweep",
    "digits-binw",
    *(x for axis in AXES for x in ("--axis", axis)),
    *(x for s in SETTINGS for x in ("--set", s)),
    "--executor",
    "ray",
    "--name",
    "x",
    "--json",
]


class Cluster:
    """Nodes by name; each is a process group of its own."""

    def __init__(self, folder):
        self.folder, self.nodes = folder, {}
        # Not the last cluster's, whose server may not have closed it yet.
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self.port = found.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        # A socket's path has at most 107 characters, which pytest's own folders use up.
        self.short = tempfile.mkdtemp(prefix="ray-")

    def start(self, name, cpus, *arguments):
        command = [
            Path(sys.executable).with_name("ray"),
            "start",
            "--block",
            "--node-ip-address",
            "127.0.0.1",
            "--num-cpus",
            str(cpus),
            "--disable-usage-stats",
            "--object-store-memory",
            "80000000",
            *arguments,
        ]
        with (self.folder / f"{name}.log").open("wb") as log:
            self.nodes[name] = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                env={**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1"},
            )

    def head(self, cpus):
        self.start(
            "head",
            cpus,
            "--head",
            "--port",
            str(self.port),
            "--include-dashboard",
            "false",
            "--temp-dir",
            self.short,
        )
        deadline = time.monotonic() + 120
        while b"Ray runtime started" not in (self.folder / "head.log").read_bytes():
            assert time.monotonic() < deadline, (self.folder / "head.log").read_text()
            assert self.nodes["head"].poll() is None, (self.folder / "head.log").read_text()
            time.sleep(0.1)

    def join(self, name, cpus):
        self.start(name, cpus, "--address", self.address)

    def kill(self, name):
        """All processes of a node at once, as when its power fails."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.nodes[name].pid, signal.SIGKILL)
        self.nodes.pop(name).wait()


@pytest.fixture
def cluster(tmp_path):
    made = Cluster(tmp_path)
    try:
        yield made
    finally:
        for name in list(made.nodes):
            made.kill(name)
        shutil.rmtree(made.short, ignore_errors=True)


def make(settings):
    from spiketicket.recipe import read_tables
    from spiketicket.recipe.named import packaged_recipes

    tables = read_tables(packaged_recipes()["digits-binw"])
    return make_runs(tables, parse_axes(AXES), settings)


@pytest.fixture(scope="module")
def made():
    """Long enough to be killed meanwhile."""
    return make(SETTINGS)


@pytest.fixture(scope="module")
def short():
    return make([s.replace("epochs=30", "epochs=4") for s in SETTINGS])


def wait_for(what, process, seconds=600):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if found := what():
            return found
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    pytest.fail("it did not come")


def owner(checkpoint):
    """The process that works where this checkpoint is."""
    seed = checkpoint.parent.parent
    shared = seed.parent.name == ".shared"
    file = seed / ".claimed-by" if shared else seed.parent / f".claimed-by-{seed.name}"
    with contextlib.suppress(OSError, ValueError):
        return json.loads(file.read_text())["pid"]
    return None


def test_everything_dies_once_and_every_run_is_done_once(tmp_path, made, cluster, content):
    runs = tmp_path / "runs"
    cluster.head(0)
    first = subprocess.Popen(
        [*COMMAND, "--address", cluster.address, "--runs", str(runs)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    state = runs / "sweep-x" / "sweep.json"
    wait_for(state.exists, first)
    assert "running" not in {t["state"] for t in json.loads(state.read_text())["tasks"].values()}
    cluster.join("late", 1)  # a node that joins late does what there was no node for

    def at_work():
        return [(p, owner(p)) for p in runs.rglob("checkpoint.pt") if owner(p)]

    pid = wait_for(at_work, first)[0][1]
    os.kill(pid, signal.SIGKILL)  # the worker, in the middle of a training
    wait_for(lambda: [o for _, o in at_work() if o != pid], first)
    cluster.join("other", 1)
    wait_for(lambda: len({o for _, o in at_work()}) == 2, first)
    cluster.kill("late")  # a whole node: what it did is taken up on the other
    time.sleep(1)
    first.kill()  # the driver
    first.wait()
    done = {p: p.stat().st_mtime_ns for p in runs.rglob("result.json")}
    second = subprocess.run(
        [*COMMAND, "--address", cluster.address, "--runs", str(runs)],
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert second.returncode == 0, second.stderr
    result = json.loads(second.stdout)
    assert [row["state"] for row in result["runs"]] == ["done", "done"]
    # nothing that was done has been done once more
    assert {p: p.stat().st_mtime_ns for p in done} == done
    assert not list(runs.rglob("checkpoint.pt"))
    assert not list(runs.rglob("error.json"))
    run_runs(made, tmp_path / "local", Local(1, 1))
    for run in made:
        assert content(runs / run.folder) == content(tmp_path / "local" / run.folder)


def test_it_gives_what_find_gives(tmp_path, short, cluster, content, listener):
    cluster.head(2)
    result = run_runs(short[:1], tmp_path / "runs", RayCluster(cluster.address), observer=listener)
    assert [row["state"] for row in result.rows] == ["done"]
    find(short[0].recipe, seeds=2, runs_dir=tmp_path / "alone", threads=1)
    run = short[0].folder
    assert content(tmp_path / "runs" / run) == content(tmp_path / "alone" / run)


def test_no_cluster_is_a_clear_error(tmp_path, made):
    from spiketicket.errors import UserError

    with pytest.raises(UserError, match=r"there is no Ray cluster.*ray start --head"):
        run_runs(made, tmp_path, RayCluster("127.0.0.1:6398"))
