"""Where bfloat16 saves time in training: forward and back in either precision, by width.

    python benchmarks/precision.py [--rounds 5] [--output results/precision.jsonl]

Processor time of one thread per batch of 64, without the data and the optimizer; both precisions
in turn, the least of all rounds. ``train.precision = "auto"`` follows from it: see
``spiketicket/training/precision.py``.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from spiketicket.experiment.provenance import machine
from spiketicket.machine import allocator
from spiketicket.machine.parallel import fixed
from spiketicket.methods.building import build_network
from spiketicket.models.blocks import DataShape
from spiketicket.recipe import parse_recipe
from spiketicket.training.forward import autocast, called
from spiketicket.training.precision import widest

DIGITS = DataShape(channels=1, height=8, width=8, classes=10)
PICTURES = DataShape(channels=3, height=32, width=32, classes=10)
NETS = [
    *(("convnet", width, 4, DIGITS) for width in (0.25, 0.5, 1.0, 2.0)),
    *(("vgg9", width, 1, PICTURES) for width in (0.125, 0.1875, 0.25, 0.5, 1.0)),
    *(("resnet19", width, 1, PICTURES) for width in (0.0625, 0.125, 0.25)),
]
BATCH, LEAST_S = 64, 0.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    allocator.keep_freed_memory()
    rows = []
    for net in NETS:
        rows.append(timed(*net, rounds=options.rounds))
        print(
            "{network} x {width:g}, widest {widest}: {fp32_ms:.1f} ms in float32,"
            " {bf16_ms:.1f} ms in bfloat16, {gain:.2f} times as fast".format(**rows[-1]),
            flush=True,
        )
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text("".join(json.dumps(row, sort_keys=True) + "\n" for row in rows))


def timed(
    network: str, width: float, timesteps: int, shape: DataShape, *, rounds: int
) -> dict[str, Any]:
    """Milliseconds of a net's pass forward and back."""
    recipe = parse_recipe(
        {
            "name": "precision",
            "data": {"name": "digits"},
            "model": {"name": network, "width": width, "timesteps": timesteps},
            "neuron": {"name": "lif"},
            "ticket": {"name": "edge_popup", "density": 0.5},
            "train": {"epochs": 1, "batch_size": BATCH},
        }
    )
    found: dict[str, list[float]] = {"fp32": [], "bf16": []}
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(BATCH, shape.channels, shape.height, shape.width, generator=generator)
    y = torch.arange(BATCH) % shape.classes
    with fixed(1):
        model = build_network(recipe, shape).train()
        for _ in range(rounds):
            for precision, times in found.items():
                started, count = time.process_time(), 0
                while time.process_time() - started < LEAST_S:
                    with autocast(x.device, precision):
                        logits = called(model, x, len(y))
                    functional.cross_entropy(logits.float(), y).backward()
                    count += 1
                times.append((time.process_time() - started) / count)
        facts = machine(x.device)
    fp32, bf16 = (1000 * min(found[precision]) for precision in ("fp32", "bf16"))
    return {
        "benchmark": "precision",
        "network": network,
        "width": width,
        "timesteps": timesteps,
        "batch": BATCH,
        "side": shape.height,
        "widest": widest(recipe),
        "rounds": rounds,
        "fp32_ms": round(fp32, 2),
        "bf16_ms": round(bf16, 2),
        "gain": round(fp32 / bf16, 3),
        **facts,
    }


if __name__ == "__main__":
    main()
