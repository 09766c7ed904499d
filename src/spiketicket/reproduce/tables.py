"""A study as text: a table for a spreadsheet, and a page with the table and what it shows."""

from __future__ import annotations

from collections.abc import Sequence

from spiketicket.report.csv_text import Cell
from spiketicket.report.csv_text import to_csv as csv_of
from spiketicket.reproduce.claims import DECISIONS, Finding, find_all
from spiketicket.reproduce.collect import Row
from spiketicket.reproduce.published import published, source
from spiketicket.reproduce.statement import not_shown, sentences
from spiketicket.reproduce.study import Panel, Study, load_base

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


def to_page(study: Study, scale: str, rows: Sequence[Row], registration: str = "") -> str:
    """Markdown: what was run, what is missing, what it shows, and the tables."""
    findings = find_all(study, rows)
    parts = [
        f"# {study.place}: {study.title} (`--scale {scale}`)",
        f"The paper: {study.states}",
        _MEANING[scale],
        f"![{study.title}]({study.name}.svg)",
        *_missing(rows),
        *_not_run(study, scale),
        "## What it shows",
        # a list ends at an empty line
        "\n".join(sentences(study, rows)).replace("\n**", "\n\n**"),
        "## Claims",
        registration,
        _claims(rows, findings),
        not_shown(findings),
        "Bands and margins are fixed before the first run. p is adjusted by Holm's method over all "
        "claims of the study; detectable is what a claim had 80 % power to show at its first step, "
        "in points, or for a ratio as a factor.",
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


def not_at_scale(study: Study, scale: str) -> list[str]:
    """Panels and values of the axis that the paper has and this scale has not, a text each."""
    paper = study.scales.get("paper")
    plan = next((plan for name, plan in study.scales.items() if name == scale), None)
    if scale == "paper" or paper is None or plan is None:
        return []
    ours = {_stands_for(panel): panel for panel in plan.panels}
    lines = []
    for panel in paper.panels:
        own, name = ours.get(_stands_for(panel)), _panel_name(panel)
        if own is None:
            lines.append(f"{name}: not at all")
        elif left := [v for v in panel.values if v not in own.values]:
            axis = study.axes[panel.axis]
            at = ", ".join(f"{axis.place(value):g}" for value in left)
            lines.append(f"{name}: nothing at {axis.label} = {at}")
    return lines


def _stands_for(panel: Panel) -> str:
    return panel.stands_for or panel.published or panel.title.partition(",")[0] + panel.axis


def _panel_name(panel: Panel) -> str:
    title = panel.title or load_base("paper", panel.base).title
    return f"{title}, {panel.axis}" if panel.axis else title


def _not_run(study: Study, scale: str) -> list[str]:
    lines = not_at_scale(study, scale)
    if not lines:
        return []
    listed = "\n".join(f"- {line}" for line in lines)
    return ["**Not run at this scale**, of what the paper has:", listed]


def _claims(rows: Sequence[Row], findings: Sequence[Finding]) -> str:
    titles = {row.cell.panel: row.cell.title for row in rows}
    head = "claim", "panel", "series", "ours", "interval", "paper", "band", "p (Holm)"
    lines = [_line((*head, "detectable", "decision")), "|" + " --- |" * (len(head) + 2)]
    for f in findings:
        at = "" if f.x is None else f" at {f.x:g}"
        most = "up to " if f.claim.most and f.stated is not None else ""
        cells = (
            f.claim.text,
            titles[f.panel],
            f"{f.series}{at}",
            _number(f.value),
            "" if f.low is None or f.high is None else f"{f.low:.2f} to {f.high:.2f}",
            most + _number(f.stated),
            "" if f.claim.sizes is None else f"{f.claim.sizes[0]:g} to {f.claim.sizes[1]:g}",
            "" if f.decision in {"missing", "one seed"} else f"{f.adjusted:.2g}",
            _number(f.detectable),
            DECISIONS[f.decision],
        )
        lines.append(_line(cells))
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}" if abs(value) < 1e4 else f"{value:.2g}"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


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
