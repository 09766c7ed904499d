"""What timing the kernels changes, against the estimate of their cost.

    python benchmarks/engine_tuning.py [--output results/engine-tuning.jsonl]

For the tickets of benchmarks/engine.py and those of the zoo: the layers that more than one kernel
can compute, those for which tuning on test images chose another one than the estimate, and the time
of one image both ways, the nets in turns. Needs CIFAR-10 below $SPIKETICKET_DATA. Nothing else
should run meanwhile.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from random_tickets import NETS, random_ticket
from spiketicket import Engine
from spiketicket.bench.compare import machine
from spiketicket.data.of_ticket import find_test_data
from spiketicket.engine import ops
from spiketicket.engine.program import Kind
from spiketicket.ticket import Ticket
from spiketicket.ticket.zoo import list_tickets

ZEROS = (0.5, 0.8, 0.9, 0.95)
FULL_AT = 0.8
IMAGES, TURN_S = 8, 0.3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--ticket", nargs="*", type=Path, help="in place of the usual ones")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--output", type=Path, default=Path("results/engine-tuning.jsonl"))
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for path in options.ticket or tickets(Path(folder)):
            rows.append(compared(path, options.rounds))
            print(text(rows[-1]), flush=True)
    options.output.write_text("".join(json.dumps(row, sort_keys=True) + "\n" for row in rows))


def tickets(folder: Path) -> Iterator[Path]:
    """Random ones, then those of the zoo."""
    for net in NETS:
        for zeros in ZEROS if net == "vgg9" else (FULL_AT,):
            path = folder / f"{net}-{100 * zeros:g}.ticket"
            random_ticket(net, round(1 - zeros, 9), 0).save(path)
            yield path
    yield from (ticket.path for ticket in list_tickets())


def compared(path: Path, rounds: int) -> dict[str, Any]:
    """One ticket, as estimated and as tuned."""
    ticket = Ticket.load(path)
    x = find_test_data(ticket, path).dataset.test.x[:IMAGES]
    estimated, tuned = Engine(ticket), Engine(ticket, tune=x)
    chosen = choices(estimated)
    layers = [
        {"layer": before["name"], "estimated": before["kernel"], "tuned": after["kernel"]}
        for before, after in zip(estimated.plan(), tuned.plan(), strict=True)
        if before["name"] in chosen
    ]
    ms = fastest((estimated, tuned), x, rounds)
    return {
        "benchmark": "engine-tuning",
        "ticket": path.stem,
        "machine": machine(),
        "layers": layers,
        "estimated_ms": ms[0],
        "tuned_ms": ms[1],
        "rounds": rounds,
    }


def choices(engine: Engine) -> set[str]:
    """Names of the layers that are not on float values, which one kernel alone computes."""
    p = engine.program
    return {
        p.names[op.out]
        for op in p.ops
        if isinstance(op, ops.Synapse) and p.values[op.inputs[0]].kind is not Kind.F32
    }


def fastest(engines: tuple[Engine, ...], x: Any, rounds: int) -> list[float]:
    """Milliseconds of one image, the shortest of all rounds, the engines in turns."""
    best = [float("inf")] * len(engines)
    for _ in range(rounds):
        for i, engine in enumerate(engines):
            end = time.perf_counter() + TURN_S
            while (start := time.perf_counter()) < end:
                engine.run(x[:1])
                best[i] = min(best[i], time.perf_counter() - start)
    return [round(1000 * seconds, 4) for seconds in best]


def text(row: dict[str, Any]) -> str:
    """A line for people."""
    other = [layer for layer in row["layers"] if layer["estimated"] != layer["tuned"]]
    changes = ", ".join(f"{c['layer']} {c['estimated']} -> {c['tuned']}" for c in other)
    return (
        f"{row['ticket']}: {len(row['layers']) - len(other)} of {len(row['layers'])} layers as "
        f"estimated, {row['estimated_ms']:.3f} -> {row['tuned_ms']:.3f} ms  {changes}"
    )


if __name__ == "__main__":
    main()
