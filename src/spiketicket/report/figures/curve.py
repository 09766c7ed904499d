"""Accuracy of the ticket and its controls against the one number in which runs differ."""

from __future__ import annotations

from dataclasses import dataclass

from spiketicket.report.axes import Curve
from spiketicket.report.figures.canvas import (
    Figure,
    Scale,
    dot,
    drawing,
    end_labels,
    polyline,
    role,
    text,
    whisker,
    x_axis,
    y_axis,
)
from spiketicket.report.markup import Markup, joined
from spiketicket.report.numbers import Spread, between, percent, plain, spread
from spiketicket.report.runs import Row, Run

_LEFT, _RIGHT, _TOP, _BOTTOM = 34.0, 258.0, 30.0, 210.0


@dataclass(frozen=True)
class _Line:
    stage: str
    title: str
    points: tuple[tuple[float, Spread, Run], ...]


def accuracy_curve(curve: Curve, number: int) -> Figure:
    """One curve a stage: main ticket, dense net, and its other controls."""
    lines = _lines(curve)
    shown = [ln for ln in lines if role(ln.stage) != "floor"] or lines
    hidden = [ln for ln in lines if ln not in shown]
    scale_x = _x_scale(curve.values)
    scale_y = _y_scale([s for ln in shown for _, s, _ in ln.points])
    parts = [
        y_axis(scale_y, _LEFT, _RIGHT, "test accuracy, %"),
        x_axis(scale_x, _BOTTOM, curve.title, _tick_values(curve.values, scale_x)),
    ]
    order = sorted(shown, key=lambda ln: role(ln.stage) == "ticket")
    parts += [_drawn(ln, scale_x, scale_y) for ln in order]
    ends = [
        (_short(ln.title), _RIGHT - 4, scale_y(ln.points[-1][1].mean), role(ln.stage))
        for ln in shown
    ]
    parts.append(end_labels(ends, _RIGHT, _TOP, _BOTTOM - 2))
    if hidden:
        parts.append(text(_LEFT, _BOTTOM + 50, _floor(hidden), "dim"))
    name = curve.key.replace(".", "-")
    columns = (curve.key, "stage", "run", "accuracy", "sd", "low", "high")
    title = f"Accuracy against {curve.title.split(' (')[0]}"
    return Figure(
        name=f"curve-{number}-{name}",
        title=title,
        caption=f"{curve.fixed + '. ' if curve.fixed else ''}Mean over seeds; bars are intervals"
        " over seeds, with one seed over test samples.",
        svg=drawing(_BOTTOM + (58 if hidden else 42), joined(parts), label=title),
        columns=columns,
        rows=tuple(_row(x, ln, s, run) for ln in lines for x, s, run in ln.points),
    )


def _lines(curve: Curve) -> list[_Line]:
    main = curve.runs[0].main
    wanted = [main, "dense"]
    rows = [row for run in curve.runs for row in run.rows]
    titles = {row.name: row.title for row in rows}
    judged = {n for run in curve.runs if run.result for n in run.result.verdict.comparisons}
    wanted += [n for n in titles if n in judged and n not in wanted]
    found = []
    for name in wanted:
        points = [
            (x, _spread(run, row), run)
            for x, run in zip(curve.values, curve.runs, strict=True)
            for row in run.rows
            if row.name == name and row.test
        ]
        if points:
            found.append(_Line(name, titles[name], tuple(points)))
    return found


def _spread(run: Run, row: Row) -> Spread:
    return spread(row.test, run.samples, run.confidence)


def _x_scale(values: tuple[float, ...]) -> Scale:
    low, high = min(values), max(values)
    if low > 0 and high / low > 5:
        return Scale(low=low, high=high, start=_LEFT + 10, end=_RIGHT - 10, log=True)
    return Scale(low=low, high=high, start=_LEFT + 10, end=_RIGHT - 10)


def _y_scale(spreads: list[Spread]) -> Scale:
    lows = [s.interval.low if s.interval else s.mean for s in spreads]
    highs = [s.interval.high if s.interval else s.mean for s in spreads]
    # a wide interval of two seeds must not press the means together
    means = [s.mean for s in spreads]
    room = max(3.0, (max(means) - min(means)) * 0.3)
    low = max(min(lows), min(means) - room)
    high = min(max(highs), max(means) + room, 100.0)
    return Scale(low=max(0.0, low - 0.5), high=min(100.0, high + 0.5), start=_BOTTOM, end=_TOP)


def _tick_values(values: tuple[float, ...], scale: Scale) -> list[float]:
    found: list[float] = []
    for value in sorted(set(values)):
        if not found or scale(value) - scale(found[-1]) >= 26:
            found.append(value)
    return found


def _drawn(ln: _Line, scale_x: Scale, scale_y: Scale) -> Markup:
    kind = role(ln.stage)
    # beside each other, so that equal intervals are both seen
    aside = {"ticket": -1.5, "dense": 1.5}.get(kind, 0.0)
    parts = []
    for x, s, _ in ln.points:
        if s.interval:
            at = scale_x(x) + aside
            parts.append(whisker(at, scale_y, s.interval.low, s.interval.high, kind))
    parts.append(polyline([(scale_x(x), scale_y(s.mean)) for x, s, _ in ln.points], f"s-{kind}"))
    for x, s, run in ln.points:
        tip = f"{ln.title}: {percent(s.mean)} % ({between(s.interval)}) at {plain(x)}, {run.label}"
        parts.append(dot(scale_x(x), scale_y(s.mean), 3.5, f"f-{kind}", tip))
    return joined(parts)


def _short(title: str) -> str:
    short = title.replace("random mask, ", "random, ").replace("random mask ", "random ")
    return short.replace("MultiSp, ", "").replace("PEPSp, ", "")


def _floor(lines: list[_Line]) -> str:
    means = [s.mean for ln in lines for _, s, _ in ln.points]
    ends = f"{min(means):.0f} – {max(means):.0f}" if len(means) > 1 else f"{means[0]:.0f}"
    return f"Not drawn: {lines[0].title}, {ends} %"


def _row(x: float, ln: _Line, s: Spread, run: Run) -> tuple[float | str | None, ...]:
    low, high = (s.interval.low, s.interval.high) if s.interval else (None, None)
    return (x, ln.title, run.label, s.mean, s.sd, low, high)
