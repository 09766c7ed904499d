"""A study as a picture: the paper's arrangement, with our controls and intervals added.

Filled marks and lines are ours, bars over them intervals over seeds (over test samples where
there is one seed). Hollow diamonds are printed in the paper, for its data set and its network;
where some lie far from ours, all of a panel's stand in a strip over it, on a scale of their own.
The same rows give the same bytes.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

import matplotlib as mpl
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from spiketicket.reproduce.collect import Row
from spiketicket.reproduce.comparisons import energy_panel, forest
from spiketicket.reproduce.look import STYLE, Key, folded, legend
from spiketicket.reproduce.panels import conditions_panel, curves_panel
from spiketicket.reproduce.study import Study

_WIDTH, _HEIGHT, _COLUMNS = 3.4, 2.7, 4
"""Of a panel in inches, and panels beside each other."""


def draw(study: Study, rows: Sequence[Row]) -> bytes:
    """The study's figure as SVG."""
    with mpl.rc_context(STYLE):
        figure = forest(study, rows) if study.metric == "difference" else _panels(study, rows)
        content = io.BytesIO()
        FigureCanvasSVG(figure)
        figure.savefig(
            content,
            format="svg",
            metadata={"Date": None, "Creator": None},
            bbox_inches="tight",
            pad_inches=0.12,
        )
    return content.getvalue()


def _panels(study: Study, rows: Sequence[Row]) -> Figure:
    names = list(dict.fromkeys(row.cell.panel for row in rows))
    columns = min(_COLUMNS, len(names))
    lines = math.ceil(len(names) / columns)
    figure = Figure(figsize=(_WIDTH * columns, _HEIGHT * lines + 0.9), layout="constrained")
    grid = figure.subplots(lines, columns, squeeze=False)
    key = Key()
    for axes, name in zip(grid.flat, names, strict=False):
        own = [row for row in rows if row.cell.panel == name]
        if study.metric == "energy":
            energy_panel(axes, study, own, key)
        elif own[0].cell.x is None:
            conditions_panel(axes, study, own, key)
        else:
            curves_panel(axes, study, own, key)
        top = axes.child_axes[0] if axes.child_axes else axes  # the strip of published values
        top.set_title(folded(own[0].cell.title, 44), loc="left")
    for axes in list(grid.flat)[len(names) :]:
        axes.set_axis_off()
    legend(figure, key, columns)
    _head(figure, f"{study.place}. {study.title}")
    return figure


def _head(figure: Figure, text: str) -> None:
    """A title over all that is drawn: the layout makes no room for titles of strips."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    top = figure.get_tightbbox().y1 + 0.1
    figure.text(
        0.01,
        top / figure.get_figheight(),
        text,
        ha="left",
        va="bottom",
        fontsize=11,
    )
