"""The two figures of a comparison: accuracy against density, and against what the search cost."""

from __future__ import annotations

from collections.abc import Sequence

from spiketicket.compare.found import Compared, Row
from spiketicket.report.figures.canvas import Figure, Scale, apart, drawing, line, px, text, y_axis
from spiketicket.report.markup import Markup, element, joined
from spiketicket.report.numbers import between, count, percent

_COLOURS = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#e69f00",
    "#56b4e9",
    "#6a51a3",
    "#a6761d",
    "#666666",
    "#1b1b1b",
    "#882255",
    "#117733",
)
_DASHES = ("", "6 3", "2 3")
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
    scale_x = Scale(values[0], values[-1], _RIGHT - 12, _LEFT + 12, log)
    scale_y = _accuracy_scale(found, found.rows)
    parts = [y_axis(scale_y, _LEFT, _RIGHT, "test accuracy, %"), _density_axis(found, scale_x)]
    parts += _dense_level(found, scale_y, _LEFT, _RIGHT)
    ends = []
    for index, method in enumerate(found.methods):
        own = sorted((row for row in found.rows if row.method == method), key=lambda r: -r.density)
        points = [(scale_x(row.density), scale_y(_mean(row))) for row in own]
        path = "M" + "L".join(f"{px(x)} {px(y)}" for x, y in points)
        dash = _DASHES[index // len(_COLOURS) % len(_DASHES)]
        parts.append(
            element(
                "path",
                d=path,
                stroke=_colour(index),
                stroke_width="1.8",
                stroke_dasharray=dash or None,
            )
        )
        parts += [_point(found, row, scale_x(row.density), scale_y, index) for row in own]
        ends.append((method, points[-1][1], index))
    parts += _labels(ends, _RIGHT)
    title = "Accuracy against density"
    svg = drawing(_BOTTOM + 40, joined(parts), label=title, width=_RIGHT + _LABEL)
    return Figure(
        "accuracy-density",
        title,
        "Mean over seeds; the thin bars are intervals over seeds, with one seed over test samples. "
        "The dotted level is the dense net.",
        svg,
        *_data(found),
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
    return Figure(
        "accuracy-cost",
        title,
        "Samples passed forward and back for a ticket, its search included, a seed. The ring is "
        "the dense net.",
        svg,
        *_data(found),
    )


def _cost_panel(found: Compared, rows: Sequence[Row], low: float, high: float, head: str) -> Markup:
    log = low > 0 and high > 3 * low
    scale_x = Scale(low, high, _LEFT + 14, _RIGHT - 14, log=log)
    scale_y = _accuracy_scale(found, rows)
    parts = [text(_RIGHT, _TITLE, head, "strong", "end")]
    parts.append(y_axis(scale_y, _LEFT, _RIGHT, "test accuracy, %"))
    parts.append(line(_LEFT, _BOTTOM, _RIGHT, _BOTTOM, "axis"))
    for value in scale_x.ticks(4):
        parts.append(line(scale_x(value), _BOTTOM, scale_x(value), _BOTTOM + 4, "axis"))
        parts.append(text(scale_x(value), _BOTTOM + 16, count(value).strip(), "dim", "middle"))
    middle = (_LEFT + _RIGHT) / 2
    parts.append(text(middle, _BOTTOM + 32, "samples forward and back", "dim", "middle"))
    if found.dense and found.dense_cost is not None:
        at = found.spread(found.dense).mean
        parts.append(
            element(
                "circle",
                element("title", f"dense: {percent(at)} %"),
                cx=px(scale_x(found.dense_cost.sample_passes)),
                cy=px(scale_y(at)),
                r="5",
                class_="hollow",
            )
        )
    ends = []
    for row in rows:
        index = found.methods.index(row.method)
        parts.append(_point(found, row, scale_x(row.cost.sample_passes), scale_y, index))
        ends.append((row.method, scale_y(_mean(row)), index))
    return joined([*parts, *_labels(ends, _RIGHT)])


def _mean(row: Row) -> float:
    return sum(row.accuracy.values()) / len(row.accuracy)


def _colour(index: int) -> str:
    return _COLOURS[index % len(_COLOURS)]


def _accuracy_scale(found: Compared, rows: Sequence[Row]) -> Scale:
    means = [_mean(row) for row in rows]
    if found.dense:
        means.append(found.spread(found.dense).mean)
    room = max(1.0, 0.15 * (max(means) - min(means)))
    low, high = max(0.0, min(means) - room), min(100.0, max(means) + room)
    return Scale(low, high, _BOTTOM, _TOP)


def _density_axis(found: Compared, scale: Scale) -> Markup:
    parts = [line(_LEFT, _BOTTOM, _RIGHT, _BOTTOM, "axis")]
    for value in sorted({row.asked for row in found.rows}):
        at = scale(value)
        parts.append(line(at, _BOTTOM, at, _BOTTOM + 4, "axis"))
        parts.append(text(at, _BOTTOM + 16, f"{value:g}", "dim", "middle"))
    middle = (_LEFT + _RIGHT) / 2
    return joined([*parts, text(middle, _BOTTOM + 32, "density (kept)", "dim", "middle")])


def _dense_level(found: Compared, scale_y: Scale, left: float, right: float) -> list[Markup]:
    if not found.dense:
        return []
    at = scale_y(found.spread(found.dense).mean)
    return [line(left, at, right, at, "threshold"), text(left + 4, at - 4, "dense", "dim")]


def _point(found: Compared, row: Row, x: float, scale_y: Scale, index: int) -> Markup:
    s = found.spread(row.accuracy)
    tip = (
        f"{row.method} at {row.density:.4g}: {percent(s.mean)} % ({between(s.interval)}),"
        f" {row.cost.epochs:.4g} epochs"
    )
    parts = []
    if s.interval:
        low, high = (
            min(max(v, scale_y.low), scale_y.high) for v in (s.interval.low, s.interval.high)
        )
        aside = x + 1.5 * (index % 5 - 2)
        parts.append(
            element(
                "path",
                d=f"M{px(aside)} {px(scale_y(low))}V{px(scale_y(high))}",
                stroke=_colour(index),
                stroke_opacity="0.45",
            )
        )
    parts.append(
        element(
            "circle",
            element("title", tip),
            cx=px(x),
            cy=px(scale_y(s.mean)),
            r="3.5",
            fill=_colour(index),
        )
    )
    return joined(parts)


def _labels(ends: Sequence[tuple[str, float, int]], right: float) -> list[Markup]:
    places = apart([end for _, end, _ in ends], 13, _TOP, _BOTTOM)
    parts = []
    for (method, end, index), at in zip(ends, places, strict=True):
        parts.append(
            element("path", d=f"M{px(right - 8)} {px(end)}L{px(right + 6)} {px(at)}", class_="hair")
        )
        parts.append(
            element(
                "text",
                method.replace("_", " "),
                x=px(right + 9),
                y=px(at + 3.5),
                class_="label",
                style=f"fill:{_colour(index)}",
            )
        )
    return parts


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
