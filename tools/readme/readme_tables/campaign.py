"""README.md's picture of the campaign on CIFAR-10, where there is one."""

from __future__ import annotations

from pathlib import Path

from readme_tables.lines import read_lines

NAME = "campaign-cifar10"


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
