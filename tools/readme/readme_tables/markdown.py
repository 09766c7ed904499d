"""A table in Markdown, under its title."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from pathlib import Path


def table(title: str, columns: str, rows: Iterable[str]) -> str:
    """A table; ``columns`` and each row are cells with ``|`` between.

    A column of numbers has a colon after its name.
    """
    names = [name.strip() for name in columns.split("|")]
    head = "".join(f" {name.removesuffix(':')} |" if name else " |" for name in names)
    marks = "".join(" ---: |" if name.endswith(":") else " --- |" for name in names)
    above = [title, ""] if title else []
    return "\n".join([*above, f"|{head}", f"|{marks}", *(f"| {row} |" for row in rows)])


def link(path: Path) -> str:
    """A link to a file of results, as docs/results.md has them."""
    return f"[{path.name}](../results/{path.name})"


def mean_text(values: Iterable[float]) -> str:
    """Mean, and standard deviation where there are several values."""
    found = list(values)
    mean = f"{statistics.fmean(found):.2f}"
    return mean if len(found) == 1 else f"{mean} ± {statistics.stdev(found):.2f}"
