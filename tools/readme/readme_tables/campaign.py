"""The campaign on CIFAR-10: README.md's picture, where there is one, and a table for each cell."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from readme_tables.lines import read_lines
from readme_tables.markdown import link, mean_text, table
from spiketicket.verdict.comparison import compare
from spiketicket.verdict.rules import StageScores

NAME = "campaign-cifar10"
BySeed = Mapping[int, Mapping[str, Any]]


def campaign_picture(results: Path) -> list[str]:
    """The picture with what it shows, as Markdown; nothing before it is drawn."""
    picture, record = results / f"{NAME}.svg", results / f"{NAME}.jsonl"
    if not (picture.exists() and record.exists()):
        return []
    rows = read_lines(record)
    cells, seeds = {row["cell"] for row in rows}, {row["seed"] for row in rows}
    counts = [len({r["seed"] for r in rows if r["cell"] == cell}) for cell in cells]
    least, most = min(counts), len(seeds)
    many = f"{least} to {most} seeds" if least < most else f"{most} seed{'s' * (most > 1)}"
    return [
        f"![CIFAR-10: accuracy of tickets and their controls against minutes of training]"
        f"(results/{picture.name})",
        f"*CIFAR-10, {many}: validation accuracy by epoch; marks are the test,"
        f" mean and range. [Record](results/{record.name}).*",
    ]


def campaign_tables(rows: list[dict[str, Any]], path: Path) -> str:
    """A table for each cell, a row for each of its stages over the seeds that are done."""
    cells: dict[str, dict[str, dict[int, Mapping[str, Any]]]] = {}
    for row in rows:
        cells.setdefault(row["cell"], {}).setdefault(row["stage"], {})[row["seed"]] = row
    return "\n\n".join(_cell_table(cell, stages, path) for cell, stages in cells.items())


def _cell_table(cell: str, stages: Mapping[str, BySeed], path: Path) -> str:
    every = [row for seeds in stages.values() for row in seeds.values()]
    first = every[0]
    threads = " and ".join(str(t) for t in sorted({row["threads"] for row in every}))
    title = (
        f"**The campaign: {cell}** ({first['condition']}, T ="
        f" {first['recipe']['model']['timesteps']}, {first['recipe']['ticket']['name']};"
        f" {link(path)}, hash {first['hash'][:10]}, {first['device']}, threads: {threads},"
        f" spiketicket {first['spiketicket']}). Minutes are those of training and validation:"
    )
    ticket = stages.get("ticket", {})
    lines = [_stage_line(name, seeds, ticket) for name, seeds in stages.items()]
    columns = (
        "stage | seeds: | test %: | validation %: | ticket less it, 95 % over seeds: | epochs: |"
        " minutes: | file, kB:"
    )
    return table(title, columns, lines)


def _stage_line(name: str, seeds: BySeed, ticket: BySeed) -> str:
    rows = list(seeds.values())
    test = mean_text(row["test_accuracy"] for row in rows)
    validation = mean_text(row["validation_accuracy"] for row in rows)
    minutes = statistics.fmean(row["curve"][-1][0] if row["curve"] else 0.0 for row in rows)
    size = statistics.fmean(row["file_bytes"] for row in rows) / 1000
    return (
        f"{rows[0]['title']} | {len(rows)} | {test} | {validation} |"
        f" {_difference(name, seeds, ticket)} | {rows[0]['trained_epochs']:g} | {minutes:.0f} |"
        f" {size:.0f}"
    )


def _difference(name: str, seeds: BySeed, ticket: BySeed) -> str:
    """The ticket's accuracy less a control's, over the seeds that both have."""
    both = sorted(set(seeds) & set(ticket))
    if name == "ticket" or not both:
        return ""
    own, other = (
        StageScores(tuple(of[seed]["test_accuracy"] for seed in both)) for of in (ticket, seeds)
    )
    return compare(name, own, other, 0.95).points().replace(" points", "")
