"""Accuracy of tickets and their controls against the minutes that training them took."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spiketicket.report.figures.canvas import (
    WIDTH,
    Figure,
    Scale,
    dot,
    drawing,
    end_labels,
    line,
    polyline,
    px,
    role,
    text,
    whisker,
    x_axis,
    y_axis,
)
from spiketicket.report.markup import Markup, element, joined
from spiketicket.report.numbers import percent

_LEFT, _RIGHT, _TOP, _BOTTOM = 34.0, 246.0, 48.0, 224.0
_PANEL, _COLUMNS = _BOTTOM + 54, 2
_BELOW = 20.0
"""Percentage points below the lowest end of a line that are still drawn."""

Row = Mapping[str, Any]
"""One stage of one seed: ``cell``, ``stage``, ``title``, ``seed``, ``test_accuracy`` in percent and
``curve``, pairs of minutes and validation accuracy in percent, one per epoch."""


@dataclass(frozen=True)
class _Line:
    stage: str
    title: str
    rows: tuple[Row, ...]

    @property
    def points(self) -> list[tuple[float, float]]:
        """Minutes and validation accuracy after every epoch that all seeds have, as means."""
        epochs = zip(*(row["curve"] for row in self.rows), strict=False)
        return [
            (statistics.fmean(m for m, _ in at), statistics.fmean(a for _, a in at))
            for at in epochs
        ]

    @property
    def tests(self) -> list[float]:
        return [float(row["test_accuracy"]) for row in self.rows]


def accuracy_minutes(rows: Sequence[Row], level: float, level_title: str, unit: str) -> Figure:
    """A panel per cell; ``level`` is an accuracy to compare with, ``unit`` what the minutes are of.

    Args:
        rows: at least one.
        level: in percent.
        level_title: what reached it.
        unit: words under the axis, such as ``minutes on 2 threads``.
    """
    cells = list(dict.fromkeys(row["cell"] for row in rows))
    columns = min(_COLUMNS, len(cells))
    parts = []
    for place, cell in enumerate(cells):
        inner = _panel(cell, _lines(rows, cell), level, level_title, unit)
        x, y = WIDTH * (place % columns), _PANEL * (place // columns)
        parts.append(element("g", inner, transform=f"translate({px(x)} {px(y)})"))
    height = _PANEL * -(-len(cells) // columns)
    title = "Accuracy against minutes of training"
    return Figure(
        name="accuracy-minutes",
        title=title,
        caption="Lines: validation accuracy after every epoch, mean over seeds. Marks: test"
        " accuracy, mean and range over seeds.",
        svg=drawing(height, joined(parts), label=title, width=WIDTH * columns),
        columns=("cell", "stage", "seed", "epoch", "minutes", "validation", "test"),
        rows=tuple(
            (row["cell"], row["stage"], row["seed"], epoch, minutes, validation, test)
            for row in rows
            for epoch, (minutes, validation) in enumerate(row["curve"], start=1)
            for test in (row["test_accuracy"] if epoch == len(row["curve"]) else None,)
        ),
    )


def _lines(rows: Sequence[Row], cell: str) -> list[_Line]:
    own = [row for row in rows if row["cell"] == cell]
    found = {row["stage"]: row["title"] for row in own}
    return [
        _Line(name, title, tuple(row for row in own if row["stage"] == name))
        for name, title in found.items()
    ]


def _panel(cell: str, lines: Sequence[_Line], level: float, level_title: str, unit: str) -> Markup:
    drawn = [ln for ln in lines if ln.points]
    parts: list[Markup] = [text(2, 14, cell, "strong")]
    if drawn:
        longest = max(ln.points[-1][0] for ln in drawn)
        scale_x = Scale(low=0.0, high=longest, start=_LEFT, end=_RIGHT - 10)
        scale_y = _y_scale(drawn, level)
        parts.append(y_axis(scale_y, _LEFT, _RIGHT, "accuracy, %"))
        parts.append(x_axis(scale_x, _BOTTOM, unit))
        at = scale_y(level)
        parts.append(line(_LEFT, at, _RIGHT, at, "threshold"))
        parts.append(text(_RIGHT, at - 4, f"{level_title}: {level:g}", "dim small", "end"))
        order = sorted(drawn, key=lambda ln: role(ln.stage) == "ticket")
        parts += [_drawn(ln, place, scale_x, scale_y) for place, ln in enumerate(order)]
        ends = []
        for ln in drawn:
            x, y = scale_x(ln.points[-1][0]), scale_y(statistics.fmean(ln.tests))
            ends.append((_short(ln.title), x + 6, y, role(ln.stage)))
        parts.append(end_labels(ends, _RIGHT, _TOP, _BOTTOM - 2))
    if floor := [ln for ln in lines if not ln.points]:
        parts.append(text(2, _BOTTOM + 46, _floor(floor), "dim small"))
    return joined(parts)


def _y_scale(lines: Sequence[_Line], level: float) -> Scale:
    tests = [value for ln in lines for value in ln.tests]
    low = min(*tests, *(ln.points[-1][1] for ln in lines)) - _BELOW
    lowest = min(a for ln in lines for _, a in ln.points)
    highest = max(level, *tests, *(a for ln in lines for _, a in ln.points))
    return Scale(
        low=max(low, lowest - 1, 0.0), high=min(100.0, highest + 2), start=_BOTTOM, end=_TOP
    )


def _drawn(ln: _Line, place: int, scale_x: Scale, scale_y: Scale) -> Markup:
    kind, tests = role(ln.stage), ln.tests
    shown = [(scale_x(m), scale_y(a)) for m, a in ln.points if a >= scale_y.low]
    mean, x = statistics.fmean(tests), scale_x(ln.points[-1][0])
    tip = f"{ln.title}: {percent(mean)} % on the test set, {percent(min(tests))} to"
    tip += f" {percent(max(tests))}, {len(tests)} seed{'s' * (len(tests) > 1)}"
    parts = [polyline(shown, f"s-{kind}", ln.title)] if shown else []
    if len(tests) > 1:
        # beside each other, so that equal ranges are both seen
        parts.append(whisker(x + 1.5 * (place % 3 - 1), scale_y, min(tests), max(tests), kind))
    parts.append(dot(x, scale_y(mean), 3.5, f"f-{kind}", tip))
    return joined(parts)


def _short(title: str) -> str:
    return title.replace("random mask, ", "random, ").replace("mask shuffled, ", "shuffled, ")


def _floor(lines: Sequence[_Line]) -> str:
    parts = [f"{ln.title}, {percent(statistics.fmean(ln.tests))} %" for ln in lines]
    return f"Not drawn: {'; '.join(parts)}"
