"""A recording as a picture: its frames over time, polarity coloured, and its rate of events."""

from __future__ import annotations

import base64
import io
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from spiketicket.errors import UserError
from spiketicket.events import Events
from spiketicket.machine.files import write_bytes
from spiketicket.report.figures.canvas import (
    Scale,
    as_file,
    drawing,
    polyline,
    px,
    text,
    x_axis,
    y_axis,
)
from spiketicket.report.markup import Markup, element, joined

ON, OFF = (0.10, 0.45, 0.85), (0.85, 0.25, 0.15)
"""Colours of events that became brighter and darker; a pixel without events is white."""
_COLUMNS, _BINS, _MOST = 8, 60, 400
_SIDE, _GAP, _TOP, _RATE = 112.0, 8.0, 26.0, 96.0


def write_picture(
    path: Path, title: str, frames: NDArray[Any], events: Events | None = None
) -> None:
    """Write the picture as SVG.

    ``frames`` are counts [T, C, H, W], C = 2 (OFF, ON) or 1; ``events`` gives the curve of the
    rate, which is left out without it.

    Raises:
        UserError: ``path`` does not end in .svg, more than 400 frames, or a place that cannot be
            written.
    """
    if len(frames) > _MOST:
        what = f"must be at most {_MOST} for a picture"
        raise UserError(what, where="data.steps", value=len(frames))
    if path.suffix.lower() != ".svg":
        remedy = "End the name in .svg; browsers show it, and programs such as Inkscape turn it "
        remedy += "into PNG or PDF"
        raise UserError("is no SVG file", where=str(path), value=path.suffix, remedy=remedy)
    write_bytes(path, as_file(_picture(title, frames, events)).encode(), "path")


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


def full_count(frames: NDArray[Any]) -> float:
    """The count of full colour: 99 of 100 pixels with events have at most so many."""
    return float(np.quantile(frames[frames > 0], 0.99)) if (frames > 0).any() else 1.0


def image(pixels: NDArray[Any], x: float, y: float, width: float, height: float) -> Markup:
    """Pixels [H, W] or [H, W, 3], of uint8 or colours from 0 to 1, as a PNG in the drawing."""
    if pixels.dtype != np.uint8:
        pixels = np.round(255 * pixels).astype(np.uint8)
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG", optimize=True)
    return element(
        "image",
        x=px(x),
        y=px(y),
        width=px(width),
        height=px(height),
        class_="pixels",
        preserveAspectRatio="none",
        href=f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}",
    )


def _picture(title: str, frames: NDArray[Any], events: Events | None) -> Markup:
    width = (_SIDE + _GAP) * max(3, min(len(frames), _COLUMNS)) - _GAP
    high = _SIDE * frames.shape[2] / frames.shape[3]
    most = full_count(frames)
    parts = [text(0, 14, title, "strong")]
    for index, frame in enumerate(frames):
        x = (_SIDE + _GAP) * (index % _COLUMNS)
        y = _TOP + (high + 24) * (index // _COLUMNS)
        parts.append(text(x, y + 10, f"{index}: {int(frame.sum()):,} events", "small dim"))
        parts.append(image(coloured(frame, most), x, y + 15, _SIDE, high))
    bottom = _TOP + (high + 24) * math.ceil(len(frames) / _COLUMNS)
    if events is not None and len(events):
        parts.append(_rate(events, bottom + 34, width))
        bottom += 34 + _RATE + 38
    return drawing(bottom, joined(parts), label=title, width=width)


def _rate(events: Events, top: float, width: float) -> Markup:
    edges = np.linspace(0, max(events.duration_us, 1), _BINS + 1) / 1000
    time = (events.t - int(events.t[0])) / 1000
    rates = {
        name: np.histogram(time[events.p == polarity], edges)[0] / (edges[1] - edges[0])
        for polarity, name in ((1, "ON"), (0, "OFF"))
    }
    scale_x = Scale(low=0, high=float(edges[-1]), start=44, end=width - 1)
    scale_y = Scale(
        low=0, high=float(max(r.max() for r in rates.values())), start=top + _RATE, end=top
    )
    parts = [
        y_axis(scale_y, 44, width, "thousand events per second", 3),
        x_axis(scale_x, top + _RATE, "ms"),
    ]
    for place, ((name, rate), colour) in enumerate(zip(rates.items(), (ON, OFF), strict=True)):
        corners = zip(np.repeat(edges, 2)[1:-1].tolist(), np.repeat(rate, 2).tolist(), strict=True)
        curve = polyline([(scale_x(x), scale_y(y)) for x, y in corners], "s-own thin")
        label = text(width - 60 + 30 * place, top - 10, name, "t-own")
        shade = "#" + "".join(f"{round(255 * part):02x}" for part in colour)
        parts.append(element("g", curve, label, color=shade))
    return joined(parts)
