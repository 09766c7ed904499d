"""What a sweep costs a run beyond the bare run, and how many runs an hour it does.

    python benchmarks/sweep.py [--runs 6] [--epochs 5] [--rounds 1] [--output results/sweep.jsonl]

Digits in a small convnet, one thread per run, one seed a run. Contenders, one after the other in
every round:

    bare          spiketicket.find for one recipe after the other, in one process that has imported
                  everything: the least it can take
    shell-loop    a `spiketicket find` process for each
    local-1       the sweep with one worker, and local-2 with two
    ray-1, ray-2  the same on a Ray cluster of one node on the loopback address; left out where
                  Ray is not installed

In the race `overhead` the runs have nothing in common, so the sweep saves nothing; in `density`
they share the dense control. `startup_s` is the time until the first task is at work, `overhead_s`
what a sweep takes beyond bare a run: with the startup, and `steady_s` without.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from spiketicket.experiment.find import find
from spiketicket.experiment.provenance import machine
from spiketicket.recipe import to_toml
from spiketicket.sweep import Local, RayCluster, Silent, run_runs
from spiketicket.sweep.axes import Run, make_runs, parse_axes

PORT = 6397
CONTENDERS = ("bare", "shell-loop", "local-1", "local-2", "ray-1", "ray-2")
RACES = ("overhead", "density")
GOALS = {"local-1": 1.0, "ray-1": 3.0}
"""Seconds that a run may take longer than bare."""


class First(Silent):
    """When the first task had begun."""

    def __init__(self) -> None:
        self.started, self.startup = time.perf_counter(), 0.0

    def finished(self, task: Any, outcome: Any) -> None:
        if not self.startup:
            self.startup = time.perf_counter() - self.started - outcome.seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=6)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--contenders", nargs="*", default=list(CONTENDERS), choices=CONTENDERS)
    parser.add_argument("--races", nargs="*", default=list(RACES), choices=RACES)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    names = [n for n in options.contenders if not n.startswith("ray") or _has_ray()]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # leaves no Ray node behind
    rows = []
    for race in options.races:
        found = measure(race, names, options.runs, options.epochs, options.rounds)
        for row in found:
            print(json.dumps(row), flush=True)
        rows += found
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text("".join(json.dumps(row, sort_keys=True) + "\n" for row in rows))


def measure(race: str, names: list[str], count: int, epochs: int, rounds: int) -> list[Any]:
    """A row per contender; times are medians over the rounds."""
    runs = recipes(race, count, epochs)
    with tempfile.TemporaryDirectory() as scratch:
        find(runs[0].recipe, runs_dir=Path(scratch), threads=1)  # builds the kernel, reads the data
    walls: dict[str, list[float]] = {name: [] for name in names}
    startups: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            with tempfile.TemporaryDirectory() as scratch:
                wall, startup = timed(name, runs, Path(scratch))
            walls[name].append(wall)
            startups[name].append(startup)
    bare = statistics.median(walls[names[0]])
    rows = []
    for name in names:
        wall, startup = statistics.median(walls[name]), statistics.median(startups[name])
        row = {
            "benchmark": "sweep",
            "race": race,
            "contender": name,
            "runs": count,
            "epochs": epochs,
            "rounds": rounds,
            "wall_s": round(wall, 2),
            "runs_per_hour": round(3600 * count / wall, 1),
            **machine(torch.device("cpu")),
        }
        if name != "bare" and not name.endswith("-2"):
            row |= {"overhead_s": round((wall - bare) / count, 3)}
        if name.startswith(("local", "ray")):
            row |= {"startup_s": round(startup, 2)}
        if name in GOALS:
            row |= {"steady_s": round((wall - startup - bare) / count, 3), "goal_s": GOALS[name]}
        rows.append(row)
    return rows


def recipes(race: str, count: int, epochs: int) -> list[Run]:
    """As many densities; without a dense control nothing is shared."""
    base = {
        "name": "bench",
        "data": {"name": "digits"},
        "model": {"name": "convnet", "width": 0.5, "timesteps": 2},
        "neuron": {"name": "lif"},
        "ticket": {"name": "edge_popup", "density": 0.5},
        "train": {"epochs": epochs, "batch_size": 64, "precision": "fp32"},
        "controls": {"dense": race == "density"},
    }
    return make_runs(base, parse_axes([f"ticket.density=0.2:{0.2 + 0.05 * (count - 1):.2f}:0.05"]))


def timed(name: str, runs: list[Run], folder: Path) -> tuple[float, float]:
    """Seconds of a contender in all, and until it was at work."""
    kind, _, workers = name.partition("-")
    if name == "bare":
        started = time.perf_counter()
        for run in runs:
            find(run.recipe, runs_dir=folder, threads=1)
        return time.perf_counter() - started, 0.0
    if name == "shell-loop":
        return shell_loop(runs, folder), 0.0
    if kind == "local":
        return swept(runs, folder, Local(int(workers), 1))
    with cluster(int(workers)) as address:
        return swept(runs, folder, RayCluster(address))


def swept(runs: list[Run], folder: Path, executor: Any) -> tuple[float, float]:
    """Seconds of a sweep, and until its first task was at work."""
    first = First()
    result = run_runs(runs, folder, executor, observer=first)
    wall = time.perf_counter() - first.started
    assert all(row["state"] == "done" for row in result.rows), result
    return wall, first.startup


def shell_loop(runs: list[Run], folder: Path) -> float:
    """Seconds of a process for every run."""
    script = Path(sys.executable).with_name("spiketicket")
    started = time.perf_counter()
    for run in runs:
        recipe = folder / "recipe.toml"
        recipe.write_text(to_toml(run.recipe))
        command = [script, "find", recipe, "--runs", folder, "--threads", "1", "--json"]
        subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - started


def _has_ray() -> bool:
    return importlib.util.find_spec("ray") is not None


@contextlib.contextmanager
def cluster(cpus: int) -> Iterator[str]:
    """A Ray node on the loopback address; ended with its process group."""
    scratch = tempfile.mkdtemp(prefix="ray-")
    command = [
        Path(sys.executable).with_name("ray"),
        "start",
        "--head",
        "--block",
        "--port",
        str(PORT),
        "--node-ip-address",
        "127.0.0.1",
        "--num-cpus",
        str(cpus),
        "--include-dashboard",
        "false",
        "--disable-usage-stats",
        "--temp-dir",
        scratch,
        "--object-store-memory",
        "80000000",
    ]
    log = Path(scratch) / "start.log"
    with log.open("wb") as out:
        node = subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True)
    try:
        while b"Ray runtime started" not in log.read_bytes():
            assert node.poll() is None, log.read_text()
            time.sleep(0.1)
        yield f"127.0.0.1:{PORT}"
    finally:
        os.killpg(node.pid, signal.SIGKILL)
        node.wait()
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
