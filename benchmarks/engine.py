"""Time of tickets in the packed engine, beside PyTorch, SpikingJelly, ONNX Runtime and OpenVINO.

    python benchmarks/engine.py [--output results/engine.jsonl] [--svg results/engine.svg] [--keep]

The tickets: VGG-9 with 50, 80, 90 and 95 % zeros, a Spikformer (dim 192, 12 blocks; selector,
kept tokens and a binary ConvPEP with 80 % zeros, as a MultiSp ticket has them), the same without a
selector and binary throughout, and a ResNet-19, all with 80 % zeros, for CIFAR-10 at T = 4. Masks
and signs are random and BatchNorm's statistics are estimated on training images, so that the nets
fire as trained ones do; the firing rates are printed. `--ticket FILE` adds trained ones.

Timed as `spiketicket bench` says: every peer in a process of its own, pinned, in turns. Peers
whose time does not depend on the zeros, but for the two that ratios are to and the fastest of
them, are timed at 80 % only. Needs CIFAR-10 below $SPIKETICKET_DATA and the extras bench and train;
`pip install --no-deps spikingjelly` and loguru for SpikingJelly. Nothing else should run meanwhile.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from random_tickets import NETS, firing_rates, random_ticket

ALWAYS = ("engine", "torch-fp32", "onnxruntime-int8", "openvino-int8")
FULL_AT = 0.8
ZEROS = (0.5, 0.8, 0.9, 0.95)
_COMMON = ("net", "zeros", "seed", "ticket", "machine", "firing_rates", "wall_s")


@dataclass(frozen=True)
class Subject:
    """A ticket to time; ``zeros`` and ``seed`` are None of one that was not drawn here."""

    net: str
    zeros: float | None
    seed: int | None
    path: Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--nets", nargs="*", default=list(NETS), choices=list(NETS))
    parser.add_argument("--zeros", nargs="*", type=float, default=list(ZEROS))
    parser.add_argument("--ticket", nargs="*", type=Path, default=[], help="trained ones, too")
    parser.add_argument("--batch", nargs="*", type=int, default=[1, 32])
    parser.add_argument("--threads", nargs="*", type=int, default=[1, 2])
    parser.add_argument("--peers", nargs="*", default=[], help="instead of the usual ones")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--images", type=int, default=64, help="whose logits are compared")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("results/engine.jsonl"))
    parser.add_argument("--svg", type=Path, default=Path("results/engine.svg"))
    parser.add_argument(
        "--keep", action="store_true", help="keep the file's lines of other tickets"
    )
    options = parser.parse_args()
    known = options.output.read_text().splitlines() if options.keep else ()
    results = regrouped([json.loads(line) for line in known])
    with tempfile.TemporaryDirectory() as folder:
        for subject in subjects(options, Path(folder)):
            result = measured(subject, options)
            same = [i for i, known in enumerate(results) if _ticket(known) == _ticket(result)]
            at = same[0] if same else len(results)
            results[at : at + 1] = [result]
            # After each, so that nothing is lost where a later one fails.
            write(results, options)


def write(results: list[dict[str, Any]], options: argparse.Namespace) -> None:
    """All results so far, as lines and as a drawing."""
    from spiketicket.bench.figure import figure

    rows = [row for result in results for row in rows_of(result)]
    for path in (options.output, options.svg):
        path.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text("".join(json.dumps(row, sort_keys=True) + "\n" for row in rows))
    options.svg.write_text(figure(results).file)


def subjects(options: argparse.Namespace, folder: Path) -> list[Subject]:
    """The tickets, drawn where they are random; VGG-9 at every number of zeros."""
    found = []
    for net in options.nets:
        for zeros in options.zeros if net == "vgg9" else (FULL_AT,):
            path = folder / f"{net}-{100 * zeros:g}.ticket"
            random_ticket(net, round(1 - zeros, 9), options.seed).save(path)
            found.append(Subject(net, zeros, options.seed, path))
    return [*found, *(Subject(path.stem, None, None, path) for path in options.ticket)]


def measured(subject: Subject, options: argparse.Namespace) -> dict[str, Any]:
    """One ticket's comparison, printed, with what else is to be told of it."""
    from spiketicket.bench.compare import Plan, compare
    from spiketicket.cli.print_bench import print_compared
    from spiketicket.ticket import Ticket

    usual = () if subject.zeros in (None, FULL_AT) else ALWAYS
    plan = Plan(
        batches=tuple(options.batch),
        threads=tuple(options.threads),
        peers=tuple(options.peers) or usual,
        rounds=options.rounds,
        images=options.images,
    )
    rates = firing_rates(Ticket.load(subject.path), subject.path)
    print(f"\n{subject.path.stem}: {rates_text(rates)}")
    result = compare(subject.path, plan, say=lambda line: print(line, file=sys.stderr, flush=True))
    print_compared(result)
    return {
        **result,
        "net": subject.net,
        "zeros": subject.zeros,
        "seed": subject.seed,
        "firing_rates": rates,
    }


def rates_text(rates: dict[str, float]) -> str:
    """The firing rates in a line; all of them are in the results."""
    low, high = min(rates, key=lambda name: rates[name]), max(rates, key=lambda name: rates[name])
    return (
        f"firing rate {100 * statistics.median(rates.values()):.1f} % (median of the layers), "
        f"from {100 * rates[low]:.1f} % ({low}) to {100 * rates[high]:.1f} % ({high})"
    )


def rows_of(result: dict[str, Any]) -> list[dict[str, Any]]:
    """A line of results for every batch size and number of threads."""
    return [
        {
            "benchmark": "engine",
            **{key: result[key] for key in _COMMON},
            "rounds": result["plan"]["rounds"],
            **group,
        }
        for group in result["groups"]
    ]


def regrouped(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The results that lines were written of, as :func:`rows_of` takes them."""
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows:
        result = found.setdefault(
            _ticket(row), {**row, "plan": {"rounds": row["rounds"]}, "groups": []}
        )
        result["groups"].append(
            {k: v for k, v in row.items() if k not in (*_COMMON, "rounds", "benchmark")}
        )
    return list(found.values())


def _ticket(result: dict[str, Any]) -> tuple[Any, ...]:
    return result["net"], result["zeros"], result["seed"]


if __name__ == "__main__":
    main()
