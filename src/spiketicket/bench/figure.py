"""The comparison as a drawing: a bar a peer, to a logarithmic scale."""

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

_ROW, _HEAD, _LEFT, _RIGHT = 20.0, 28.0, 128.0, 62.0

Group = Mapping[str, Any]


def figure(result: Mapping[str, Any]) -> Figure:
    """Milliseconds an image of every peer that was measured, batch size after batch size.

    ``result`` is what ``compare`` returns.
    """
    groups = [(group, _measured(group)) for group in result["groups"]]
    times = [row["ms_per_image"] for _, rows in groups for row in rows]
    low, high = (min(times), max(times)) if times else (0.1, 1.0)
    scale = Scale(low / 1.5, high * 1.5, _LEFT, WIDTH - _RIGHT, log=True)
    parts: list[Markup] = []
    y = 0.0
    for group, rows in groups:
        parts.append(text(0, y + 17, _heading(group), "strong"))
        y += _HEAD
        parts += [_bar(row, scale, y + _ROW * i) for i, row in enumerate(rows)]
        y += _ROW * len(rows)
    parts.append(x_axis(scale, y + 4, "milliseconds an image"))
    about = result["ticket"]
    return Figure(
        "engine",
        f"{about['network']}, {100 * (1 - about['density']):.0f} % zeros",
        f"Median time an image on {result['machine']['cpu']}, quartiles as thin lines.",
        drawing(y + 42, joined(parts), label="Time an image of every peer"),
        ("batch", "threads", "peer", "ms_per_image", "q25", "q75"),
        tuple(
            (group["batch"], group["threads"], row["peer"], row["ms_per_image"], row["q25"],
             row["q75"])
            for group, rows in groups
            for row in rows
        ),
    )  # fmt: skip


def _measured(group: Group) -> Sequence[Mapping[str, Any]]:
    rows = (row for row in group["rows"] if row["status"] == "measured")
    return sorted(rows, key=lambda row: float(row["ms_per_image"]))


def _heading(group: Group) -> str:
    threads = group["threads"]
    return f"Batch {group['batch']}, {threads} thread{'s' * (threads > 1)}"


def _bar(row: Mapping[str, Any], scale: Scale, y: float) -> Markup:
    ms, ours = row["ms_per_image"], row["peer"].startswith("engine")
    tip = f"{row['title']}: {ms:.4g} ms (quartiles {row['q25']:.4g} to {row['q75']:.4g})"
    return joined([
        text(0, y + 14, row["title"], "t-ticket" if ours else ""),
        rect(_LEFT, y + 4, scale(ms) - _LEFT, 12, "f-ticket" if ours else "f-control", tip),
        line(scale(row["q25"]), y + 10, scale(row["q75"]), y + 10, "axis"),
        text(WIDTH, y + 14, f"{ms:.3g} ms", "dim", "end"),
    ])  # fmt: skip
