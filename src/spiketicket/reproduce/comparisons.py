"""Figures of comparisons: energies as shares of the ticket's, and differences with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from spiketicket.report.numbers import energy
from spiketicket.reproduce.claims import Finding, find_all
from spiketicket.reproduce.collect import Row, stage_of
from spiketicket.reproduce.look import (
    COLOURS,
    HOLLOW,
    INK,
    MUTED,
    RULE,
    Key,
    folded,
    legend,
    nothing,
    role_title,
)
from spiketicket.reproduce.study import Study


def energy_panel(axes: Any, study: Study, rows: Sequence[Row], key: Key) -> None:
    """Energy of each net over that of the ticket the study is about, a bar each."""
    bars = [
        (row, role, stage)
        for row in rows
        for role in study.stages
        if (stage := row.stage(role)) and stage.energy_pj
    ]
    ticket = study.claims[0].b
    unit = [
        stage
        for row, role, stage in bars
        if ticket and (row.cell.series, role) == (ticket.series, ticket.stage)
    ]
    if not unit:
        nothing(axes, "operations are not counted yet")
        return
    one = sum(unit[0].energy_pj.values()) / len(unit[0].energy_pj)
    for place, (row, role, stage) in enumerate(bars):
        values = [pj / one for pj in stage.energy_pj.values()]
        mean = sum(values) / len(values)
        is_ticket = stage_of(row.cell.recipe, role) == "ticket"
        axes.barh(place, mean, height=0.55, color=COLOURS[0] if is_ticket else RULE)
        axes.plot([min(values), max(values)], [place, place], color=INK, linewidth=0.9)
        axes.annotate(
            f" {energy(mean * one)}",
            (mean, place),
            va="center",
            fontsize=8,
            color=MUTED,
            xytext=(3, 0),
            textcoords="offset points",
        )
        stated = [
            c.published
            for c in study.claims
            if c.published and (c.a.series, c.a.stage) == (row.cell.series, role)
        ]
        for value in stated:
            axes.plot([value], [place + 0.36], color=INK, clip_on=False, **HOLLOW)
            key.add("published ratio (v1 of arXiv 2309.13302)", color=INK, **HOLLOW)
    axes.set_yticks(
        range(len(bars)),
        [f"{r.cell.series}, {role_title(r, role)}" for r, role, _ in bars],
        fontsize=8,
    )
    axes.invert_yaxis()
    axes.grid(axis="x")
    axes.grid(visible=False, axis="y")
    axes.set_xlim(0, None)
    axes.margins(x=0.22)
    axes.set_xlabel(f"arithmetic energy per image, {ticket.series if ticket else ''} ticket = 1")


def forest(study: Study, rows: Sequence[Row]) -> Figure:
    """The study's claims as differences with their intervals, a line each."""
    findings = find_all(study, rows)
    titles = {row.cell.panel: row.cell.title for row in rows}
    figure = Figure(figsize=(8.4, 0.42 * len(findings) + 1.9), layout="constrained")
    axes: Any = figure.subplots()
    key = Key()
    for place, finding in enumerate(findings):
        _forest_row(axes, place, finding, key)
    axes.axvline(0, color=RULE, linewidth=0.9)
    labels = [folded(_forest_label(f, titles), 62) for f in findings]
    axes.set_yticks(range(len(findings)), labels, fontsize=8)
    axes.set_ylim(len(findings) - 0.4, -0.6)
    axes.grid(axis="x")
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("difference of test accuracies, percentage points")
    figure.suptitle(f"{study.place}. {study.title}", x=0.01, ha="left", fontsize=11)
    legend(figure, key, 2)
    return figure


def _forest_row(axes: Any, place: int, finding: Finding, key: Key) -> None:
    colours = {"shown": COLOURS[0], "contrary": COLOURS[1], "undecided": COLOURS[2]}
    colour = colours.get(finding.decision, MUTED)
    if finding.value is not None and finding.low is not None and finding.high is not None:
        axes.plot([finding.low, finding.high], [place, place], color=colour, linewidth=1.4)
        style: dict[str, Any] = {"color": colour, "marker": "o", "linestyle": "none"}
        axes.plot([finding.value], [place], **style)
        key.add(finding.decision, **style)
    else:
        axes.annotate(
            "not finished",
            (0, place),
            va="center",
            fontsize=8,
            color=MUTED,
            xytext=(4, 0),
            textcoords="offset points",
        )
    if finding.stated is not None:
        axes.plot([finding.stated], [place - 0.28], color=INK, **HOLLOW)
        key.add("published", color=INK, **HOLLOW)
    if finding.claim.margin:
        bound = -finding.claim.margin
        axes.plot(
            [bound, bound], [place - 0.35, place + 0.35], color=MUTED, linewidth=0.9, linestyle=":"
        )
        key.add("margin", color=MUTED, linewidth=0.9, linestyle=":")


def _forest_label(finding: Finding, titles: dict[str, str]) -> str:
    return f"{titles[finding.panel]}: {finding.series}, {finding.claim.text}"
