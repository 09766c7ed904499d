"""The recipe of `make demo`, chosen by validation accuracy on seeds that the demo does not use.

    python benchmarks/demo_recipe.py [--workers 2] [--runs DIR]
                                     [--record results/demo_recipe.jsonl]

The demo is to show what the controls are for: a net in which the ticket can differ from a random
mask, with every stage trained well, in three minutes on two cores. The digits of the package in
the convnet, binary weights, one threshold for all layers, 60 epochs for every stage:

1. `size`: widths and densities, with the rates of the package and five seeds. A ticket wins that is
   no more than the margin below its dense net, and above a random mask. Taken is the recipe whose
   ticket is farthest from either limit: the smaller of both distances is the largest.
2. `rates`: three learning rates for every stage of the one taken, and three seeds. Of the scores
   the best is taken. The dense net and the random mask have one rate in a recipe: taken is the one
   whose larger loss for either, against its own best, is the smallest, so that no control is at a
   disadvantage. Of equal ones the package's own is taken.

Only validation accuracies are compared and recorded; a row of the record has no test accuracy.
Stages that runs have in common are trained once. Stopped at any time, it goes on where it was.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from spiketicket.experiment.record import add_record
from spiketicket.machine.bounded import parse_json
from spiketicket.recipe import TrainConfig
from spiketicket.sweep import Local, run_runs
from spiketicket.sweep.axes import make_runs, parse_axes

BASE: dict[str, Any] = {
    "name": "demo",
    "data": {"name": "digits"},
    "model": {"name": "convnet", "timesteps": 4, "weights": "binary"},
    "neuron": {"name": "lif"},
    "ticket": {"name": "edge_popup", "scope": "global"},
    "train": {"epochs": 60, "batch_size": 64},
    "verdict": {"margin": 2.0},
}
SIZES = ("model.width=0.25,0.5", "ticket.density=0.1,0.2,0.4")
RATES = ("train.scores.lr=0.01,0.02,0.05", "train.weights.lr=0.001,0.002,0.005")
"""Taken as pairs, for no stage reads both."""
OWN = TrainConfig(epochs=1, batch_size=1)
"""Has the rates of the package."""
SEEDS = {"size": "100:104", "rates": "100:102"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--runs", type=Path, help="folder of the run folders, to go on in")
    parser.add_argument("--record", type=Path, help="add the rows to this file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        options.runs = options.runs or Path(scratch)
        sizes = measure("size", options, SIZES)
        size = choose_size(sizes)
        width, density = size["model"]["width"], size["ticket"]["density"]
        taken = [f"model.width={width}", f"ticket.density={density}"]
        rates = measure("rates", options, RATES, taken, zipped=True)
    scores, weights = choose_rates(rates)
    if options.record:
        for row in {row["hash"]: row for row in [*rates, *sizes]}.values():
            add_record(options.record, row)
    print(f"taken: width {width}, density {density}, rates {scores} (scores), {weights} (weights)")


def measure(
    kind: str,
    options: argparse.Namespace,
    axes: Sequence[str],
    overrides: Sequence[str] = (),
    *,
    zipped: bool = False,
) -> list[dict[str, Any]]:
    """A row per recipe, with validation accuracies alone."""
    seeded = parse_axes([*axes, f"seed={SEEDS[kind]}"], overrides)
    runs = make_runs(BASE, seeded, overrides, zipped=zipped)
    with tempfile.TemporaryDirectory() as scratch:
        found = Path(scratch) / "found.jsonl"
        run_runs(runs, options.runs, Local(options.workers, 1), record=found)
        rows = [without_test(kind, parse_json(line)) for line in found.read_text().splitlines()]
    for row in rows:
        print(_line(row), flush=True)
    return rows


def without_test(kind: str, row: dict[str, Any]) -> dict[str, Any]:
    """A run's record less what the test set says."""
    stages = [{k: v for k, v in stage.items() if k != "test_accuracy"} for stage in row["stages"]]
    kept = {k: v for k, v in row.items() if k not in ("verdict", "notes")}
    return {**kept, "benchmark": "demo_recipe", "kind": kind, "stages": stages}


def choose_size(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The recipe whose ticket is farthest from both limits of a win."""

    def distance(row: dict[str, Any]) -> float:
        ticket, margin = validation(row, "ticket"), row["recipe"]["verdict"]["margin"]
        above_dense = ticket - (validation(row, "dense") - margin)
        return min(above_dense, ticket - validation(row, "random_trained"))

    recipe: dict[str, Any] = max(rows, key=distance)["recipe"]
    return recipe


def choose_rates(rows: Sequence[dict[str, Any]]) -> tuple[float, float]:
    """The rates of the scores and of the weights; the package's own where others are no better."""

    seeds = min(len(row["seeds"]) for row in rows)

    def found(stage: str, optimizer: str) -> dict[float, float]:
        return {
            row["recipe"]["train"][optimizer]["lr"]: validation(row, stage, seeds) for row in rows
        }

    tickets = found("ticket", "scores")
    controls = [found(stage, "weights") for stage in ("dense", "random_trained")]
    loss = {rate: max(max(c.values()) - c[rate] for c in controls) for rate in controls[0]}
    scores = max(tickets, key=lambda rate: (tickets[rate], rate == OWN.scores.lr))
    return scores, min(loss, key=lambda rate: (loss[rate], rate != OWN.weights.lr))


def validation(row: dict[str, Any], stage: str, seeds: int | None = None) -> float:
    """Mean over the seeds, or the first of them, in percent."""
    found = next(a["validation_accuracy"] for a in row["stages"] if a["stage"] == stage)
    return statistics.fmean(found[:seeds])


def _line(row: dict[str, Any]) -> str:
    recipe, train = row["recipe"], row["recipe"]["train"]
    accuracies = ", ".join(
        f"{stage['stage']} {validation(row, stage['stage']):.2f}" for stage in row["stages"]
    )
    return (
        f"{row['kind']}: width {recipe['model']['width']}, density {recipe['ticket']['density']}, "
        f"rates {train['scores']['lr']} and {train['weights']['lr']}: {accuracies}"
    )


if __name__ == "__main__":
    main()
