"""Size of a ticket file of VGG-9 against its entropy, and the time to write and to read it.

    python benchmarks/ticket_codec.py [--rounds 31] [--output results/ticket-codec.jsonl]

The network of the recipe cifar10-vgg9-binw with random masks of equal density in every layer, the
signs of seed 0, BatchNorm's buffers, and the metadata of a ticket that `find` wrote, verdict
included; with the signs in the file and with the signs left to the seed. Written to and read from
memory, digest and all, one thread, the best of all rounds. MB/s count the weights as float32 over
the processor's time, which leaves out what else ran on the machine; ``write_ms`` and ``read_ms``
are the clock's.

Goals: masks within 3 % of their entropy, 200 MB/s both ways, and at 95 % zeros a file at least 90
times smaller than the float32 weights.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ZEROS, SEED = (0.5, 0.8, 0.9, 0.95), 0
GOAL_OVER_ENTROPY, GOAL_MB_PER_S, GOAL_TIMES = 1.03, 200.0, 90.0
FOUND = Path(__file__).parent.parent / "tests" / "files" / "format-1-convnet.ticket"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    rows = [row(zeros, signs, options.rounds) for zeros in ZEROS for signs in ("raw", "seed")]
    print(table(rows))
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text("".join(json.dumps(r, sort_keys=True) + "\n" for r in rows))


def ticket(zeros: float) -> Any:
    """A VGG-9 ticket with random masks of exactly this share of zeros in every layer."""
    from spiketicket.methods.building import build_network
    from spiketicket.methods.masks import kept_count
    from spiketicket.models.blocks import DataShape
    from spiketicket.models.prunable import prunable
    from spiketicket.recipe import load_recipe
    from spiketicket.recipe.named import packaged_recipes
    from spiketicket.streams import Stream
    from spiketicket.ticket import Ticket, TicketLayer

    recipe = load_recipe(packaged_recipes()["cifar10-vgg9-binw"])
    shape = DataShape(channels=3, height=32, width=32, classes=10, frames=1)
    model = build_network(recipe, shape)
    layers = []
    for name, module in prunable(model).items():
        sides = tuple(module.weight.shape)
        size = math.prod(sides)
        mask = np.zeros(size, bool)
        kept = kept_count(size, round(1 - zeros, 6), name)
        mask[Stream(SEED, "random mask", name).permutation(size)[:kept]] = True
        signs = Stream(SEED, "weight", name).signs(size) * mask
        layers.append(
            TicketLayer(
                name=name,
                shape=sides,
                kind="binary",
                mask=mask.reshape(sides),
                alpha=math.sqrt(2 / math.prod(sides[1:])),
                signs=signs.reshape(sides),
            )
        )
    weights = {f"{layer.name}.weight" for layer in layers}
    state = {k: v.numpy() for k, v in model.state_dict().items() if k not in weights}
    found = {k: v for k, v in Ticket.load(FOUND).metadata.items() if k != "format_version"}
    return Ticket(tuple(layers), state, {**found, "seed": SEED})


def row(zeros: float, signs: Any, rounds: int) -> dict[str, Any]:
    """Sizes and times of one ticket."""
    import torch

    from spiketicket.experiment.provenance import machine
    from spiketicket.ticket import Ticket

    torch.set_num_threads(1)
    made = ticket(zeros)
    content = made.to_bytes(signs=signs)
    assert Ticket.from_bytes(content) == made
    steps: dict[str, Callable[[], object]] = {
        "write": lambda: made.to_bytes(signs=signs),
        "read": lambda: Ticket.from_bytes(content),
    }
    times: dict[str, Any] = {}
    for _ in range(rounds):
        for name, step in steps.items():
            before, started = time.thread_time(), time.perf_counter()
            step()
            times.setdefault(f"{name}_ms", []).append(1000 * (time.perf_counter() - started))
            times.setdefault(f"{name}_processor_ms", []).append(
                1000 * (time.thread_time() - before)
            )
    size = sum(layer.size for layer in made.layers)
    return {
        "benchmark": "ticket_codec",
        "net": "vgg9",
        "zeros": zeros,
        "signs": signs,
        "weights": size,
        "fp32_bytes": 4 * size,
        **sizes(content),
        "format_1_bytes": format_1_bytes(made),
        "times_smaller": round(4 * size / len(content), 1),
        "rounds": rounds,
        **{name: round(min(found), 2) for name, found in times.items()},
        **{
            f"{name}_mb_per_s": round(4e-3 * size / min(times[f"{name}_processor_ms"]))
            for name in steps
        },
        **machine(torch.device("cpu")),
    }


def sizes(content: bytes) -> dict[str, Any]:
    """What each part of a file takes."""
    import tempfile

    from spiketicket.ticket import describe

    with tempfile.NamedTemporaryFile(suffix=".ticket") as file:
        Path(file.name).write_bytes(content)
        found = describe(file.name)
    header = 8 + int.from_bytes(content[:8], "little")
    return {
        "file_bytes": len(content),
        "header_bytes": header,
        "state_bytes": found.state_bytes,
        "layer_bytes": found.packed_bytes,
        "layer_entropy_bytes": round(found.entropy_bytes),
        "mask_bytes": found.mask_bytes,
        "mask_entropy_bytes": round(found.mask_entropy_bytes),
        "mask_over_entropy": round(found.mask_bytes / found.mask_entropy_bytes, 4),
        "layers_times_smaller": round(4 * found.size / found.packed_bytes, 1),
    }


def format_1_bytes(made: Any) -> int:
    """The size of the file that format 1 had for this ticket."""
    from spiketicket.ticket import codec

    metadata, _ = codec.decode(made.to_bytes())
    return len(codec.encode({**metadata, "format_version": 1}, made._arrays()))


def table(rows: list[dict[str, Any]]) -> str:
    """The rows for a person, and whether the goals are met."""
    lines = [
        f"{'zeros':>6} {'signs':>6}{'mask / H':>10}{'mask kB':>9}{'layers kB':>11}{'BN kB':>7}"
        f"{'header kB':>11}{'file kB':>9}{'x fp32':>8}{'write MB/s':>12}{'read MB/s':>11}"
    ]
    lines += [
        f"{r['zeros']:>6g} {r['signs']:>6}{r['mask_over_entropy']:>10.4f}"
        f"{r['mask_bytes'] / 1000:>9.1f}{r['layer_bytes'] / 1000:>11.1f}"
        f"{r['state_bytes'] / 1000:>7.1f}{r['header_bytes'] / 1000:>11.1f}"
        f"{r['file_bytes'] / 1000:>9.1f}{r['times_smaller']:>8.1f}"
        f"{r['write_mb_per_s']:>12}{r['read_mb_per_s']:>11}"
        for r in rows
    ]
    over = max(r["mask_over_entropy"] for r in rows)
    speed = min(min(r["write_mb_per_s"], r["read_mb_per_s"]) for r in rows)
    smaller = {r["signs"]: r["times_smaller"] for r in rows if r["zeros"] == 0.95}
    lines += [
        f"goal: masks within {GOAL_OVER_ENTROPY:g} times the entropy: {over <= GOAL_OVER_ENTROPY}",
        f"goal: {GOAL_MB_PER_S:g} MB/s: {speed >= GOAL_MB_PER_S} (the slowest has {speed:g})",
        *(
            f"goal: at 95 % zeros {GOAL_TIMES:g} times smaller, signs {signs}:"
            f" {times >= GOAL_TIMES}"
            for signs, times in smaller.items()
        ),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
