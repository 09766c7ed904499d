"""Loss and validation accuracy of every stage over its epochs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from spiketicket.experiment.schemas import Epoch
from spiketicket.report.figures.canvas import (
    Figure,
    Scale,
    drawing,
    end_labels,
    polyline,
    px,
    role,
    x_axis,
    y_axis,
)
from spiketicket.report.markup import Markup, element, joined
from spiketicket.report.runs import Run

_LEFT, _RIGHT, _TOP, _BOTTOM = 40.0, 258.0, 30.0, 200.0
_LABELS = 6


@dataclass(frozen=True)
class _Line:
    stage: str
    title: str
    values: tuple[tuple[int, float], ...]


def training_curves(run: Run) -> list[Figure]:
    """Two figures: training loss and validation accuracy, means over the seeds."""
    found = []
    for name, title, unit, value in (
        ("loss", "Training loss", "training loss", _loss),
        ("validation", "Validation accuracy", "validation accuracy, %", _validation),
    ):
        figure = _figure(run, name, title, unit, value)
        if figure:
            found.append(figure)
    return found


def _loss(epoch: Epoch) -> float:
    return epoch.loss


def _validation(epoch: Epoch) -> float:
    return 100 * epoch.validation_accuracy


def left_out(run: Run) -> int:
    """How many values of the logs are infinite or no number, and so not drawn."""
    epochs = [epoch for stage in run.stages for epoch in stage.history]
    return sum(not math.isfinite(v) for e in epochs for v in (e.loss, e.validation_accuracy))


def _figure(
    run: Run, name: str, title: str, unit: str, value: Callable[[Epoch], float]
) -> Figure | None:
    names = list(dict.fromkeys(s.name for s in run.stages if s.history))
    lines = [ln for stage in names if (ln := _mean_line(run, stage, value)).values]
    if not lines:
        return None
    every = [v for ln in lines for _, v in ln.values]
    last = max(epoch for ln in lines for epoch, _ in ln.values)
    scale_x = Scale(low=1, high=max(2, last + 1), start=_LEFT + 6, end=_RIGHT - 8)
    scale_y = _scale(every)
    parts: list[Markup] = [
        y_axis(scale_y, _LEFT, _RIGHT, unit),
        x_axis(scale_x, _BOTTOM, "epoch", _whole(scale_x)),
    ]
    for ln in sorted(lines, key=lambda ln: _order(run, ln.stage)):
        points = [(scale_x(epoch + 1), scale_y(v)) for epoch, v in ln.values]
        kind = role(ln.stage)
        faint = "" if _named(run, ln.stage, lines) else " faint"
        faint += " earlier" if kind == "ticket" and ln.stage != run.main else ""
        parts.append(polyline(points, f"s-{kind}{faint}", ln.title))
        if len(points) == 1:
            parts.append(
                element(
                    "circle", cx=px(points[0][0]), cy=px(points[0][1]), r=2.5, class_=f"f-{kind}"
                )
            )
    ends = [_end(ln, scale_x, scale_y) for ln in lines if _named(run, ln.stage, lines)]
    parts.append(end_labels(ends, _RIGHT, _TOP, _BOTTOM - 2))
    seeds = len({s.seed for s in run.stages if s.history})
    caption = f"Mean over {seeds} seeds." if seeds > 1 else "One seed."
    if len(lines) > _LABELS:
        caption += " Grey: the controls; their names show under the pointer."
    columns = ("stage", "seed", "epoch", name)
    rows = tuple(
        (s.name, s.seed, e.epoch, value(e) if math.isfinite(value(e)) else str(value(e)))
        for s in run.stages
        for e in s.history
    )
    drawn = drawing(_BOTTOM + 42, joined(parts), label=f"{title} by epoch")
    return Figure(
        name=f"training-{name}", title=title, caption=caption, svg=drawn, columns=columns, rows=rows
    )


def _mean_line(run: Run, name: str, value: Callable[[Epoch], float]) -> _Line:
    by_epoch: dict[int, list[float]] = {}
    for stage in run.stages_of(name):
        for epoch in stage.history:
            if math.isfinite(value(epoch)):
                by_epoch.setdefault(epoch.epoch, []).append(value(epoch))
    means = tuple((e, math.fsum(v) / len(v)) for e, v in sorted(by_epoch.items()))
    return _Line(name, run.title(name), means)


def _scale(values: Sequence[float]) -> Scale:
    low, high = min(values), max(values)
    if low > 0 and high / low > 20:
        return Scale(low=low / 1.1, high=high * 1.1, start=_BOTTOM, end=_TOP, log=True)
    room = (high - low) * 0.04 or 0.5
    return Scale(low=low - room, high=high + room, start=_BOTTOM, end=_TOP)


def _whole(scale: Scale) -> list[float]:
    return sorted({float(round(v)) for v in (1.0, *scale.ticks(5)) if v >= 1})


def _order(run: Run, stage: str) -> int:
    if stage == run.main:
        return 3
    return {"ticket": 2, "dense": 1}.get(role(stage), 0)


def _named(run: Run, stage: str, lines: Sequence[_Line]) -> bool:
    return len(lines) <= _LABELS or stage in (run.main, "dense", "patch", "pepsp", "multisp")


def _end(ln: _Line, scale_x: Scale, scale_y: Scale) -> tuple[str, float, float, str]:
    epoch, value = ln.values[-1]
    title = ln.title.replace("random mask, ", "random, ")
    return title, scale_x(epoch + 1) + 2, scale_y(value), role(ln.stage)
