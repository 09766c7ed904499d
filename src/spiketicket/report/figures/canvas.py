"""What the figures share: scales, ticks, texts, and the finished figure.

A figure is ``WIDTH`` units wide, the width of a phone's column, so that its texts are as large
there as on a wide page, where several stand side by side. Colours are classes of ``figure.css``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from itertools import pairwise

from spiketicket.report.csv_text import Cell, to_csv
from spiketicket.report.markup import Markup, element, joined

WIDTH = 360.0


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A figure with its data; ``name`` is the stem of its files."""

    name: str
    title: str
    caption: str
    svg: Markup
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    @property
    def csv(self) -> str:
        """The figure's data."""
        return to_csv(self.columns, self.rows)

    @property
    def file(self) -> str:
        """The figure as an SVG file by itself, in the colours of paper."""
        return as_file(self.svg)


def as_file(svg: Markup) -> str:
    """A drawing as an SVG file by itself, in the colours of paper."""
    style = element("style", Markup(paper_style()))
    return svg.replace(">", f">{style}", 1) + "\n"


def stylesheet() -> str:
    """The classes of the figures, with the page's variables for colours."""
    return (resources.files("spiketicket.report") / "figure.css").read_text("utf-8")


def paper_style() -> str:
    """The classes with the light colours in place: most programs know no CSS variables.

    The paper is there too, for dark pages that show the file as a picture.
    """
    page = (resources.files("spiketicket.report") / "page.css").read_text("utf-8")
    light = dict(re.findall(r"--([\w-]+):\s*([^;]+);", page.split("@media", 1)[0]))
    style = stylesheet() + ".fig { background: var(--paper); }\n"
    return re.sub(r"var\(--([\w-]+)\)", lambda m: light[m[1]], style)


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Values to places along one axis, linear or logarithmic."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """The place of a value; beyond the ends where the value is."""
        low, high, at = (self._plain(v) for v in (self.low, self.high, value))
        part = 0.5 if high == low else (at - low) / (high - low)
        return self.start + part * (self.end - self.start)

    def _plain(self, value: float) -> float:
        return math.log10(value) if self.log else value

    def ticks(self, most: int = 5) -> list[float]:
        """Round values within the ends."""
        if not self.log:
            return _round_values(self.low, self.high, most)
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        steps = (1, 2, 5) if self.high / self.low < 200 else (1,)
        found = [s * 10.0**e for e in range(first, last + 1) for s in steps]
        return [v for v in found if self.low <= v <= self.high]


def _round_values(low: float, high: float, most: int) -> list[float]:
    span = high - low
    if not span > 0:
        return [low]
    raw = span / most
    base = 10.0 ** math.floor(math.log10(raw))
    step = next(base * s for s in (1, 2, 2.5, 5, 10) if base * s >= 0.9999 * raw)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def px(value: float) -> str:
    """A place to a tenth of a unit, in as few characters as it needs."""
    text = f"{value:.1f}"
    return "0" if text in ("-0.0", "0.0") else text.removesuffix(".0")


def drawing(height: float, *parts: object, label: str, width: float = WIDTH) -> Markup:
    """The ``svg`` element; ``label`` says what is to be seen."""
    return element(
        "svg",
        *parts,
        xmlns="http://www.w3.org/2000/svg",
        class_="fig",
        role="img",
        viewBox=f"0 0 {px(width)} {px(height)}",
        width=px(width),
        height=px(height),
        aria_label=label,
    )


def text(x: float, y: float, content: object, class_: str = "", anchor: str = "") -> Markup:
    """A line of text with its base line at y."""
    return element(
        "text", content, x=px(x), y=px(y), class_=class_ or None, text_anchor=anchor or None
    )


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    """A straight line."""
    return element("path", d=f"M{px(x1)} {px(y1)}L{px(x2)} {px(y2)}", class_=class_)


def rect(
    x: float,
    y: float,
    width: float,
    height: float,
    *,
    class_: str,
    tip: object = None,
    opacity: float | None = None,
    rx: float | None = None,
) -> Markup:
    """A rectangle; ``tip`` is shown where the pointer is on it."""
    shown = () if tip is None else (element("title", tip),)
    return element(
        "rect",
        *shown,
        x=px(x),
        y=px(y),
        width=px(max(width, 0)),
        height=px(max(height, 0)),
        class_=class_,
        fill_opacity=None if opacity is None else f"{opacity:.2f}".rstrip("0"),
        rx=None if rx is None else px(rx),
    )


def polyline(
    points: Sequence[tuple[float, float]], class_: str, tip: object = None, dash: str = ""
) -> Markup:
    """A line through points; ``dash`` is a pattern of strokes and gaps."""
    shown = () if tip is None else (element("title", tip),)
    return element("path", *shown, d=_steps(points), class_=class_, stroke_dasharray=dash or None)


def _steps(points: Sequence[tuple[float, float]]) -> str:
    """A path in relative steps, which takes a third less; of rounded places, so none drifts."""
    rounded = [(round(10 * x), round(10 * y)) for x, y in points]
    words = []
    for (x0, y0), (x1, y1) in pairwise(rounded):
        dy = px((y1 - y0) / 10)
        words.append(f"{px((x1 - x0) / 10)}{dy if dy.startswith('-') else f' {dy}'}")
    start = f"M{px(rounded[0][0] / 10)} {px(rounded[0][1] / 10)}"
    return f"{start}l{'l'.join(words)}" if words else start


def dot(x: float, y: float, radius: float, class_: str, tip: object = None) -> Markup:
    """A point."""
    shown = () if tip is None else (element("title", tip),)
    return element("circle", *shown, cx=px(x), cy=px(y), r=px(radius), class_=class_)


DIAMOND = "M0-5l5 5l-5 5l-5-5Z"
_SHAPES = (
    "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0Z",
    "M-3.5-3.5h7v7h-7Z",
    "M0-4.5l4.5 8h-9Z",
    "M0 4.5l4.5-8h-9Z",
    DIAMOND,
)


def mark(shape: str | int, x: float, y: float, class_: str, tip: object = None) -> Markup:
    """A mark around a place: a path, or the number of a shape, which tells series apart."""
    shown = () if tip is None else (element("title", tip),)
    path = _SHAPES[shape % len(_SHAPES)] if isinstance(shape, int) else shape
    moved = f"translate({px(x)} {px(y)})"
    return element("path", *shown, d=path, class_=class_, transform=moved)


def whisker(x: float, scale: Scale, low: float, high: float, kind: str) -> Markup:
    """An interval as a thin line, cut off where the scale ends."""
    bottom, top = (scale(min(max(value, scale.low), scale.high)) for value in (low, high))
    return line(x, bottom, x, top, f"whisker s-{kind}")


def y_axis(scale: Scale, left: float, right: float, unit: str, most: int = 5) -> Markup:
    """Grid lines with their values, and the unit over them."""
    parts = [text(2, scale.end - 10, unit, "dim")] if unit else []
    for value in scale.ticks(most):
        parts.append(line(left, scale(value), right, scale(value), "hair"))
        parts.append(text(left - 6, scale(value) + 3.5, f"{value:g}", "dim", "end"))
    return joined(parts)


def x_axis(
    scale: Scale,
    y: float,
    unit: str,
    values: Sequence[float] | None = None,
    words: Callable[[float], str] = "{:g}".format,
) -> Markup:
    """A line with its values in words, and what they are under them."""
    parts = [line(scale.start, y, scale.end, y, "axis")]
    for value in scale.ticks() if values is None else values:
        parts.append(line(scale(value), y, scale(value), y + 4, "axis"))
        parts.append(text(scale(value), y + 16, words(value), "dim", "middle"))
    parts.append(text((scale.start + scale.end) / 2, y + 32, unit, "dim", "middle"))
    return joined(parts)


def apart(places: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """The places moved as little as keeps them ``gap`` apart, within ``low`` and ``high``."""
    order = sorted(range(len(places)), key=lambda i: places[i])
    moved = [places[i] for i in order]
    for i in range(1, len(moved)):
        moved[i] = max(moved[i], moved[i - 1] + gap)
    over = moved[-1] - high if moved else 0.0
    if over > 0:
        moved[-1] = high
        for i in range(len(moved) - 2, -1, -1):
            moved[i] = min(moved[i], moved[i + 1] - gap)
    found = [0.0] * len(places)
    for place, index in zip(moved, order, strict=True):
        found[index] = max(place, low)
    return found


def end_labels(
    ends: Sequence[tuple[str, float, float, str]], right: float, low: float, high: float
) -> Markup:
    """Names of lines beside where they end, apart from each other between the places low and high.

    ``ends`` are title, x and y of the end, and kind.
    """
    parts = []
    for (title, x, y, kind), at in zip(
        ends, apart([end[2] for end in ends], 13, low, high), strict=True
    ):
        path = f"M{px(x)} {px(y)}L{px(right + 6)} {px(at)}"
        parts.append(element("path", d=path, class_="hair"))
        parts.append(text(right + 9, at + 3.5, title, f"label t-{kind}"))
    return joined(parts)


def folded(content: str, width: int) -> list[str]:
    """A text in lines of about so many characters, broken at blanks."""
    lines = [""]
    for word in content.split(" "):
        if lines[-1] and len(lines[-1]) + len(word) >= width:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def shortened(content: str, most: int) -> str:
    """A text of at most so many characters, its middle left out."""
    if len(content) <= most:
        return content
    keep = most - 1
    return f"{content[: keep // 2]}…{content[len(content) - (keep - keep // 2) :]}"


def brief(name: str, most: int) -> str:
    """A layer's name, of a long one its end, which tells it from the others."""
    return name if len(name) <= most else f"…{name[1 - most :]}"


def role(stage: str) -> str:
    """The kind of a stage: ``ticket``, ``dense``, ``floor`` (frozen) or ``control``.

    A kind is how a thing is drawn in every figure: the classes ``s-``, ``f-`` and ``t-`` of it are
    its line, its area and its text.
    """
    if stage in ("ticket", "patch", "pepsp", "multisp") or stage.endswith("_finetuned"):
        return "ticket"
    if stage == "dense":
        return "dense"
    return "floor" if stage.endswith("random_frozen") else "control"


_SERIES = 13


def series(index: int) -> str:
    """The kind of a series that is no stage: one of 13 colours, then the same with dashes."""
    again = " again" * (index // _SERIES % 2)
    return f"own c{index % _SERIES}{again}"
