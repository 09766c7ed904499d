"""The recipe of `make demo`, chosen by validation accuracy on seeds that the demo does not use.

    python benchmarks/demo_recipe.py [--workers 2] [--runs DIR]
                                     [--record results/demo_recipe.jsonl]

The demo is to show what the controls are for: a net in which the ticket can differ from a random
mask, with every stage trained well, in three minutes on two cores. The digits of the package in
the convnet, binary weights, one threshold for all layers, 40 epochs for every stage, learning rates
tuned as in every run: widths and densities, with three seeds. A ticket wins that is no more than
the margin below its dense net, and above a random mask. Taken is the recipe whose ticket is
farthest from either limit: the smaller of both distances is the largest.

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
from spiketicket.sweep import Local, run_runs
from spiketicket.sweep.axes import make_runs, parse_axes

BASE: dict[str, Any] = {
    "name": "demo",
    "data": {"name": "digits"},
    "model": {"name": "convnet", "timesteps": 4, "weights": "binary"},
    "neuron": {"name": "lif"},
    "ticket": {"name": "edge_popup", "scope": "global"},
    "train": {"epochs": 40, "batch_size": 64, "precision": "fp32"},
    "verdict": {"margin": 2.0},
}
SIZES = ("model.width=0.25,0.5", "ticket.density=0.1,0.2,0.4")
SEEDS = "100:102"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--runs", type=Path, help="folder of the run folders, to go on in")
    parser.add_argument("--record", type=Path, help="add the rows to this file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        options.runs = options.runs or Path(scratch)
        rows = measure(options)
    for row in rows:
        if options.record:
            add_record(options.record, row)
    taken = choose_size(rows)
    print(f"taken: width {taken['model']['width']}, density {taken['ticket']['density']}")


def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    """A row per recipe, with validation accuracies alone."""
    runs = make_runs(BASE, parse_axes([*SIZES, f"seed={SEEDS}"]))
    with tempfile.TemporaryDirectory() as scratch:
        found = Path(scratch) / "found.jsonl"
        run_runs(runs, options.runs, Local(options.workers, 1), record=found)
        rows = [without_test(parse_json(line)) for line in found.read_text().splitlines()]
    for row in rows:
        print(_line(row), flush=True)
    return rows


def without_test(row: dict[str, Any]) -> dict[str, Any]:
    """A run's record less what the test set says."""
    stages = [{k: v for k, v in stage.items() if k != "test_accuracy"} for stage in row["stages"]]
    kept = {k: v for k, v in row.items() if k not in ("verdict", "notes")}
    return {**kept, "benchmark": "demo_recipe", "stages": stages}


def choose_size(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The recipe whose ticket is farthest from both limits of a win."""

    def distance(row: dict[str, Any]) -> float:
        ticket, margin = validation(row, "ticket"), row["recipe"]["verdict"]["margin"]
        above_dense = ticket - (validation(row, "dense") - margin)
        return min(above_dense, ticket - validation(row, "random_trained"))

    recipe: dict[str, Any] = max(rows, key=distance)["recipe"]
    return recipe


def validation(row: dict[str, Any], stage: str) -> float:
    """Mean over the seeds, in percent."""
    found = next(a["validation_accuracy"] for a in row["stages"] if a["stage"] == stage)
    return float(statistics.fmean(found))


def _line(row: dict[str, Any]) -> str:
    recipe = row["recipe"]
    accuracies = ", ".join(
        f"{stage['stage']} {validation(row, stage['stage']):.2f}" for stage in row["stages"]
    )
    return f"width {recipe['model']['width']}, density {recipe['ticket']['density']}: {accuracies}"


if __name__ == "__main__":
    main()
