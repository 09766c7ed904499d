"""Exported C: flash, RAM, instructions of a Cortex-M4, milliseconds here; a line of JSON each.

    python benchmarks/export_c.py [--tickets FILE ...] [--record results/export-c.jsonl]

Without tickets: networks of VGG-9's shape (64-64-M-128-128-M-256-256-M-fc256-fc256-10 on 3x32x32,
four time steps) whose weights are drawn at random at 50, 80, 90 and 95 % zeros, and its
convolutions alone at 90 %. Instructions are
those of one image, all of them emulated; flash and RAM are what the linker reports, without
start-up code and stack. Spikes are compared with the definition's on the same image.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from spiketicket.engine import reference
from spiketicket.engine.compile import compile_ticket
from spiketicket.engine.ops import MaxPool, Mean, Neuron, NeuronKind, Synapse
from spiketicket.engine.program import Builder, Program
from spiketicket.export.boards import BOARDS, build
from spiketicket.export.c import export_c
from spiketicket.export.c.chain import read_chain
from spiketicket.ticket import Ticket

BOARD = BOARDS["cortex-m4"]
ZEROS = (0.5, 0.8, 0.9, 0.95)
PLAN = ((64, False), (64, True), (128, False), (128, True), (256, False), (256, True))


def vgg9(zeros: float, hidden: int = 2) -> Program:
    """A network of VGG-9's shape with BatchNorm; without hidden layers, a mean over positions."""
    rng = np.random.default_rng(0)
    v = np.arange(256, dtype=np.float32) / np.float32(255)
    lut = np.stack([(v - m) / np.float32(0.25) for m in (0.49, 0.48, 0.45)]).astype(np.float32)
    b = Builder(steps=4, frames=1, channels=3, height=32, width=32, classes=10, lut=lut)

    def layer(x: int, outputs: int, kernel: int, name: str) -> int:
        value = b.value(x)
        shape = (outputs, value.channels if kernel > 1 else value.plane, kernel, kernel)
        signs = rng.choice([-1, 1], shape) * (rng.random(shape) >= zeros)
        kept = max(1, np.count_nonzero(signs) // outputs)
        y = b.add(
            Synapse,
            x,
            signs=signs.astype(np.int8),
            alpha=float(np.sqrt(2 / kept)),
            pad=kernel // 2,
            flatten=kernel == 1,
            name=name,
            a=rng.normal(1.2, 0.2, outputs).astype(np.float32),
            b=rng.normal(0.0, 0.2, outputs).astype(np.float32),
        )
        return b.add(Neuron, y, kind=NeuronKind.LIF, decay=0.5, v_threshold=1.0)

    x = 0
    for i, (outputs, pool) in enumerate(PLAN):
        x = layer(x, outputs, 3, f"features.{i}")
        x = b.add(MaxPool, x, k=2, stride=2) if pool else x
    for i in range(hidden):
        x = layer(x, 256, 1, f"hidden.{i}")
    x = b.add(Mean, x, time=True, positions=not hidden)
    signs = rng.choice([-1, 1], (10, 256, 1, 1)) * (rng.random((10, 256, 1, 1)) >= zeros)
    b.add(Synapse, x, signs=signs.astype(np.int8), alpha=0.1, name="classifier")
    return b.program()


def measure(program: Program) -> dict[str, Any]:
    """Sizes, instructions and times of one program."""
    chain = read_chain(program)
    rng = np.random.default_rng(1)
    counts = program.frames > 1
    size = (1, program.frames, program.channels, program.height, program.width)
    image = (rng.poisson(0.15, size) if counts else rng.integers(0, 256, size)).astype(np.uint8)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sizes = export_c(program, folder, "net").sizes
        board = build(BOARD, folder, "net")
        outcome = board.run(image[0], program.classes)
        milliseconds, logits = host(folder, image, program.classes)
    registers = [layer.register for layer in chain.layers]
    known = reference.trace(program, image, [*registers, program.output])
    scale = np.float32(chain.readout.affine.alpha / chain.readout.divisor)
    emulated = np.frombuffer(outcome.logits, np.int32)
    if not np.array_equal(emulated, logits):
        raise SystemExit("the emulated board and this machine differ")
    np.testing.assert_allclose(logits * scale, known[program.output].ravel(), rtol=1e-4, atol=1e-4)
    layers = [layer.signs for layer in chain.layers] + [chain.readout.signs]
    kept, weights = (sum(int(f(s)) for s in layers) for f in (np.count_nonzero, np.size))
    return {
        "weights": weights,
        "kept": kept,
        "zeros": round(1 - kept / weights, 4),
        "steps": program.steps,
        "frames": program.frames,
        "firing": [round(float(known[r].mean()), 3) for r in registers],
        "flash_bytes": board.flash_bytes,
        "weight_bytes": sizes.weight_bytes,
        "table_bytes": sizes.table_bytes,
        "ram_bytes": board.ram_bytes,
        "stack_bytes": outcome.stack_bytes,
        "float_layers": list(sizes.float_layers),
        "instructions": outcome.instructions,
        "host_ms": round(milliseconds, 3),
    }


def host(folder: Path, image: np.ndarray, classes: int) -> tuple[float, np.ndarray]:
    """Processor time of the best of many runs here, which other work disturbs least."""
    command = ["gcc", "-std=c99", "-O3", "-shared", "-fPIC", "-o", "net.so", "net.c"]
    subprocess.run(command, cwd=folder, check=True)
    library = ctypes.CDLL(str(folder / "net.so"))
    logits = np.zeros(classes, np.int32)
    at = ctypes.c_void_p(image.ctypes.data), ctypes.c_void_p(logits.ctypes.data)
    best, until, runs = float("inf"), time.perf_counter() + 5, 0
    while time.perf_counter() < until or runs < 20:
        start = time.thread_time()
        library.net_run(*at)
        best, runs = min(best, time.thread_time() - start), runs + 1
    return 1e3 * best, logits


def cases(tickets: list[Path]) -> Iterator[tuple[str, Program]]:
    """Names and programs."""
    for zeros in ZEROS if not tickets else ():
        yield f"vgg9-random-{zeros:g}", vgg9(zeros)
    if not tickets:
        yield "vgg9-convolutions-random-0.9", vgg9(0.9, hidden=0)
    for path in tickets:
        yield path.stem, compile_ticket(Ticket.load(path))


def machine() -> str:
    """The processor's name."""
    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    found = re.search(r"model name\s*:\s*(.*)", text)
    return found[1] if found else platform.machine()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tickets", nargs="*", type=Path, default=[])
    parser.add_argument("--record", type=Path)
    given = parser.parse_args()
    if why := BOARD.missing():
        sys.exit(f"error: {why}")
    for name, program in cases(given.tickets):
        facts = {
            "name": name,
            **measure(program),
            "board": "Cortex-M4, emulated by unicorn",
            "board_compiler": BOARD.compiler,
            "host": machine(),
        }
        line = json.dumps(facts)
        print(line, flush=True)
        if given.record:
            with given.record.open("a") as file:
                file.write(line + "\n")


if __name__ == "__main__":
    main()
