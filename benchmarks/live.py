"""Latency of live decisions: real recordings at their own speed, from last event to answer.

    python benchmarks/live.py [--net nmnist|gesture] [--rounds 3] [--recordings 10] [--output FILE]
    python benchmarks/live.py --soak 300 [--net nmnist] [--output FILE]

Each contender has a process of its own, pinned to one core, and one thread that computes; they run
one after the other, in turn, on the same recordings. All of them get their windows from
``spiketicket.live``, and only what computes the logits of a window's frames differs:

    engine            this package's
    carry             the same with membranes carried on: one new time step a hop
    torch_fp32, onnxruntime_int8, spikingjelly   as ``spiketicket bench`` sets them up, batch 1

Nets:
    nmnist   the zoo's ``nmnist1k-vgg`` on test recordings of N-MNIST; windows of 100 ms, one per
             millisecond: 1,000 decisions per second. Goal: p99 of at most 1 ms.
    gesture  a vgg9 of width 0.25 for 128x128, 4 time steps, random mask of density 0.05 and signs,
             BatchNorm calibrated on these recordings, on snippets of DVS128 Gesture; windows of
             100 ms every 10 ms. Goal: p99 of at most 2 ms. Accuracy is chance; time is not.

Data: SPIKETICKET_DATA with N-MNIST-1k and dvs128-gesture-snippets. A line of the record is a net:
percentiles of every round in microseconds, windows that were dropped, and the load of the machine
(processes that want to run, over the last minute) before and after; with another load than none the
upper percentiles are those of the machine's other work too, and only the processor's time per
decision, all threads together, says what a decision costs. The soak loops recordings for so many
seconds, and records resident memory at every tenth of it.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

NETS: dict[str, dict[str, Any]] = {
    "nmnist": {"window_ms": 100.0, "hop_ms": 1.0, "sensor": (34, 34), "goal_ms": 1.0},
    "gesture": {"window_ms": 100.0, "hop_ms": 10.0, "sensor": (128, 128), "goal_ms": 2.0},
}
CONTENDERS = ("engine", "carry", "torch_fp32", "onnxruntime_int8", "spikingjelly")
DENSITY, WIDTH, STEPS = 0.05, 0.25, 4


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--net", choices=tuple(NETS), default="nmnist")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--recordings", type=int, default=10)
    parser.add_argument("--contenders", nargs="*", default=list(CONTENDERS))
    parser.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)))
    parser.add_argument("--soak", type=float, default=0.0, metavar="SECONDS")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(child(json.loads(options.child.read_text()))))
        return
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder), options.net, options.recordings)
        row = soak(Path(folder), options) if options.soak else race(Path(folder), options)
    text = json.dumps(row)
    print(text)
    if options.output:
        with options.output.open("a", encoding="utf-8") as file:
            file.write(f"{text}\n")


def race(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Every contender, in turn."""
    before, found = os.getloadavg()[0], {name: [] for name in options.contenders}
    for _ in range(options.rounds):
        for name in options.contenders:
            told = run(folder, options, name, {})
            found[name].append(told)
            print(name, json.dumps(told)[:300], file=sys.stderr)
    rows = {name: summed(rounds) for name, rounds in found.items()}
    return {**about(options), "load": [before, os.getloadavg()[0]], "contenders": rows}


def soak(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """The engine for long, with its memory."""
    before = os.getloadavg()[0]
    told = run(folder, options, "engine", {"soak": options.soak})
    return {**about(options), "soak_s": options.soak, "load": [before, os.getloadavg()[0]], **told}


def run(
    folder: Path, options: argparse.Namespace, name: str, more: dict[str, Any]
) -> dict[str, Any]:
    """One contender's process; what it told, or its error."""
    job = folder / "job.json"
    told = {"folder": str(folder), "net": options.net, "name": name, "core": options.core, **more}
    job.write_text(json.dumps(told))
    command = [sys.executable, __file__, "--child", str(job)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return {"error": (done.stderr.strip().splitlines() or ["no word"])[-1][:200]}
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def summed(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """The rounds, and the least and the middle of each percentile."""
    good = [each for each in rounds if "error" not in each]
    if not good:
        return {"error": rounds[-1]["error"]}
    middle = {
        measure: {
            key: float(np.median([each[measure][key] for each in good]))
            for key in ("p50", "p95", "p99", "max")
        }
        for measure in ("latency_us", "wait_us")
    }
    spent = float(np.median([each["cpu_us_per_decision"] for each in good]))
    least = {key: min(each["wait_us"][key] for each in good) for key in ("p50", "p99")}
    return {"median": middle, "least_wait_us": least, "cpu_us_per_decision": spent, "rounds": good}


def about(options: argparse.Namespace) -> dict[str, Any]:
    """What was run, and on what."""
    import torch

    from spiketicket.experiment.provenance import machine

    settings = {k: v for k, v in NETS[options.net].items() if k != "sensor"}
    facts = machine(torch.device("cpu"))
    return {"benchmark": "live", "net": options.net, **settings, "threads": 1, **{
        k: v for k, v in facts.items() if k != "threads"
    }}  # fmt: skip


def prepare(folder: Path, net: str, count: int) -> None:
    """The recordings, the ticket, and frames for those who must see some first."""
    data, played = Path(os.environ["SPIKETICKET_DATA"]), folder / "played"
    played.mkdir()
    if net == "nmnist":
        digits = [sorted((data / "N-MNIST-1k" / "Test" / str(d)).glob("*.bin")) for d in range(10)]
        files = list(itertools.chain(*zip(*digits, strict=False)))[:count]
        train = sorted((data / "N-MNIST-1k" / "Train").rglob("*.bin"))[::40]
    else:
        files = sorted((data / "dvs128-gesture-snippets").glob("*.bin"))[:count]
        train = files
    for number, file in enumerate(files):
        shutil.copy(file, played / f"{number:03}.bin")
    frames = np.concatenate([windows(file, net) for file in train])
    np.save(folder / "frames.npy", frames.astype(np.float32))
    if net == "nmnist":
        from spiketicket.ticket.zoo import ticket_path

        shutil.copy(ticket_path("nmnist1k-vgg"), folder / "net.ticket")
    else:
        gesture_ticket(frames.astype(np.float32)).save(folder / "net.ticket")


def windows(file: Path, net: str) -> Any:
    """Frames of the windows of a recording, one behind the other, uint16 [N, T, 2, H, W]."""
    from spiketicket.events import read_events
    from spiketicket.events.frames import PlainFraming, to_frames

    events = read_events(file, sensor=NETS[net]["sensor"])
    side = 32 if net == "nmnist" else 128
    framing = PlainFraming(steps=STEPS, height=side, width=side)
    length, first = int(1000 * NETS[net]["window_ms"]), int(events.t[0])
    starts = range(first, first + events.duration_us + 2 - length, length)
    return np.stack(
        [to_frames(events.span(t, t + length), framing, (t, t + length)) for t in starts]
    )


def gesture_ticket(frames: Any) -> Any:
    """A net as a search would leave it, without a search: see random_tickets.py."""
    import torch

    from random_tickets import THRESHOLD, _layer, _rest
    from spiketicket.models import vgg9
    from spiketicket.models.of_ticket import load_into
    from spiketicket.models.prunable import prunable
    from spiketicket.neurons import lif
    from spiketicket.recipe.shapes import DataShape
    from spiketicket.streams import Stream
    from spiketicket.ticket import Ticket, TicketLayer
    from spiketicket.training.statistics import estimate_statistics

    shape = DataShape(channels=2, classes=11, frames=STEPS, height=128, width=128)
    config = vgg9.Config(timesteps=STEPS, weights="binary", width=WIDTH)
    neuron = lif.Config(decay=0.5, v_threshold=THRESHOLD)
    model = vgg9.build(config, neuron, shape)
    layers: tuple[TicketLayer, ...] = tuple(
        _layer(name, layer, DENSITY, Stream(0, name), binary=True)
        for name, layer in prunable(model).items()
    )
    names = {f"{layer.name}.weight" for layer in layers}
    load_into(model, Ticket(layers, _rest(model, names)))
    x = torch.from_numpy(frames[:64]).transpose(0, 1).contiguous()
    estimate_statistics(model, iter([(x, torch.zeros(x.shape[1], dtype=torch.long))]))
    framing = {"steps": STEPS, "by": "time", "values": "sum", "height": 128, "width": 128}
    args = {
        "model": config.model_dump(mode="json"),
        "neuron": neuron.model_dump(mode="json"),
        "shape": shape.__dict__,
    }
    about = {
        "network": {"name": "vgg9", "args": args},
        "normalisation": {"mean": [0.0, 0.0], "std": [1 / 255, 1 / 255]},
        "classes": [str(number) for number in range(11)],
        "data": {"name": "event_folder", "config": {**framing, "sensor": [128, 128]}},
        "condition": "random mask and signs, calibrated BatchNorm",
    }
    return Ticket(layers, _rest(model, names), about)


def child(told: dict[str, Any]) -> dict[str, Any]:
    """Play the recordings to one contender, on one core."""
    os.sched_setaffinity(0, {told["core"]})
    import spiketicket
    from spiketicket import Engine

    folder, net = Path(told["folder"]), NETS[told["net"]]
    engine = Engine(folder / "net.ticket", threads=1, mode="latency", tune=True)
    running = spiketicket.live(
        engine,
        folder / "played",
        window_ms=net["window_ms"],
        hop_ms=net["hop_ms"] if told["name"] != "carry" else net["window_ms"] / STEPS,
        state="carry" if told["name"] == "carry" else "reset",
        sensor=net["sensor"],
        loop="soak" in told,
    )
    if told["name"] not in ("engine", "carry"):
        running._decide = peer(told, running._decide)
    if "soak" in told:
        return soaked(running, told["soak"])
    began, computed = time.process_time(), 0
    for decision in running:
        computed = decision.number + 1
    summary = running.summary()
    spent = 1e6 * (time.process_time() - began)
    return {**summary, "windows": computed, "cpu_us_per_decision": spent / summary["decisions"]}


def peer(told: dict[str, Any], ours: Any) -> Any:
    """A peer in the engine's place: the same frames of the same windows."""
    from spiketicket.bench.job import Job
    from spiketicket.engine.compile import normalisation
    from spiketicket.ticket import Ticket

    folder = Path(told["folder"])
    ticket = Ticket.load(folder / "net.ticket")
    scale, shift = (v[:, None, None] for v in normalisation(ticket, 2))
    ready = np.load(folder / "frames.npy") * scale + shift
    np.save(folder / "ready.npy", ready.astype(np.float32))
    job = Job(
        ticket=str(folder / "net.ticket"),
        peer=told["name"],
        batch=1,
        threads=1,
        cpus=(told["core"],),
        inputs=str(folder / "ready.npy"),
        calibration=str(folder / "ready.npy"),
        folder=str(folder),
    )
    prepared = importlib.import_module(f"spiketicket.bench.peers.{told['name']}").prepare(job)

    class Of:
        """What :class:`FromRest` asks of an engine."""

        @staticmethod
        def run(frames: Any) -> Any:
            return prepared.run(frames.astype(np.float32) * scale + shift)

    ours._engine = Of
    return ours


def soaked(running: Any, seconds: float) -> dict[str, Any]:
    """Decisions for so long, and resident memory in MiB at every tenth of it."""
    memory, began = [], time.monotonic()
    for _ in running:
        passed = time.monotonic() - began
        if passed >= seconds * (len(memory) + 1) / 10:
            memory.append(round(resident(), 2))
        if passed >= seconds:
            break
    running.close()
    grown = round(max(memory[1:]) - min(memory[1:]), 2) if len(memory) > 1 else math.nan
    return {**running.summary(), "resident_mib": memory, "spread_mib_behind_the_first": grown}


def resident() -> float:
    """MiB that this process has in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    main()
