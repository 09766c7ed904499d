"""Heat map: weights kept and firing rate, a row per layer, a column per time step."""

from __future__ import annotations

from dataclasses import dataclass

from spiketicket.experiment.schemas import Measure
from spiketicket.report.figures.canvas import WIDTH, Figure, brief, drawing, px, text
from spiketicket.report.figures.layers import Step, density, steps
from spiketicket.report.markup import Markup, element, joined
from spiketicket.report.numbers import share

_ROW, _TOP, _LEFT, _GAP = 18.0, 48.0, 128.0, 10.0
_WIDE = 46.0
_SHADES = 20
_MOST_ROWS, _MOST_STEPS = 64, 16


def layer_map(measure: Measure, stage: str, title: str) -> Figure | None:
    """Of one net, ``title`` in words; a longer net or recording is cut, which the caption says."""
    every = steps(measure)
    shown = every[:_MOST_ROWS]
    if not shown:
        return None
    times = min(max((len(s.neurons.rate) for s in shown if s.neurons), default=1), _MOST_STEPS)
    first_rate = _LEFT + 2 * (_WIDE + 2) + _GAP
    cell = (WIDTH - first_rate) / times
    highest = max((r for s in shown if s.neurons for r in s.neurons.rate), default=0.0) or 1.0
    parts: list[Markup] = [
        text(_LEFT + _WIDE / 2, 14, "weights", "dim", "middle"),
        text(_LEFT + _WIDE / 2, 26, "kept", "dim", "middle"),
        text(_LEFT + _WIDE * 1.5 + 2, 14, "inputs", "dim", "middle"),
        text(_LEFT + _WIDE * 1.5 + 2, 26, "not 0", "dim", "middle"),
        text(first_rate, 14, "firing rate, %", "dim"),
        text(first_rate, 26, "at time step", "dim"),
    ]
    every_nth = max(1, round(16 / cell))
    parts += [
        text(first_rate + cell * (t + 0.5), 42, t + 1, "dim", "middle")
        for t in range(0, times, every_nth)
    ]
    places = _Places(first_rate, cell, times, highest)
    rows = [_cells(step, places) for step in shown]
    parts.append(_shades(rows))
    for index, (step, cells) in enumerate(zip(shown, rows, strict=True)):
        parts.append(_row(step, cells, _TOP + index * _ROW))
    caption = "Share of weights in the mask and of inputs that are not zero; share of neurons"
    caption += f" that fire, full colour is {share(highest)}."
    if len(every) > len(shown):
        caption += f" The first {_MOST_ROWS} of {len(every)} rows."
    drawn = drawing(_TOP + len(shown) * _ROW + 2, joined(parts), label=f"Layers of {title}")
    return Figure(
        name=f"layers-{stage}",
        title=f"Layer by layer: {title}",
        caption=caption,
        svg=drawn,
        columns=(
            "name",
            "group",
            "weights",
            "kept",
            "nonzero",
            "input",
            "input_density",
            "time_step",
            "firing_rate",
        ),
        rows=_rows(every),
    )


@dataclass(frozen=True)
class _Places:
    first_rate: float
    cell: float
    times: int
    highest: float


@dataclass(frozen=True)
class _Cell:
    x: float
    width: float
    strength: float
    """From 0 to 1."""
    words: str


def _cells(step: Step, at: _Places) -> list[_Cell]:
    cells = []
    if step.layer:
        kept, given = density(step.layer), step.layer.input_density
        if kept is not None:
            cells.append(_Cell(_LEFT, _WIDE, kept, share(kept)))
        cells.append(_Cell(_LEFT + _WIDE + 2, _WIDE, given, share(given)))
    for t, rate in enumerate(step.neurons.rate[: at.times] if step.neurons else ()):
        words = share(rate).removesuffix(" %") if at.cell > 26 else ""
        x = at.first_rate + t * at.cell
        cells.append(_Cell(x, at.cell - 1, min(1.0, rate / at.highest), words))
    return cells


def _shades(rows: list[list[_Cell]]) -> Markup:
    """All cells, those of a shade as one path: a tenth of the text of as many rectangles."""
    paths: dict[int, list[str]] = {}
    for index, cells in enumerate(rows):
        for cell in cells:
            size = f"h{px(cell.width)}v{px(_ROW - 2)}h-{px(cell.width)}z"
            path = f"M{px(cell.x)} {px(_TOP + index * _ROW)}{size}"
            paths.setdefault(round(cell.strength * _SHADES), []).append(path)
    return joined(
        element("path", d="".join(found), class_="cell", fill_opacity=f"{_shade(level):.2f}")
        for level, found in sorted(paths.items())
    )


def _shade(level: int) -> float:
    return 0.06 + 0.8 * level / _SHADES


def _row(step: Step, cells: list[_Cell], y: float) -> Markup:
    """A row's words, and its tip on all of it."""
    words = [
        element(
            "tspan",
            cell.words,
            x=px(cell.x + cell.width / 2),
            class_="on" if cell.strength > 0.62 else None,
        )
        for cell in cells
        if cell.words
    ]
    return element(
        "g",
        element("title", _words(step)),
        text(0, y + 12.5, brief(step.name, 20)),
        element("text", *words, y=px(y + 12), class_="mid"),
        element("path", d=f"M0 {px(y)}h{px(WIDTH)}v{px(_ROW)}H0z", class_="hit"),
        class_="small",
    )


def _words(step: Step) -> str:
    words = []
    if step.layer and step.layer.weights:
        words.append(f"{step.layer.kept:,.0f} of {step.layer.weights:,.0f} weights kept")
    if step.layer:
        words.append(f"{share(step.layer.input_density)} of its {step.layer.input} not 0")
    if step.neurons and step.neurons.rate:
        mean = sum(step.neurons.rate) / len(step.neurons.rate)
        words.append(f"{share(mean)} of its {step.neurons.kind} neurons fire")
    return f"{step.full}: {', '.join(words)}"


def _rows(every: list[Step]) -> tuple[tuple[str | float | int | None, ...], ...]:
    rows: list[tuple[str | float | int | None, ...]] = []
    for step in every:
        layer, neurons = step.layer, step.neurons
        facts = (
            (
                layer.group,
                layer.weights,
                layer.kept,
                layer.nonzero,
                layer.input,
                layer.input_density,
            )
            if layer
            else (None,) * 6
        )
        rates = list(enumerate(neurons.rate, start=1)) if neurons else [(None, None)]
        rows += [(step.full, *facts, t, rate) for t, rate in rates]
    return tuple(rows)
