"""The comparisons a verdict rests on: the differences, their intervals, and the margin."""

from __future__ import annotations

from collections.abc import Callable

from spiketicket.experiment.schemas import Compared
from spiketicket.report.figures.canvas import (
    WIDTH,
    Figure,
    Scale,
    dot,
    drawing,
    line,
    px,
    rect,
    role,
    text,
    x_axis,
)
from spiketicket.report.markup import Markup, element, joined
from spiketicket.report.numbers import signed
from spiketicket.report.runs import Run

_ROW, _TOP = 36.0, 4.0
_FARTHEST = 20.0
"""Points from 0 beyond which a comparison is an arrow, so that the others can be read."""


def forests(run: Run) -> list[Figure]:
    """A figure a ticket, all to one scale: the ticket minus each control, in points."""
    if run.result is None:
        return []
    by_ticket: dict[str, list[Compared]] = {}
    for pair in run.pairs:
        by_ticket.setdefault(pair.ticket, []).append(pair)
    ends = [v for p in run.pairs for v in (p.low, p.high, p.difference) if v is not None]
    near = [abs(v) for v in ends if abs(v) <= _FARTHEST]
    reach = max([run.result.verdict.margin * 1.5, 1.0, *near]) * 1.08
    scale = Scale(low=-reach, high=reach, start=0, end=WIDTH)
    margin = run.result.verdict.margin
    return [_figure(run, ticket, pairs, scale, margin) for ticket, pairs in by_ticket.items()]


def _figure(run: Run, ticket: str, pairs: list[Compared], scale: Scale, margin: float) -> Figure:
    bottom = _TOP + _ROW * len(pairs)
    parts = [
        rect(scale.start, _TOP, scale(-margin) - scale.start, bottom - _TOP, class_="worse"),
        line(scale(0), _TOP, scale(0), bottom, "axis"),
        *(_row(pair, scale, _TOP + i * _ROW, run.title) for i, pair in enumerate(pairs)),
        x_axis(scale, bottom, "percentage points"),
    ]
    name = run.title(ticket)
    label = f"Differences between the {name} and its controls, with their intervals"
    return Figure(
        name=f"differences-{ticket}",
        title=f"{name[:1].upper()}{name[1:]}, minus",
        caption=_about(run, margin, far=any(abs(pair.difference) > scale.high for pair in pairs)),
        svg=drawing(bottom + 38, joined(parts), label=label),
        columns=("ticket", "control", "points", "low", "high", "basis"),
        rows=tuple((p.of, p.control, p.difference, p.low, p.high, p.basis) for p in pairs),
    )


def _about(run: Run, margin: float, *, far: bool) -> str:
    several = len(run.seeds) > 1
    over = ("Mean difference over seeds", "") if several else ("Difference", " over test samples")
    words = f"{over[0]} with its {100 * run.confidence:g} % interval{over[1]}. Shaded: worse by "
    words += f"more than the margin of {margin:g} points."
    return f"{words} An arrow points to what is farther away." if far else words


def _row(pair: Compared, scale: Scale, y: float, title: Callable[[str], str]) -> Markup:
    kind = role(pair.control)
    name = title(pair.control)
    bounds = "no interval"
    if pair.low is not None and pair.high is not None:
        bounds = f"{signed(pair.low)} to {signed(pair.high)}"
    tip = f"{name}: {signed(pair.difference)} points ({bounds})"
    words = joined(
        [
            text(0, y + 13, name),
            text(
                WIDTH, y + 13, joined([_bold(signed(pair.difference)), f"  {bounds}"]), "dim", "end"
            ),
        ]
    )
    middle = y + 23
    if abs(pair.difference) > scale.high:
        return joined([words, _arrow(scale, middle, pair.difference > 0, kind, tip)])
    parts = [words]
    if pair.low is not None and pair.high is not None:
        low, high = max(pair.low, scale.low), min(pair.high, scale.high)
        bar = line(scale(low), middle, scale(high), middle, f"bar s-{kind}")
        parts.append(bar)
    parts.append(dot(scale(pair.difference), middle, 4, f"f-{kind}", tip))
    return joined(parts)


def _bold(content: str) -> Markup:
    return element("tspan", content, class_="strong")


def _arrow(scale: Scale, y: float, right: bool, kind: str, tip: str) -> Markup:
    way = 1 if right else -1
    end = scale.end if right else scale.start
    back = end - way * 9
    path = f"M{px(end)} {px(y)}L{px(back)} {px(y - 5)}L{px(back)} {px(y + 5)}Z"
    shaft = line(end - way * 40, y, back, y, f"bar s-{kind}")
    return joined([shaft, element("path", element("title", tip), d=path, class_=f"f-{kind}")])
