"""Studies: what reproduce wrote of a table or figure of the paper."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from readme_tables.lines import read_lines
from readme_tables.markdown import table
from spiketicket.reproduce.study import study_names

SCALES = ("paper", "small")
"""Folders of results that mean something; smoke does not."""
DECISIONS = (
    "shown",
    "same direction, other size",
    "same direction, size undecided",
    "contrary",
    "undecided",
    "one seed: no verdict",
    "missing",
)
_TITLE = re.compile(r"# (.+): (.+) \(`--scale (\w+)`\)")
_UNFINISHED = re.compile(r"\*\*Unfinished\*\*: of (\d+) runs (\d+) lack stages")
_COUNT = re.compile(r"(\d+) ([^0-9]+?)(?=, \d|$)")
_PANEL = re.compile(r"\*\*(.+)\*\*: (.+) \((.+)\)\.")


@dataclass(frozen=True, kw_only=True)
class Study:
    """One study at a scale: its rows, and of its page the title and what it shows."""

    page: Path
    place: str
    title: str
    scale: str
    runs: int
    finished: int
    rows: tuple[dict[str, Any], ...]
    """The runs that have anything."""
    shown: str
    older: bool
    """Whether it is of the rules before claims had bands, which no row of today follows."""

    @property
    def version(self) -> str:
        """The versions that made its runs, as far as the runs say."""
        known = sorted({str(row["spiketicket"]) for row in self.rows if "spiketicket" in row})
        return ", ".join(known) or "an earlier version"

    @property
    def seeds(self) -> str:
        """How many seeds its runs have, "-" of none."""
        counts = {len(stage["seeds"]) for row in self.rows for stage in row["stages"]}
        return ", ".join(map(str, sorted(counts))) or "-"

    @property
    def decisions(self) -> dict[str, int]:
        """How many claims were decided how."""
        counts = dict.fromkeys(DECISIONS, 0)
        for line in self.shown.splitlines():
            panel = _PANEL.fullmatch(line)
            for number, decision in _COUNT.findall(panel[3]) if panel else ():
                if decision in counts:
                    counts[decision] += int(number)
        return counts


def read_studies(results: Path) -> list[Study]:
    """The studies in a folder of results, those at the paper's own scale first."""
    pages = [p for scale in SCALES for p in sorted((results / scale).glob("*.md"))]
    return [read_study(page) for page in pages if page.with_suffix(".jsonl").exists()]


def read_study(page: Path) -> Study:
    """A study by its page.

    Raises:
        ValueError: the page is not one that reproduce wrote.
    """
    text = page.read_text()
    title = _TITLE.match(text)
    _, _, rest = text.partition("## What it shows\n")
    shown, end, _ = rest.partition("\n## ")
    if title is None or not end:
        raise ValueError(f"{page}: is not a page of spiketicket reproduce")
    rows = tuple(read_lines(page.with_suffix(".jsonl")))
    unfinished = _UNFINISHED.search(text)
    older = "\n## Claims\n" not in text
    runs, lacking = map(int, unfinished.groups()) if unfinished else (len(rows), 0)
    place, name, scale = title.groups()
    return Study(
        page=page,
        place=place,
        title=name,
        scale=scale,
        runs=runs,
        finished=runs - lacking,
        rows=rows,
        shown=shown.strip(),
        older=older,
    )


def studies_table(studies: list[Study], folder: Path) -> str:
    """One row per study; links start at ``folder``."""
    columns = (
        "study | of the paper | scale | seeds: | runs finished: | claims shown: | other size: |"
        " size undecided: | contrary: | undecided: | one seed: | not decided yet:"
    )
    rows = []
    for study in studies:
        decided = study.decisions
        counts = " | ".join("-" if study.older else str(decided[d]) for d in DECISIONS)
        mark = f" ({study.version})" if study.older else ""
        rows.append(
            f"[{study.page.stem}]({_link(study.page.with_suffix('.csv'), folder)}) |"
            f" {study.place}: {study.title}{mark} | {study.scale} | {study.seeds} |"
            f" {study.finished} of {study.runs} | {counts}"
        )
    lacking = [name for name in study_names() if name not in {s.page.stem for s in studies}]
    told = f"\n\nNot run at any scale yet: {', '.join(lacking)}." if lacking else ""
    return table("", columns, rows) + told


def study_part(study: Study, folder: Path) -> str:
    """The figure of a study and what it shows; links start at ``folder``."""
    page, rows = study.page, study.rows
    told = [f"{study.finished} of {study.runs} runs finished"]
    if rows:
        devices = ", ".join(sorted({str(row["device"]) for row in rows if "device" in row}))
        hours = sum(row["wall_s"] for row in rows) / 3600
        told.append("seeds per run: " + study.seeds)
        told += [f"{hours:.1f} h of stages, those that runs share counted in each", devices]
    links = [f"[every value]({_link(page.with_suffix('.csv'), folder)})"]
    links.append(f"[{page.stem}.jsonl]({_link(page.with_suffix('.jsonl'), folder)})")
    parts = [
        f"**{study.place}: {study.title}**, `--scale {study.scale}`"
        f" ({'; '.join(part for part in told if part)}; {', '.join(links)}):",
    ]
    figure = page.with_suffix(".svg")
    if figure.exists():
        parts.append(f"![{study.title}]({_link(figure, folder)})")
    said = study.shown
    if study.older:
        rows = _link(page.with_suffix(".csv"), folder)
        said = (
            f"Made by {study.version}, before claims had bands and were adjusted for their"
            f" number: no verdict by the rules of today. [Its rows]({rows})."
        )
    return "\n\n".join([*parts, said])


def _link(path: Path, folder: Path) -> str:
    return Path(os.path.relpath(path, folder)).as_posix()
