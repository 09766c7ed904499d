"""Export tickets of digits-binw to NIR, ONNX, PyTorch and pt2, and check each on all test images.

python benchmarks/interchange.py    a line an export into results/interchange.jsonl

The two nets without max pooling are searched first, a minute each.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

import spiketicket
from spiketicket.cli.export_torch import export_module, export_nir, export_onnx, export_pt2
from spiketicket.experiment.provenance import machine
from spiketicket.recipe.named import packaged_recipes

ROOT = Path(__file__).parent.parent
SETTINGS = [f"controls.{stage}=false" for stage in ("dense", "random_trained", "random_frozen")]
IMAGES = 360
Write = Callable[[Path, Path, str, str, str, int], dict[str, Any]]


def main() -> None:
    """Search, export, write the results."""
    with tempfile.TemporaryDirectory() as scratch:
        lines = [json.dumps(line, sort_keys=True) for line in results(Path(scratch))]
    (ROOT / "results" / "interchange.jsonl").write_text("".join(f"{text}\n" for text in lines))


def results(folder: Path) -> Iterator[dict[str, Any]]:
    """A line an export."""
    for pooling in ("average", "stride"):
        settings = [*SETTINGS, f"model.pooling={pooling}"]
        recipe = spiketicket.load_recipe(packaged_recipes()["digits-binw"], settings)
        ticket = spiketicket.find(recipe, runs_dir=folder).tickets[0]
        accuracy = spiketicket.Ticket.load(ticket).metadata["accuracy"]["test"]
        writers: dict[str, Write] = {
            "nir": export_nir,
            "onnx": export_onnx,
            "torch": export_module,
            "pt2": export_pt2,
        }
        for target, write in writers.items():
            started = time.perf_counter()
            made = write(ticket, folder / "out", "net", "", "", IMAGES)
            yield {
                "target": target,
                "recipe": recipe.name,
                "hash": recipe.hash,
                "pooling": pooling,
                "test_accuracy": accuracy,
                "checked_on": made["checked_on"],
                "checks": made["checks"],
                "bytes": sum(Path(file).stat().st_size for file in made["files"]),
                "wall_s": round(time.perf_counter() - started, 2),
                **machine(torch.device("cpu")),
            }


if __name__ == "__main__":
    main()
