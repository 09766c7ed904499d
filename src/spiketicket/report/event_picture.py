"""A recording as a picture: its frames over time, polarity coloured, and its rate of events."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from spiketicket.errors import UserError, plain
from spiketicket.events import Events
from spiketicket.machine.files import explained

ON, OFF, BACK = (0.10, 0.45, 0.85), (0.85, 0.25, 0.15), (1.0, 1.0, 1.0)
"""Colours of events that became brighter and darker, and of a pixel without events."""
_COLUMNS, _BINS, _MOST = 8, 60, 400


def write_picture(
    path: Path, title: str, frames: NDArray[Any], events: Events | None = None
) -> None:
    """Write the picture; the end of ``path`` names its format (png, svg, pdf).

    ``frames`` are counts [T, C, H, W], C = 2 (OFF, ON) or 1; ``events`` gives the curve of the
    rate, which is left out without it.

    Raises:
        UserError: an unknown format, more than 400 frames, or a place that cannot be written.
    """
    if len(frames) > _MOST:
        what = f"must be at most {_MOST} for a picture"
        raise UserError(what, where="data.steps", value=len(frames))
    figure = _figure(title, frames, events)
    known = figure.canvas.get_supported_filetypes()
    kind = path.suffix.lower().removeprefix(".")
    if kind not in known:
        listed = ", ".join(k for k in ("png", "svg", "pdf") if k in known)
        remedy = f"End the name in one of {listed}"
        raise UserError("is no picture format", where=str(path), value=kind, remedy=remedy)
    with explained(path, "path"):
        figure.savefig(path, format=kind)


def coloured(frame: NDArray[Any], most: float) -> NDArray[np.float64]:
    """A frame [C, H, W] as colours [H, W, 3]; ``most`` is the count of full colour.

    A pixel with events of both polarities has both colours, mixed as on paper.
    """
    share = np.log1p(frame.astype(np.float64)) / math.log1p(max(most, 1.0))
    share = np.clip(share, 0, 1)
    colours = (OFF, ON) if len(share) == 2 else (ON,)
    out = np.ones((*frame.shape[1:], 3))
    for level, colour in zip(share, colours, strict=True):
        # even a single event must be seen beside a thousand
        seen = np.where(level > 0, 0.25 + 0.75 * level, 0.0)[..., np.newaxis]
        out *= 1 - seen * (1 - np.array(colour))
    return out


def _figure(title: str, frames: NDArray[Any], events: Events | None) -> Figure:
    steps = len(frames)
    columns = min(steps, _COLUMNS)
    rows = math.ceil(steps / columns)
    curve = 1.6 if events is not None else 0.0
    figure = Figure(figsize=(1.5 * columns + 0.6, 1.7 * rows + curve + 0.5), dpi=120)
    FigureCanvasAgg(figure)
    figure.set_layout_engine("constrained")
    figure.suptitle(plain(title), fontsize=9, parse_math=False)
    heights = [1.7] * rows + ([curve] if events is not None else [])
    grid = figure.add_gridspec(len(heights), columns, height_ratios=heights)
    most = float(np.quantile(frames[frames > 0], 0.99)) if (frames > 0).any() else 1.0
    for index, frame in enumerate(frames):
        place = figure.add_subplot(grid[index // columns, index % columns])
        place.imshow(coloured(frame, most), interpolation="nearest")
        place.set_title(f"frame {index}: {int(frame.sum()):,}", fontsize=7)
        place.set_xticks([])
        place.set_yticks([])
    if events is not None and len(events):
        _draw_rate(figure.add_subplot(grid[rows, :]), events)
    return figure


def _draw_rate(place: Any, events: Events) -> None:
    start = int(events.t[0])
    edges = np.linspace(0, max(events.duration_us, 1), _BINS + 1) / 1000
    time = (events.t - start) / 1000
    width = edges[1] - edges[0]
    for polarity, name, colour in ((1, "ON", ON), (0, "OFF", OFF)):
        counts, _ = np.histogram(time[events.p == polarity], edges)
        place.stairs(counts / width, edges, color=colour, label=name)
    place.set_xlabel("ms", fontsize=8)
    place.set_ylabel("thousand events a second", fontsize=7)
    place.tick_params(labelsize=7)
    place.legend(fontsize=7, frameon=False, loc="upper right")
    place.spines[["top", "right"]].set_visible(False)
