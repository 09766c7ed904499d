"""From one's own data or network to a ticket in use, command by command, in wall time.

    python benchmarks/first_ticket.py [--ways pictures network recordings] [--budget 20s]
                                      [--seeds 3] [--output results/first_ticket.jsonl]

Each way is what a newcomer types, in a folder that holds nothing but the data:

    pictures     a folder of pictures -> recipe -> verdict -> C program that classifies one
    network      a network of snnTorch -> verdict -> the packed engine, in one Python program
    recordings   a folder of recordings -> recipe -> verdict -> classes of the test recordings

The pictures are CIFAR-10's as PNG files (200 training and 50 test pictures of each class), the
recordings those of N-MNIST as they come; both below $SPIKETICKET_DATA. A line has the seconds of
every command. The time of a person's hands is not in it: it is that of typing them.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from spiketicket.data import load_dataset, make_config
from spiketicket.experiment.provenance import machine, versions

TRAIN, TEST = 200, 50
PICTURES = (
    "spiketicket init --images pictures",
    "spiketicket find pictures.toml --seeds {seeds} --budget {budget} --quiet",
    "spiketicket run {run}/pictures-seed0.ticket pictures/test",
    "spiketicket export {run}/pictures-seed0.ticket --to c -o firmware --name own",
    "cc -std=c99 -O3 firmware/main.c firmware/own.c -o own",
    "python raw.py pictures/test/cat/0.png",
    "./own < picture.raw",
)
RECORDINGS = (
    "spiketicket init --events recordings",
    "spiketicket find recordings.toml --seeds {seeds} --budget {budget} --quiet",
    "spiketicket run {run}/recordings-seed0.ticket recordings/test",
)
NETWORK = ("python mine.py",)
RAW = """
import sys
from PIL import Image
open("picture.raw", "wb").write(Image.open(sys.argv[1]).tobytes())
"""
MINE = """
import numpy
import snntorch
import torch
from torch import nn

import spiketicket
from spiketicket.data import load_dataset, make_config


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 32, 3, padding=1), nn.BatchNorm2d(32)
        self.fire = snntorch.Leaky(beta=0.5, init_hidden=True)
        self.pool, self.flatten = nn.MaxPool2d(2), nn.Flatten()
        self.out, self.last = nn.Linear(512, 10), snntorch.Leaky(beta=0.5, init_hidden=True)

    def forward(self, x):
        current = self.norm(self.conv(x))
        deep = nn.Sequential(self.fire, self.pool, self.flatten, self.out, self.last)
        spikes = [deep(current) for _ in range(4)]
        return torch.stack(spikes)


digits = load_dataset(make_config("digits"))
found = spiketicket.find(
    model=Net(),
    train=(digits.train.x, digits.train.y),
    test=(digits.test.x, digits.test.y),
    seeds={seeds},
    budget="{budget}",
    progress=False,
)
print("verdict:", found.verdict["outcome"])
engine = spiketicket.Engine(found.ticket)
x, y = (numpy.asarray(part) for part in (digits.test.x, digits.test.y))
print("engine:", round(100 * (engine.predict(x) == y).mean(), 2), "% right")
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--ways", nargs="*", default=["pictures", "network", "recordings"])
    parser.add_argument("--budget", default="20s")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=Path("results/first_ticket.jsonl"))
    options = parser.parse_args()
    rows = [walked(way, options.seeds, options.budget) for way in options.ways]
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text("".join(json.dumps(row, sort_keys=True) + "\n" for row in rows))


def walked(way: str, seeds: int, budget: str) -> dict[str, Any]:
    """One way from beginning to end.

    Raises:
        SystemExit: a command of it failed.
    """
    commands = {"pictures": PICTURES, "network": NETWORK, "recordings": RECORDINGS}[way]
    steps, busy = [], os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        laid(way, place, seeds, budget)
        for command in commands:
            runs = sorted((place / "runs").glob(f"{way}-*"))
            run = runs[0].relative_to(place) if runs else ""
            line = command.format(seeds=seeds, budget=budget, run=run)
            seconds, said = timed(line, place)
            steps.append({"command": command, "wall_s": round(seconds, 2), "said": said[-1][:100]})
            print(f"{seconds:7.1f} s  {line}\n           {said[-1]}")
    return {
        "benchmark": "first_ticket",
        "way": way,
        "steps": steps,
        "wall_s": round(sum(step["wall_s"] for step in steps), 1),
        "seeds": seeds,
        "budget": budget,
        "load": round(busy, 1),
        "cores": os.cpu_count(),
        **machine(torch.device("cpu")),
        **versions(),
    }


def timed(line: str, place: Path) -> tuple[float, list[str]]:
    """Seconds of a command in a shell, and the lines that it printed."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    started = time.perf_counter()
    done = subprocess.run(
        ["/bin/sh", "-c", line],
        cwd=place,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - started
    if done.returncode:
        raise SystemExit(f"{line}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return seconds, [text.strip() for text in done.stdout.splitlines() if text.strip()] or [""]


def laid(way: str, place: Path, seeds: int, budget: str) -> None:
    """Put the data of a way into its folder."""
    if way == "network":
        text = MINE.replace("{seeds}", str(seeds)).replace("{budget}", budget)
        (place / "mine.py").write_text(text)
    elif way == "recordings":
        data = Path(os.environ["SPIKETICKET_DATA"]) / "N-MNIST-1k"
        for ours, theirs in (("train", "Train"), ("test", "Test")):
            shutil.copytree(data / theirs, place / "recordings" / ours)
    else:
        (place / "raw.py").write_text(RAW)
        data = load_dataset(make_config("cifar10"))
        for name, split, most in (("train", data.train, TRAIN), ("test", data.test, TEST)):
            pictures(split.x, split.y, data.classes, place / "pictures" / name, most)


def pictures(x: Any, y: Any, classes: Sequence[str], place: Path, most: int) -> None:
    """The first ``most`` pictures of every class as PNG files; ``x`` is [N, C, H, W], uint8."""
    counts = dict.fromkeys(range(len(classes)), 0)
    for pixels, label in zip(x, y, strict=True):
        number = counts[int(label)]
        if number < most:
            path = place / classes[int(label)] / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.transpose(1, 2, 0)).save(path)
            counts[int(label)] += 1


if __name__ == "__main__":
    main()
