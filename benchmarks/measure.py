"""Time of measuring a network against a plain evaluation pass over the same images.

    python benchmarks/measure.py [--rounds 9] [--output results/measure.jsonl]

The networks of three recipes with their random first weights, BatchNorm's statistics from training
images, and the first 256 test images in the batches of the recipe. Timed in turns, as turns.py
says: ``plain`` is the pass that gives the accuracy, ``measured`` the same pass with every operation
and every neuron counted. The goal is at most twice the time.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

from turns import take_turns

NETS = {
    "convnet": ("digits-binw", ()),
    "nano spikformer": ("digits-multisp", ()),
    "vgg9": ("digits-binw", ("model.name=vgg9", "data.size=32", "model.width=0.5")),
}
IMAGES, GOAL = 256, 2.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    rows = []
    for net in NETS:
        cases = [{"net": net, "pass": kind} for kind in ("plain", "measured")]
        timed = take_turns(_make, cases, options.rounds, options.threads)
        rows += [
            _row(case, result, timed[0], options.threads)
            for case, result in zip(cases, timed, strict=True)
        ]
    print(_table(rows))
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text("".join(json.dumps(row, sort_keys=True) + "\n" for row in rows))


def _make(case: dict[str, Any]) -> Callable[[], None]:
    import torch

    from spiketicket.data import load_dataset
    from spiketicket.data.batches import ordered_batches, to_tensors
    from spiketicket.experiment.setup import Experiment
    from spiketicket.machine import allocator
    from spiketicket.measure.observe import observed
    from spiketicket.methods.building import build_network
    from spiketicket.recipe import load_recipe
    from spiketicket.recipe.named import packaged_recipes
    from spiketicket.training.evaluate import evaluate
    from spiketicket.training.statistics import estimate_statistics

    allocator.keep_freed_memory()
    name, changes = NETS[case["net"]]
    recipe = load_recipe(packaged_recipes()[name], changes)
    experiment = Experiment(
        recipe=recipe,
        dataset=load_dataset(recipe.data),
        device=torch.device("cpu"),
        precision="fp32",
    )
    torch.manual_seed(0)
    model = build_network(recipe, experiment.shape)
    with torch.no_grad():
        estimate_statistics(model, experiment.split(0)[0].epoch(0))
    model.eval()
    x, y = (part[:IMAGES] for part in to_tensors(experiment.dataset.test))
    data, size = experiment.dataset, recipe.train.batch_size

    def plain() -> None:
        evaluate(model, ordered_batches(x, y, data.mean, data.std, size))

    def measured() -> None:
        with observed(model) as seen:
            plain()
        assert seen.operations().images == IMAGES

    return measured if case["pass"] == "measured" else plain


def _row(
    case: dict[str, Any], result: dict[str, Any], plain: dict[str, Any], threads: int
) -> dict[str, Any]:
    row = {"benchmark": "measure", "images": IMAGES, "threads": threads, **case}
    if "error" in result:
        return {**row, "error": result["error"]}
    ratios = [a / b for a, b in zip(result["seconds"], plain["seconds"], strict=True)]
    return {
        **row,
        **result["machine"],
        "rounds": len(ratios),
        "ms": round(1000 * statistics.median(result["seconds"]), 2),
        "times_plain": round(statistics.median(ratios), 3),
        "times_plain_min": round(min(ratios), 3),
        "times_plain_max": round(max(ratios), 3),
        "peak_mib": round(result["peak_mib"]),
    }


def _table(rows: list[dict[str, Any]]) -> str:
    lines = []
    for row in rows:
        start = f"{row['net']:16} {row['pass']:9}"
        if "error" in row:
            lines.append(f"{start} {row['error']}")
            continue
        met = (
            ""
            if row["pass"] == "plain"
            else ", goal met"
            if row["times_plain"] <= GOAL
            else (f", goal {GOAL:g} not met")
        )
        lines.append(
            f"{start} {row['ms']:9.1f} ms  {row['times_plain']:5.2f} x plain "
            f"({row['times_plain_min']:.2f} to {row['times_plain_max']:.2f}){met}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
