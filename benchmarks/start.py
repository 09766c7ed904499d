"""How long the command takes to start, in wall time of whole processes.

    python benchmarks/start.py [--rounds 15] [--output results/start.jsonl]

`spiketicket run` with one picture, from the start of the process to its end: the goal is an answer
within 150 ms. Beside it what Python and the imports that nobody is spared take alone, and the
help, whose goal is 300 ms. Commands take turns; each has gone once before, so that their files and
their byte code lie in the page cache, and has one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from random_tickets import random_ticket

COMMAND = [sys.executable, "-c", "from spiketicket.cli import main; main()"]
IMPORTS = {
    "python": "pass",
    "python, numpy": "import numpy",
    "python, numpy, Pillow": "import numpy; from PIL import Image, ImageOps; Image.preinit()",
}
HELP = {"--help": ["--help"], "find --help": ["find", "--help"]}
NETS = {"vgg9, 50 % zeros": ("vgg9", 0.5), "vgg9, 95 % zeros": ("vgg9", 0.05)}


def main() -> None:
    """Print a line a command, and record them."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--output", type=Path, default=Path("results/start.jsonl"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        taken = in_turns(commands(Path(folder)), options.rounds)
    rows = [row(name, seconds) for name, seconds in taken.items()]
    for found in rows:
        print(f"{found['command']:28} {found['median_ms']:6.0f} ms, best {found['min_ms']:.0f}")
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text("".join(json.dumps(r, sort_keys=True) + "\n" for r in rows))


def commands(folder: Path) -> dict[str, list[str]]:
    """Every command by a name; tickets and the picture are made here."""
    import numpy as np
    from PIL import Image

    picture = folder / "picture.png"
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(picture)
    found = {name: [sys.executable, "-c", code] for name, code in IMPORTS.items()}
    found |= {name: [*COMMAND, *words] for name, words in HELP.items()}
    for name, (net, density) in NETS.items():
        path = folder / f"{net}-{density:g}.ticket"
        random_ticket(net, density, 0).save(path)
        found[f"run, {name}"] = [*COMMAND, "run", str(path), str(picture)]
    return found


def in_turns(what: Mapping[str, list[str]], rounds: int) -> dict[str, list[float]]:
    """Seconds of every command, a round after another, the first one not counted."""
    # where Python is told to keep no byte code, every start would compile the package anew
    dropped = ("PYTHONDONTWRITEBYTECODE",)
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    environment = {**kept, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    taken: dict[str, list[float]] = {name: [] for name in what}
    for _ in range(rounds + 1):
        for name, command in what.items():
            started = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
            taken[name].append(time.perf_counter() - started)
    return {name: seconds[1:] for name, seconds in taken.items()}


def row(name: str, seconds: list[float]) -> dict[str, Any]:
    """A line of the results."""
    from spiketicket import __version__
    from spiketicket.bench.compare import machine

    return {
        "benchmark": "start",
        "command": name,
        "rounds": len(seconds),
        "median_ms": round(1000 * statistics.median(seconds), 1),
        "min_ms": round(1000 * min(seconds), 1),
        "max_ms": round(1000 * max(seconds), 1),
        "version": __version__,
        "machine": machine(),
    }


if __name__ == "__main__":
    main()
