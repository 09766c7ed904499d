"""A study as a picture: the paper's arrangement, with our controls and intervals added.

Filled marks and lines are ours, bars over them intervals over seeds (over test samples where
there is one seed). Hollow diamonds are printed in the paper, for its data set and its network;
where some lie far from ours, all of a panel's stand in a strip over it, on a scale of their own.
The same rows give the same text.
"""

from __future__ import annotations

from collections.abc import Sequence

from spiketicket.report.figures.canvas import as_file, drawing, folded, px, series, text
from spiketicket.report.markup import Markup, element, joined
from spiketicket.reproduce.collect import Row
from spiketicket.reproduce.comparisons import energy_panel, forest
from spiketicket.reproduce.look import HEIGHT, PANEL, Key
from spiketicket.reproduce.panels import conditions_panel, curves_panel
from spiketicket.reproduce.study import Study

_COLUMNS = 3
"""Panels beside each other."""


def draw(study: Study, rows: Sequence[Row]) -> str:
    """The study's figure as an SVG file."""
    key = Key()
    make = forest if study.metric == "difference" else _panels
    inner, width, height = make(study, rows, key)
    title = f"{study.place}. {study.title}"
    lines = folded(title, int(width // 7))
    top = 14 + 16 * len(lines)
    head = [text(0, 16 * (i + 1), words, "strong") for i, words in enumerate(lines)]
    body = element("g", inner, transform=f"translate(0 {px(top)})")
    legend, bottom = key.drawn(top + height + 10, width)
    return as_file(drawing(bottom, *head, body, legend, label=title, width=width))


def _panels(study: Study, rows: Sequence[Row], key: Key) -> tuple[Markup, float, float]:
    names = list(dict.fromkeys(row.cell.panel for row in rows))
    columns = 2 if len(names) == 4 else min(_COLUMNS, len(names))
    # a series has one colour in all panels
    every = dict.fromkeys(row.cell.series for row in rows)
    kinds = {name: series(index) for index, name in enumerate(every)}
    parts: list[Markup] = []
    y = 0.0
    for start in range(0, len(names), columns):
        heights = []
        for place, name in enumerate(names[start : start + columns]):
            own = [row for row in rows if row.cell.panel == name]
            inner, height = _panel(study, own, key, kinds)
            title = [
                text(0, 14 + 14 * i, words) for i, words in enumerate(folded(own[0].cell.title, 44))
            ]
            moved = f"translate({px(PANEL * place)} {px(y)})"
            parts.append(element("g", *title, inner, transform=moved))
            heights.append(height)
        y += max(heights)
    return joined(parts), PANEL * columns, y


def _panel(
    study: Study, rows: Sequence[Row], key: Key, kinds: dict[str, str]
) -> tuple[Markup, float]:
    if study.metric == "energy":
        return energy_panel(study, rows, key)
    if rows[0].cell.x is None:
        return conditions_panel(study, rows, key), HEIGHT
    return curves_panel(study, rows, key, kinds), HEIGHT
