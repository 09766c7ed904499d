"""What the net does with one sample: spikes of each layer, membranes, and its answer."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from spiketicket.report.figures.canvas import (
    WIDTH,
    Figure,
    Scale,
    brief,
    dot,
    drawing,
    line,
    polyline,
    px,
    rect,
    shortened,
    text,
    x_axis,
    y_axis,
)
from spiketicket.report.figures.layers import short_name
from spiketicket.report.markup import Markup, element, joined
from spiketicket.report.sample import Sample

_LEFT, _PANEL, _GAP = 96.0, 44.0, 8.0
_MOST_STEPS = 400


def raster(sample: Sample, stage: str) -> Figure | None:
    """A panel per layer, a column per time step, a row per neuron."""
    rasters = [(name, spikes) for name, spikes in sample.rasters if spikes.size]
    if not rasters:
        return None
    times = min(max(len(spikes) for _, spikes in rasters), _MOST_STEPS)
    cell = (WIDTH - _LEFT) / times
    parts: list[Markup] = []
    y = 4.0
    for name, spikes in rasters:
        parts.append(text(0, y + 14, brief(short_name(name), 15), "small"))
        words = f"{spikes.shape[1]} neurons"
        parts.append(text(0, y + 27, words, "tiny dim"))
        parts.append(rect(_LEFT, y, WIDTH - _LEFT, _PANEL, class_="panel", tip=f"{name}: {words}"))
        parts.append(_marks(spikes[:times], y, cell))
        y += _PANEL + _GAP
    scale = Scale(low=0.5, high=times + 0.5, start=_LEFT, end=WIDTH)
    parts.append(x_axis(scale, y - _GAP + 2, "time step", _steps(times)))
    rows = [
        (name, t + 1, n)
        for name, spikes in rasters
        for t, n in zip(*(i.tolist() for i in spikes.nonzero()), strict=True)
    ]
    return Figure(
        name=f"raster-{stage}",
        title="Spikes",
        caption=f"Test sample {sample.index}: at most 128 evenly chosen neurons "
        "per layer, a mark for each spike.",
        svg=drawing(y + 32, joined(parts), label="Spikes of each layer over time"),
        columns=("layer", "time_step", "neuron"),
        rows=tuple(rows),
    )


def _marks(spikes: NDArray[np.bool_], y: float, cell: float) -> Markup:
    """A line a spike, in a frame where a time step and a neuron are one unit each."""
    row = _PANEL / spikes.shape[1]
    frame = f"translate({px(_LEFT)} {px(y + row / 2)})scale({cell:.4g} {row:.4g})"
    path, at = [], (0, 0)
    for t, n in zip(*(i.tolist() for i in spikes.nonzero()), strict=True):
        path.append(f"m{t - at[0]} {n - at[1]}h1h-1")
        at = (t, n)
    return element("path", d=f"M0 0{''.join(path)}", transform=frame, class_="spike")


def membranes(sample: Sample, stage: str) -> Figure | None:
    """The potential before firing of a few neurons, a panel each, with the threshold."""
    potential, fired = sample.membrane[:_MOST_STEPS], sample.membrane_spikes
    times, neurons = potential.shape
    finite = [v for v in potential.ravel().tolist() if math.isfinite(v)]
    if not neurons or not finite:
        return None
    low, high = min(0.0, *finite), max(sample.threshold, *finite)
    scale_x = Scale(low=0.5, high=times + 0.5, start=34, end=WIDTH)
    parts: list[Markup] = []
    y = 12.0
    for n in range(neurons):
        scale_y = Scale(low=low, high=high, start=y + 38, end=y)
        edge = scale_y(sample.threshold)
        parts.append(line(34, edge, WIDTH, edge, "threshold"))
        parts.append(text(0, y + 22, n + 1, "small dim"))
        parts.append(line(34, scale_y(0), WIDTH, scale_y(0), "hair"))
        trace = [(t, float(v)) for t, v in enumerate(potential[:, n]) if math.isfinite(v)]
        points = [(scale_x(t + 1), scale_y(v)) for t, v in trace]
        parts.append(polyline(points, "s-dense thin") if points else Markup(""))
        for (t, v), (px_, py) in zip(trace, points, strict=True):
            kind = "f-ticket" if fired[t, n] else "hollow"
            tip = f"neuron {n + 1}, time step {t + 1}: {v:.3g}{', fires' * bool(fired[t, n])}"
            parts.append(dot(px_, py, 3, kind, tip))
        y += 50
    parts.append(x_axis(scale_x, y, "time step", _steps(times)))
    return Figure(
        name=f"membranes-{stage}",
        title="Membranes",
        caption=f"Potential before firing of {neurons} neurons of "
        f"{short_name(sample.membrane_name)}, test sample {sample.index}. Dashed: the threshold. "
        "Filled: the neuron fires.",
        svg=drawing(y + 38, joined(parts), label="Membrane potentials over time"),
        columns=("neuron", "time_step", "potential", "fires"),
        rows=tuple(
            (
                n + 1,
                t + 1,
                float(potential[t, n]) if math.isfinite(potential[t, n]) else None,
                int(fired[t, n]),
            )
            for n in range(neurons)
            for t in range(times)
        ),
    )


def answer(sample: Sample, stage: str) -> Figure | None:
    """The value the net gives each class."""
    logits = [float(v) for v in sample.logits]
    if not logits or not all(math.isfinite(v) for v in logits):
        return None
    scale_y = Scale(low=min(0.0, *logits), high=max(0.0, *logits) or 1.0, start=170, end=30)
    step = (WIDTH - 40) / len(logits)
    parts: list[Markup] = [y_axis(scale_y, 40, WIDTH, "logit")]
    for c, v in enumerate(logits):
        top, bottom = sorted((scale_y(v), scale_y(0)))
        kind = "f-ticket" if c == sample.prediction else "f-control"
        tip = f"{sample.class_name(c)}: {v:.3g}"
        x = 40 + c * step
        parts.append(
            rect(x + step * 0.15, top, step * 0.7, max(bottom - top, 0.8), class_=kind, tip=tip)
        )
        if step >= 14:
            name = shortened(sample.class_name(c), max(2, int(step / 6)))
            parts.append(text(x + step / 2, 186, name, "dim", "middle"))
    right = sample.prediction == sample.label
    words = f"{sample.class_name(sample.prediction)}, which is {'right' if right else 'wrong'}"
    if not right:
        words += f": it is {sample.class_name(sample.label)}"
    return Figure(
        name=f"answer-{stage}",
        title="Its answer",
        caption=f"Test sample {sample.index}: {words}.",
        svg=drawing(194, joined(parts), label="The value of each class"),
        columns=("class", "logit"),
        rows=tuple((sample.class_name(c), v) for c, v in enumerate(logits)),
    )


def _steps(times: int) -> list[float]:
    every = max(1, math.ceil(times / 10))
    return [float(t) for t in range(1, times + 1, every)]
