"""The comparison as a drawing: a mark a peer, on a logarithmic scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from spiketicket.report.figures.canvas import (
    WIDTH,
    Figure,
    Scale,
    drawing,
    line,
    rect,
    text,
    x_axis,
)
from spiketicket.report.markup import Markup, joined

_ROW, _HEAD, _LEFT, _RIGHT = 20.0, 28.0, 150.0, 62.0

Group = Mapping[str, Any]


def figure(results: Sequence[Mapping[str, Any]]) -> Figure:
    """Milliseconds per image of every peer that was measured, ticket after ticket.

    ``results`` are what ``compare`` returns.
    """
    groups = [
        (_heading(result, group), _measured(group))
        for result in results
        for group in result["groups"]
    ]
    times = [row["ms_per_image"] for _, rows in groups for row in rows]
    low, high = (min(times), max(times)) if times else (0.1, 1.0)
    scale = Scale(low=low / 1.5, high=high * 1.5, start=_LEFT, end=WIDTH - _RIGHT, log=True)
    parts: list[Markup] = []
    y = 0.0
    for heading, rows in groups:
        parts.append(text(0, y + 17, heading, "strong"))
        y += _HEAD
        parts += [_mark(row, scale, y + _ROW * i) for i, row in enumerate(rows)]
        y += _ROW * len(rows)
    parts.append(x_axis(scale, y + 4, "milliseconds per image (logarithmic)"))
    return Figure(
        name="engine",
        title="Time per image",
        caption="Median time per image on a logarithmic scale, quartiles as lines.",
        svg=drawing(y + 42, joined(parts), label="Time per image of every peer"),
        columns=("case", "peer", "ms_per_image", "q25", "q75"),
        rows=tuple(
            (heading, row["peer"], row["ms_per_image"], row["q25"], row["q75"])
            for heading, rows in groups
            for row in rows
        ),
    )


def _measured(group: Group) -> Sequence[Mapping[str, Any]]:
    rows = (row for row in group["rows"] if row["status"] == "measured")
    return sorted(rows, key=lambda row: float(row["ms_per_image"]))


def _heading(result: Mapping[str, Any], group: Group) -> str:
    about, threads = result["ticket"], group["threads"]
    net = f"{about['network']}, {100 * (1 - about['density']):.0f} % zeros"
    return f"{net}: batch {group['batch']}, {threads} thread{'s' * (threads > 1)}"


def _mark(row: Mapping[str, Any], scale: Scale, y: float) -> Markup:
    ms, ours = row["ms_per_image"], row["peer"].startswith("engine")
    tip = f"{row['title']}: {ms:.4g} ms (quartiles {row['q25']:.4g} to {row['q75']:.4g})"
    return joined(
        [
            text(0, y + 14, row["title"], "t-ticket" if ours else ""),
            line(scale(row["q25"]), y + 10, scale(row["q75"]), y + 10, "axis"),
            rect(scale(ms) - 4, y + 6, 8, 8, class_="f-ticket" if ours else "f-control", tip=tip),
            text(WIDTH, y + 14, f"{ms:.3g} ms", "dim", "end"),
        ]
    )
