"""One panel of accuracies: curves along an axis, or conditions side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from spiketicket.report.figures.canvas import (
    Scale,
    line,
    mark,
    polyline,
    text,
    whisker,
    x_axis,
)
from spiketicket.report.markup import Markup, joined
from spiketicket.reproduce.collect import Row, stage_of
from spiketicket.reproduce.look import (
    BOTTOM,
    LEFT,
    RIGHT,
    Key,
    Printed,
    accuracy_axis,
    kind_of,
    printed_value,
    role_title,
    spread,
)
from spiketicket.reproduce.published import published
from spiketicket.reproduce.study import Study

_DASHES = ("", "6 3", "1.5 3", "6 3 1.5 3", "5 1 1 1 1 1", "9 2")


def curves_panel(study: Study, rows: Sequence[Row], key: Key, kinds: Mapping[str, str]) -> Markup:
    """A curve for every series and stage, the series in their ``kinds``."""
    axis = study.axes[rows[0].cell.panel.partition("/")[2]]
    names = list(dict.fromkeys(row.cell.series for row in rows))
    xs = sorted({row.cell.x for row in rows if row.cell.x is not None})
    firsts = [next(r for r in rows if r.cell.series == name) for name in names]
    printed = [
        (*found, kinds[row.cell.series])
        for row in firsts
        if (found := _printed_on_curve(study, row, axis.shown))
    ]
    ends = [*xs, *(x for x, _, _ in printed)]
    scale_x = Scale(low=min(ends), high=max(ends), start=LEFT + 12, end=RIGHT - 12)
    curves = []
    for number, name in enumerate(names):
        own = sorted((r for r in rows if r.cell.series == name), key=lambda r: r.cell.x or 0.0)
        aside = 3 * (number - (len(names) - 1) / 2)  # so that equal intervals are both seen
        for place, role in enumerate(study.stages):
            points = [
                (scale_x(r.cell.x or 0.0), *spread(stage, r))
                for r in own
                if (stage := r.stage(role))
            ]
            if points:
                title = f"{name}, {role_title(own[0], role)}"
                curves.append((title, kinds[name], place, role, aside, points))
    drawn = [
        (mean, low, high) if place == 0 else (mean, mean, mean)
        for _, _, place, _, _, points in curves
        for _, mean, low, high in points
    ]
    marks = [(scale_x(x), value, kind) for x, value, kind in printed]
    scale, axes, rings = accuracy_axis(drawn, marks, published(rows[0].cell.published), key)
    parts = [axes, x_axis(scale_x, BOTTOM, axis.label, xs)]
    for title, kind, place, role, aside, points in curves:
        main = place == 0
        dash = "" if role == "dense" else _DASHES[place % len(_DASHES)]
        line_class = f"s-{kind}" if main else f"s-{kind} thin"
        parts.append(
            polyline([(x, scale(mean)) for x, mean, _, _ in points], line_class, title, dash)
        )
        if main:
            for x, mean, low, high in points:
                parts.append(whisker(x + aside, scale, low, high, kind))
                parts.append(mark(0, x, scale(mean), f"f-{kind}", f"{title}: {mean:.2f} %"))
        sample = polyline([(0, 0), (24, 0)], line_class, dash=dash)
        key.add(title, sample, *([mark(0, 12, 0, f"f-{kind}")] if main else []))
    return joined([*parts, rings])


def _printed_on_curve(study: Study, row: Row, shown: str) -> tuple[float, float] | None:
    """The tables' ticket, where the axis is what it has pruned: how much, and its accuracy."""
    known = published(row.cell.published)
    if known is None or shown != "pruned":
        return None
    stage = stage_of(row.cell.recipe, study.stages[0])
    value, pruned = known.accuracy(row.cell.printed, stage), known.pruned.get(stage)
    return None if value is None or pruned is None else (pruned, value)


def conditions_panel(study: Study, rows: Sequence[Row], key: Key) -> Markup:
    """The stages of every series beside each other."""
    known = published(rows[0].cell.published)
    scale_x = Scale(low=-0.5, high=len(rows) - 0.5, start=LEFT, end=RIGHT)
    found, printed = [], list[Printed]()
    for place, row in enumerate(rows):
        shown = [
            role for role in study.stages if row.stage(role) or printed_value(known, row, role)
        ]
        for index, role in enumerate(shown):
            beside = (index - (len(shown) - 1) / 2) * min(0.2, 0.8 / len(shown))
            at, kind = scale_x(place + beside), kind_of(row, role)
            if stage := row.stage(role):
                found.append((at, row, role, kind, spread(stage, row)))
            if (value := printed_value(known, row, role)) is not None:
                printed.append((at, value, kind))
    scale, axes, rings = accuracy_axis([f[-1] for f in found], printed, known, key)
    parts = [axes, line(LEFT, BOTTOM, RIGHT, BOTTOM, "axis")]
    parts += [
        text(scale_x(place), BOTTOM + 15, row.cell.series, "tiny dim", "middle")
        for place, row in enumerate(rows)
    ]
    for at, row, role, kind, (mean, low, high) in found:
        shape, title = study.stages.index(role), role_title(row, role)
        parts.append(whisker(at, scale, low, high, kind))
        tip = f"{row.cell.series}, {title}: {mean:.2f} %"
        parts.append(mark(shape, at, scale(mean), f"f-{kind}", tip))
        key.add(title, mark(shape, 12, 0, f"f-{kind}"))
    return joined([*parts, rings])
