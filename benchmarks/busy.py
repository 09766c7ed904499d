"""The demo on a machine that does something else too, and at which size a second thread pays.

    python benchmarks/busy.py [--rounds 5] [--epochs 4] [--busy 2] [--record results/busy.jsonl]

Race `demo`: `spiketicket find digits-binw` of few epochs and one seed, alone and beside `--busy`
processes that compute in a loop, in turn. Contenders:

    now       as it is
    one       on one thread
    spinning  as before: OpenMP's own way to wait, a thread per core. Beside busy processes it
              is run once, and ended after `--limit` seconds: then its time is at least that

Race `steps`: a training step of nets of several sizes, on one thread and on two, each in a process
of its own, in turn as turns.py says. It needs a machine that does nothing else.

The busy processes end by themselves after ten minutes, whatever becomes of this one.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from spiketicket.machine import cores
from turns import take_turns

CONTENDERS = ("now", "one", "spinning")
SIZES = (
    ("convnet", 1.0, 16),
    ("convnet", 1.0, 32),
    ("convnet", 1.0, 64),
    ("convnet", 1.0, 128),
    ("convnet", 0.5, 64),
    ("vgg9", 0.125, 16),
    ("vgg9", 0.5, 16),
)
"""Network, width, batch."""
SLOWER, AS_FAST = 2.5, 1.05
"""Most times that the demo may take beside busy processes, and alone beside `spinning`."""
BUSY = "import time\nend = time.monotonic() + 600\nwhile time.monotonic() < end: pass"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--busy", type=int, default=2)
    parser.add_argument("--limit", type=float, default=120.0)
    parser.add_argument("--contenders", nargs="*", default=list(CONTENDERS), choices=CONTENDERS)
    parser.add_argument("--races", nargs="*", default=["demo", "steps"], choices=["demo", "steps"])
    parser.add_argument("--record", type=Path, help="write the rows to this file")
    options = parser.parse_args()
    rows = demo(options) if "demo" in options.races else []
    rows += steps(8 * options.rounds) if "steps" in options.races else []
    for row in rows:
        print(json.dumps(row))
    for line in judged(rows):
        print(line)
    if options.record:
        options.record.parent.mkdir(parents=True, exist_ok=True)
        options.record.write_text("".join(json.dumps(row, sort_keys=True) + "\n" for row in rows))


def demo(options: argparse.Namespace) -> list[dict[str, Any]]:
    """One row per contender and a number of busy processes."""
    from spiketicket.machine import processor

    times: dict[tuple[str, int], list[tuple[float, float]]] = {}
    for round_ in range(options.rounds):
        for busy in (0, options.busy):
            with busy_processes(busy):
                for name in options.contenders:
                    if not (name == "spinning" and busy and round_):
                        took = run_demo(name, options.epochs, options.limit)
                        times.setdefault((name, busy), []).append(took)
    facts = {
        "benchmark": "busy",
        "kind": "demo",
        "device": processor.name(),
        "cores": cores.cores(),
        "epochs": options.epochs,
        "limit_s": options.limit,
    }
    return [
        {
            **facts,
            "contender": name,
            "busy": busy,
            "rounds": len(found),
            "wall_s": round(statistics.median(wall for wall, _ in found), 2),
            "wall_s_min": round(min(wall for wall, _ in found), 2),
            "wall_s_max": round(max(wall for wall, _ in found), 2),
            "processor_s": round(statistics.median(spent for _, spent in found), 2),
        }
        for (name, busy), found in times.items()
    ]


@contextlib.contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """So many processes that compute, until the end of the block."""
    started = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(count)]
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


def run_demo(name: str, epochs: int, limit: float) -> tuple[float, float]:
    """Wall and processor seconds of a run from its start to its end, or to the limit."""
    environment = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
    threads = {"now": [], "one": ["--threads", "1"]}.get(name)
    if threads is None:
        cores.as_found(environment)
        threads = ["--threads", str(cores.cores())]
    folder = tempfile.mkdtemp()
    command = [
        str(Path(sys.executable).with_name("spiketicket")),
        "find",
        "digits-binw",
        "--set",
        f"train.epochs={epochs}",
        "--seeds",
        "1",
        "--quiet",
        "--runs",
        folder,
        *threads,
    ]
    before, started = _spent(), time.perf_counter()
    try:
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(
                command, env=environment, check=True, stdout=subprocess.DEVNULL, timeout=limit
            )
        return time.perf_counter() - started, _spent() - before
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _spent() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def steps(rounds: int) -> list[dict[str, Any]]:
    """One row a size: the step on two threads beside that on one."""
    rows = []
    for network, width, batch in SIZES:
        case = {"network": network, "width": width, "batch": batch}
        cases = [{**case, "threads": 1}, {**case, "threads": 2}]
        one, two = take_turns(_make, cases, rounds, 1)
        if error := one.get("error") or two.get("error"):
            raise SystemExit(error)
        ratios = [b / a for a, b in zip(one["seconds"], two["seconds"], strict=True)]
        rows.append(
            {
                "benchmark": "busy",
                "kind": "steps",
                **case,
                "macs": _macs(case),
                "rounds": rounds,
                "one_ms": round(1000 * statistics.median(one["seconds"]), 3),
                "two_ms": round(1000 * statistics.median(two["seconds"]), 3),
                "two_by_one": round(statistics.median(ratios), 3),
                **one["machine"],
                "threads": [1, 2],
            }
        )
    return rows


def _recipe(case: dict[str, Any]) -> tuple[Any, Any]:
    from spiketicket.models.blocks import DataShape
    from spiketicket.recipe import parse_recipe

    small = case["network"] == "convnet"
    recipe = parse_recipe(
        {
            "name": "step",
            "data": {"name": "digits" if small else "cifar10"},
            "model": {
                "name": case["network"],
                "timesteps": 4,
                "width": case["width"],
                "weights": "binary",
            },
            "neuron": {"name": "lif"},
            "ticket": {"name": "edge_popup", "density": 0.5},
            "train": {"epochs": 1, "batch_size": case["batch"], "precision": "fp32"},
        }
    )
    return recipe, DataShape(channels=1, height=8, width=8, classes=10) if small else DataShape(
        channels=3, height=32, width=32, classes=10
    )


def _macs(case: dict[str, Any]) -> int:
    from spiketicket.experiment.threads import batch_macs

    return batch_macs(*_recipe(case))


def _make(case: dict[str, Any]) -> Callable[[], None]:
    import torch

    from spiketicket.machine.allocator import keep_freed_memory
    from spiketicket.methods import edge_popup
    from spiketicket.methods.building import build_network

    torch.set_num_threads(case["threads"])
    keep_freed_memory()
    recipe, shape = _recipe(case)
    model = build_network(recipe, shape)
    config = edge_popup.Config(density=0.5)
    search = edge_popup.attach(model, config, binary=True, seed=0, epochs=1)
    optimizer = torch.optim.Adam(search.parameters(), lr=0.02, fused=True)
    x = torch.randn(case["batch"], shape.channels, shape.height, shape.width)
    y = torch.arange(case["batch"]) % 10

    def step() -> None:
        loss = torch.nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        search.on_step_end(1.0)

    return step


def judged(rows: list[dict[str, Any]]) -> list[str]:
    """What was measured beside what was wanted."""
    wall = {(r["contender"], r["busy"] > 0): r["wall_s"] for r in rows if r["kind"] == "demo"}
    found = []
    if {("now", False), ("now", True)} <= wall.keys():
        ratio = wall["now", True] / wall["now", False]
        found.append(f"beside busy processes: {ratio:.2f} times as long, at most {SLOWER} wanted")
    if {("now", False), ("spinning", False)} <= wall.keys():
        ratio = wall["now", False] / wall["spinning", False]
        found.append(f"alone: {ratio:.2f} times as long as spinning, at most {AS_FAST} wanted")
    if ("spinning", True) in wall and ("now", True) in wall:
        ratio = wall["spinning", True] / wall["now", True]
        found.append(f"spinning beside busy processes: {ratio:.1f} times as long as now, or more")
    return found


if __name__ == "__main__":
    main()
