"""One panel of accuracies: curves along an axis, or conditions side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from spiketicket.reproduce.collect import Row, StageRow, stage_of
from spiketicket.reproduce.look import (
    MARKS,
    Key,
    accuracy_axis,
    colour_of,
    draw_published,
    folded,
    nothing,
    printed_value,
    role_title,
    spread,
)
from spiketicket.reproduce.published import published
from spiketicket.reproduce.study import Study

_LINES = ("-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (9, 2)))


def curves_panel(axes: Any, study: Study, rows: Sequence[Row], key: Key) -> None:
    """A curve for every series and stage."""
    axis = study.axes[rows[0].cell.panel.partition("/")[2]]
    names = list(dict.fromkeys(row.cell.series for row in rows))
    drawn: list[tuple[float, float, float]] = []
    values = [row.cell.x or 0.0 for row in rows]
    aside = 0.012 * (max(values) - min(values))
    for number, name in enumerate(names):
        own = sorted((r for r in rows if r.cell.series == name), key=lambda r: r.cell.x or 0.0)
        colour = key.colour(name)
        for place, role in enumerate(study.stages):
            points = [(r.cell.x or 0.0, stage, r) for r in own if (stage := r.stage(role))]
            if points:
                beside = aside * (number - (len(names) - 1) / 2)
                drawn += _curve(axes, points, role, place, colour, beside, key)
    xs = sorted({row.cell.x for row in rows if row.cell.x is not None})
    axes.set_xticks(xs, [f"{x:g}" for x in xs])
    axes.set_xlabel(axis.label)
    accuracy_axis(axes, drawn)
    firsts = [next(r for r in rows if r.cell.series == name) for name in names]
    marks = [
        (*mark, key.colour(row.cell.series))
        for row in firsts
        if (mark := _printed_on_curve(study, row, axis.shown))
    ]
    draw_published(axes, marks, published(rows[0].cell.published), key)
    if not drawn:
        nothing(axes)


def _curve(
    axes: Any,
    points: Sequence[tuple[float, StageRow, Row]],
    role: str,
    place: int,
    colour: str,
    beside: float,
    key: Key,
) -> list[tuple[float, float, float]]:
    main = place == 0
    line = "-" if main or role == "dense" else _LINES[place % len(_LINES)]
    style: dict[str, Any] = {
        "color": colour,
        "linestyle": line,
        "linewidth": 1.8 if main else 0.9,
        "alpha": 1.0 if main else 0.75,
        "marker": MARKS[0] if main else None,
        "markersize": 4,
    }
    spreads = [(x, *spread(stage, row)) for x, stage, row in points]
    axes.plot([s[0] for s in spreads], [s[1] for s in spreads], **style)
    if main:
        for x, _, low, high in spreads:
            at = x + beside  # so that equal intervals are both seen
            axes.plot([at, at], [low, high], color=colour, linewidth=0.8, alpha=0.6)
    row = points[0][2]
    key.add(f"{row.cell.series}, {role_title(row, role)}", **style)
    return [s[1:] for s in spreads] if main else [(s[1], s[1], s[1]) for s in spreads]


def _printed_on_curve(study: Study, row: Row, shown: str) -> tuple[float, float] | None:
    """The tables' ticket, where the axis is what it has pruned: how much, and its accuracy."""
    known = published(row.cell.published)
    if known is None or shown != "pruned":
        return None
    stage = stage_of(row.cell.recipe, study.stages[0])
    value, pruned = known.accuracy(row.cell.printed, stage), known.pruned.get(stage)
    return None if value is None or pruned is None else (pruned, value)


def conditions_panel(axes: Any, study: Study, rows: Sequence[Row], key: Key) -> None:
    """The stages of every series beside each other."""
    drawn: list[tuple[float, float, float]] = []
    known = published(rows[0].cell.published)
    marks: list[tuple[float, float, str]] = []
    for place, row in enumerate(rows):
        shown = [
            role for role in study.stages if row.stage(role) or printed_value(known, row, role)
        ]
        for index, role in enumerate(shown):
            at = place + (index - (len(shown) - 1) / 2) * min(0.2, 0.8 / len(shown))
            stage, number = row.stage(role), study.stages.index(role)
            if stage:
                mean, low, high = spread(stage, row)
                colour = colour_of(row, role)
                style = {
                    "color": colour,
                    "marker": MARKS[number % len(MARKS)],
                    "markersize": 5,
                    "linestyle": "none",
                }
                axes.plot([at, at], [low, high], color=colour, linewidth=0.9, alpha=0.7)
                axes.plot([at], [mean], **style)
                key.add(role_title(row, role), **style)
                drawn.append((mean, low, high))
            if (value := printed_value(known, row, role)) is not None:
                marks.append((at, value, colour_of(row, role)))
    axes.set_xlim(-0.6, len(rows) - 0.4)
    axes.set_xticks(range(len(rows)), [folded(r.cell.series, 12) for r in rows], fontsize=8)
    accuracy_axis(axes, drawn)
    draw_published(axes, marks, known, key)
    if not drawn:
        nothing(axes)
