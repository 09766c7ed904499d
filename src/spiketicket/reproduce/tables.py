"""A study as text: a table for a spreadsheet, and a page with the table and what it shows."""

from __future__ import annotations

from collections.abc import Sequence

from spiketicket.report.csv_text import Cell
from spiketicket.report.csv_text import to_csv as csv_of
from spiketicket.reproduce.collect import Row
from spiketicket.reproduce.published import published, source
from spiketicket.reproduce.statement import sentences
from spiketicket.reproduce.study import Study

_COLUMNS = (
    "panel",
    "series",
    "x",
    "stage",
    "mean",
    "low",
    "high",
    "seeds",
    "energy_pj",
    "published",
    "published_for",
    "recipe",
    "hash",
)
_MEANING = {
    "paper": "",
    "small": "This is a smaller study of the same kind: other data, smaller networks, fewer "
    "epochs. What agrees or disagrees here does so at this size.",
    "smoke": "This scale is a test of the machinery: too little training to mean anything.",
}
_NAMED = 6
"""Missing stages that are named; the others are counted."""


def to_csv(rows: Sequence[Row]) -> str:
    """A line for every stage of every cell; accuracies in percent."""
    lines: list[tuple[Cell, ...]] = []
    for row in rows:
        known = published(row.cell.published)
        for stage in row.stages.values():
            found = stage.interval(row.cell.recipe.verdict.confidence)
            ends = (None, None) if found is None else (found.low, found.high)
            energies = list(stage.energy_pj.values())
            printed = None
            if known and row.cell.x is None:
                printed = known.accuracy(row.cell.printed, stage.name)
            lines.append(
                (
                    row.cell.title,
                    row.cell.series,
                    row.cell.x,
                    stage.name,
                    stage.mean,
                    *ends,
                    " ".join(str(s) for s in stage.accuracy),
                    sum(energies) / len(energies) if energies else None,
                    printed,
                    known.title if known and printed is not None else None,
                    row.cell.recipe.name,
                    row.cell.recipe.hash,
                )
            )
    return csv_of(_COLUMNS, lines)


def to_page(study: Study, scale: str, rows: Sequence[Row]) -> str:
    """Markdown: what was run, what is missing, what it shows, and the table."""
    parts = [
        f"# {study.place}: {study.title} (`--scale {scale}`)",
        f"The paper: {study.states}",
        _MEANING[scale],
        f"![{study.title}]({study.name}.svg)",
        *_missing(rows),
        "## What it shows",
        # a list ends at an empty line
        "\n".join(sentences(study, rows)).replace("\n**", "\n\n**"),
        "## Values",
        _table(rows),
        "Accuracies are on the test set, in percent: mean over seeds, with the 95 % interval over "
        "seeds, or over test samples where there is one seed. Published values "
        f"({source()}) are for the paper's data sets and networks.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def missing(rows: Sequence[Row]) -> list[str]:
    """What is not finished, a text a cell."""
    return [
        f"{row.cell.title}, {row.cell.series}"
        f"{'' if row.cell.x is None else f' at {row.cell.x:g}'}: {_some(row.missing)}"
        for row in rows
        if row.missing
    ]


def _some(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _missing(rows: Sequence[Row]) -> list[str]:
    lines = missing(rows)
    if not lines:
        return []
    listed = "\n".join(f"- {line}" for line in lines)
    return [f"**Unfinished**: of {len(rows)} runs {len(lines)} lack stages.", listed]


def _table(rows: Sequence[Row]) -> str:
    axis = any(row.cell.x is not None for row in rows)
    head = ["panel", "series", *(["x"] if axis else []), "stage", "ours", "interval", "published"]
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for row in rows:
        known = published(row.cell.published)
        for stage in row.stages.values():
            found = stage.interval(row.cell.recipe.verdict.confidence)
            printed = None
            if known and row.cell.x is None:
                printed = known.accuracy(row.cell.printed, stage.name)
            cells = [
                row.cell.title,
                row.cell.series,
                *([f"{row.cell.x:g}"] if axis and row.cell.x is not None else [""] * axis),
                stage.title,
                f"{stage.mean:.2f}",
                "" if found is None else f"{found.low:.2f} to {found.high:.2f}",
                f"{printed:.2f} ({known.title})" if known and printed is not None else "",
            ]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) if len(lines) > 2 else "Nothing is finished yet."
