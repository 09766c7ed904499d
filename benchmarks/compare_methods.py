"""Every method beside the others on one recipe, with the cost of each search.

    python benchmarks/compare_methods.py [digits|cifar10] [--seeds 3] [--workers 1] [--runs runs]
                                         [--budget each|total] [--results results]

Runs `spiketicket compare` and writes `results/compare-<data>.jsonl`, and the page and both figures
into `results/compare-<data>/`. `digits`: the recipe digits-binw as it is, all methods, densities
0.5, 0.2 and 0.05. `cifar10`: 2,000 images, VGG-9 of an eighth of the width, 6 epochs at one time
step and 2 at four, and the methods that train once or twice, and imp. Stopped at any time, it goes
on where it was.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

ALL = (
    "edge_popup",
    "magnitude",
    "imp",
    "early_bird",
    "early_time",
    "snip",
    "synflow",
    "gradual",
    "channels",
    "random_mask",
    "random_reinit",
)
QUICK = ("edge_popup", "magnitude", "imp", "snip", "gradual", "random_mask")
DENSITIES = "0.5,0.2,0.05"
SETS = {
    "digits": ("digits-binw", ALL, ()),
    "cifar10": (
        "cifar10-vgg9-binw",
        QUICK,
        (
            "data.train_limit=2000",
            "model.width=0.125",
            "train.epochs=8",
            "train.batch_size=32",
            "train.timestep_ramp=[[6,1]]",
            "train.precision=fp32",
        ),
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", nargs="?", choices=SETS, default="digits")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--budget", choices=("each", "total"), default="each")
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--dry-run", action="store_true", help="tell the cost, run nothing")
    options = parser.parse_args()
    recipe, methods, changes = SETS[options.data]
    name = f"compare-{options.data}" + ("-total" if options.budget == "total" else "")
    command = [
        sys.executable,
        "-c",
        "from spiketicket.cli import main; main()",
        "compare",
        recipe,
        "--methods",
        ",".join(methods),
        "--density",
        DENSITIES,
        "--seeds",
        str(options.seeds),
        "--budget",
        options.budget,
        "--workers",
        str(options.workers),
        "--runs",
        str(options.runs),
        "--out",
        str(options.results / name),
        "--record",
        str(options.results / f"{name}.jsonl"),
    ]
    for change in changes:
        command += ["--set", change]
    if options.dry_run:
        command.append("--dry-run")
    sys.exit(subprocess.run(command, check=False).returncode)


if __name__ == "__main__":
    main()
