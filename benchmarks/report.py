"""Time and size of `spiketicket report`.

    python benchmarks/report.py RUN... [--rounds 5] [--output results/report.jsonl]

The runs given are copied (without tickets and checkpoints) with other values of one key of their
recipes each, to 1, 20 and 500 runs, and every page is written in a process of its own, imports
included. Goals: 20 runs in 3 s on a page of at most 1 MB.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path
from typing import Any

import tomli_w

COUNTS = (1, 20, 500)
GOAL_RUNS, GOAL_SECONDS, GOAL_BYTES = 20, 3.0, 1_000_000
AXES = (
    ("ticket", "density", (0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.9)),
    ("model", "timesteps", (1, 2, 4, 8)),
    ("neuron", "decay", (0.25, 0.5, 0.75, 0.9)),
    ("train", "epochs", (6, 12, 24, 48)),
    ("data", "validation", (0.1, 0.2)),
)
WRITE = """
import sys, pathlib
from spiketicket.report.writing import write_report
folders = [pathlib.Path(line) for line in sys.stdin.read().splitlines()]
print(write_report(folders, pathlib.Path(sys.argv[1])).size)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--counts", type=int, nargs="*", default=COUNTS)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        rows = [
            row(variants(options.runs, count, Path(place) / str(count)), options.rounds)
            for count in options.counts
        ]
    print(table(rows))
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text("".join(json.dumps(r, sort_keys=True) + "\n" for r in rows))


def variants(runs: list[Path], count: int, place: Path) -> list[Path]:
    """So many run folders, no two of the same recipe."""
    found = []
    values = itertools.product(*(axis for _, _, axis in AXES))
    for index, (chosen, run) in enumerate(zip(values, itertools.cycle(runs), strict=False)):
        if index == count:
            break
        folder = place / f"{index}-{run.resolve().name}"
        heavy = shutil.ignore_patterns("*.ticket", "*.pt", ".claim*")
        shutil.copytree(run, folder, ignore=heavy)
        recipe = tomllib.loads((folder / "recipe.toml").read_text())
        for (section, key, _), value in zip(AXES, chosen, strict=True):
            recipe[section][key] = value
        (folder / "recipe.toml").write_text(tomli_w.dumps(recipe))
        found.append(folder)
    if len(found) < count:
        raise SystemExit(f"there are only {len(found)} variants")
    return found


def row(folders: list[Path], rounds: int) -> dict[str, Any]:
    """Times of some writings in processes of their own, and the page's size."""
    listed, page = "\n".join(map(str, folders)), folders[0].parent / "report.html"
    command = [sys.executable, "-c", WRITE, str(page)]
    wall, processor, pages = [], [], set()
    for _ in range(rounds):
        before, started = os.times(), time.perf_counter()
        subprocess.run(command, input=listed, text=True, check=True, capture_output=True)
        wall.append(time.perf_counter() - started)
        after = os.times()
        processor.append(
            after.children_user
            + after.children_system
            - before.children_user
            - before.children_system
        )
        pages.add(page.read_bytes())
    return {
        "benchmark": "report",
        "runs": len(folders),
        "rounds": rounds,
        "page_bytes": page.stat().st_size,
        "same_bytes": len(pages) == 1,
        "wall_s": round(statistics.median(wall), 3),
        "wall_s_max": round(max(wall), 3),
        "processor_s": round(statistics.median(processor), 3),
        "python": platform.python_version(),
        "device": device(),
        "goal_s": GOAL_SECONDS,
        "goal_bytes": GOAL_BYTES,
        "goal_runs": GOAL_RUNS,
    }


def device() -> str:
    from spiketicket.machine import processor as _processor

    return _processor.name()


def table(rows: list[dict[str, Any]]) -> str:
    """The rows for a person."""
    lines = [f"{'runs':>6}{'seconds':>10}{'processor s':>14}{'page kB':>10}{'same bytes':>13}"]
    lines += [
        f"{r['runs']:>6}{r['wall_s']:>10.2f}{r['processor_s']:>14.2f}"
        f"{r['page_bytes'] / 1000:>10.0f}{r['same_bytes']!s:>13}"
        for r in rows
    ]
    for r in rows:
        if r["runs"] == GOAL_RUNS:
            met = r["wall_s"] <= GOAL_SECONDS and r["page_bytes"] <= GOAL_BYTES
            lines.append(f"goal: {GOAL_RUNS} runs in {GOAL_SECONDS:g} s and 1 MB: {met}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
