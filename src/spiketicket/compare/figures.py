"""The two figures of a comparison: accuracy against density, and against what the search cost."""

from __future__ import annotations

from collections.abc import Sequence

from spiketicket.compare.found import Compared, Row
from spiketicket.recipe import registry
from spiketicket.report.figures.canvas import (
    Figure,
    Scale,
    dot,
    drawing,
    end_labels,
    line,
    polyline,
    px,
    series,
    text,
    whisker,
    x_axis,
    y_axis,
)
from spiketicket.report.markup import Markup, element, joined
from spiketicket.report.numbers import between, count, percent

_TITLE, _TOP, _BOTTOM = 16.0, 34.0, 250.0
_LEFT, _RIGHT, _LABEL = 36.0, 330.0, 130.0


def figures(found: Compared) -> list[Figure]:
    """Both figures."""
    return [accuracy_density(found), accuracy_cost(found)]


def accuracy_density(found: Compared) -> Figure:
    """One line per method over the density of its tickets; the dense net as a level."""
    values = sorted({row.density for row in found.rows})
    # the sparsest to the right, where lines that start together have come apart
    log = values[-1] > 3 * values[0]
    scale_x = Scale(low=values[0], high=values[-1], start=_RIGHT - 12, end=_LEFT + 12, log=log)
    scale_y = _accuracy_scale(found, found.rows)
    asked = sorted({row.asked for row in found.rows})
    parts = [
        y_axis(scale_y, _LEFT, _RIGHT, "test accuracy, %"),
        x_axis(scale_x, _BOTTOM, "density (kept)", asked),
    ]
    parts += _dense_level(found, scale_y, _LEFT, _RIGHT)
    ends = []
    for method in found.methods:
        own = sorted((row for row in found.rows if row.method == method), key=lambda r: -r.density)
        points = [(scale_x(row.density), scale_y(_mean(row))) for row in own]
        parts.append(polyline(points, f"s-{_kind(found, method)}"))
        parts += [_point(found, row, scale_x(row.density), scale_y) for row in own]
        ends.append((_words(method), _RIGHT - 8, points[-1][1], _kind(found, method)))
    parts.append(end_labels(ends, _RIGHT, _TOP, _BOTTOM))
    title = "Accuracy against density"
    svg = drawing(_BOTTOM + 40, joined(parts), label=title, width=_RIGHT + _LABEL)
    columns, lines = _data(found)
    return Figure(
        name="accuracy-density",
        title=title,
        caption="Mean over seeds; the thin bars are intervals over seeds, with one seed over test "
        "samples. The dotted level is the dense net.",
        svg=svg,
        columns=columns,
        rows=lines,
    )


def accuracy_cost(found: Compared) -> Figure:
    """A panel per density: accuracy over the samples passed forward and back for the ticket."""
    asked = sorted({row.asked for row in found.rows}, reverse=True)
    costs = [row.cost.sample_passes for row in found.rows]
    if found.dense_cost is not None:
        costs.append(found.dense_cost.sample_passes)
    panel = _BOTTOM + 44
    parts: list[Markup] = []
    for place, density in enumerate(asked):
        rows = [row for row in found.rows if row.asked == density]
        inner = _cost_panel(found, rows, min(costs), max(costs), f"density {density:g}")
        parts.append(element("g", inner, transform=f"translate(0 {px(place * panel)})"))
    title = "Accuracy against the cost of the search"
    svg = drawing(panel * len(asked), joined(parts), label=title, width=_RIGHT + _LABEL)
    columns, lines = _data(found)
    return Figure(
        name="accuracy-cost",
        title=title,
        caption="Samples passed forward and back for a ticket, its search included, per seed. The "
        "ring is the dense net.",
        svg=svg,
        columns=columns,
        rows=lines,
    )


def _cost_panel(found: Compared, rows: Sequence[Row], low: float, high: float, head: str) -> Markup:
    log = low > 0 and high > 3 * low
    scale_x = Scale(low=low, high=high, start=_LEFT + 14, end=_RIGHT - 14, log=log)
    scale_y = _accuracy_scale(found, rows)
    parts = [text(_RIGHT, _TITLE, head, "strong", "end")]
    parts.append(y_axis(scale_y, _LEFT, _RIGHT, "test accuracy, %"))
    unit = "samples forward and back"
    parts.append(x_axis(scale_x, _BOTTOM, unit, scale_x.ticks(4), lambda v: count(v).strip()))
    if found.dense and found.dense_cost is not None:
        at = found.spread(found.dense).mean
        x = scale_x(found.dense_cost.sample_passes)
        parts.append(dot(x, scale_y(at), 5, "hollow", f"dense: {percent(at)} %"))
    parts += [_point(found, row, scale_x(row.cost.sample_passes), scale_y) for row in rows]
    ends = [
        (_words(row.method), _RIGHT - 8, scale_y(_mean(row)), _kind(found, row.method))
        for row in rows
    ]
    return joined([*parts, end_labels(ends, _RIGHT, _TOP, _BOTTOM)])


def _mean(row: Row) -> float:
    return sum(row.accuracy.values()) / len(row.accuracy)


def _kind(found: Compared, method: str) -> str:
    """How a method is drawn, the same in every comparison."""
    known = registry.names("methods")
    return series([*known, *(m for m in found.methods if m not in known)].index(method))


def _words(method: str) -> str:
    return method.replace("_", " ")


def _accuracy_scale(found: Compared, rows: Sequence[Row]) -> Scale:
    means = [_mean(row) for row in rows]
    if found.dense:
        means.append(found.spread(found.dense).mean)
    room = max(1.0, 0.15 * (max(means) - min(means)))
    low, high = max(0.0, min(means) - room), min(100.0, max(means) + room)
    return Scale(low=low, high=high, start=_BOTTOM, end=_TOP)


def _dense_level(found: Compared, scale_y: Scale, left: float, right: float) -> list[Markup]:
    if not found.dense:
        return []
    at = scale_y(found.spread(found.dense).mean)
    return [line(left, at, right, at, "threshold"), text(left + 4, at - 4, "dense", "dim")]


def _point(found: Compared, row: Row, x: float, scale_y: Scale) -> Markup:
    s, kind = found.spread(row.accuracy), _kind(found, row.method)
    tip = (
        f"{row.method} at {row.density:.4g}: {percent(s.mean)} % ({between(s.interval)}),"
        f" {row.cost.epochs:.4g} epochs"
    )
    bar = Markup("")
    if s.interval:
        aside = x + 1.5 * (found.methods.index(row.method) % 5 - 2)
        bar = whisker(aside, scale_y, s.interval.low, s.interval.high, kind)
    return joined([bar, dot(x, scale_y(s.mean), 3.5, f"f-{kind}", tip)])


def _data(found: Compared) -> tuple[tuple[str, ...], tuple[tuple[float | str | None, ...], ...]]:
    columns = (
        "method",
        "asked",
        "density",
        "accuracy",
        "sd",
        "low",
        "high",
        "trainings",
        "epochs",
        "sample_passes",
        "wall_s",
    )
    rows = []
    for row in found.rows:
        s, c = found.spread(row.accuracy), row.cost
        low, high = (s.interval.low, s.interval.high) if s.interval else (None, None)
        rows.append(
            (
                row.method,
                row.asked,
                row.density,
                s.mean,
                s.sd,
                low,
                high,
                c.trainings,
                c.epochs,
                c.sample_passes,
                c.wall_s,
            )
        )
    return columns, tuple(rows)
