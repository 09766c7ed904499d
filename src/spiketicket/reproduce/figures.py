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
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from spiketicket.reproduce.claims import Finding, find_all, series_title
from spiketicket.reproduce.collect import ArmRow, Row, stage_of
from spiketicket.reproduce.published import Published, published
from spiketicket.reproduce.study import Study

PAPER, INK, MUTED, RULE, HAIR = "#fdfdfb", "#1f2428", "#656d74", "#b9bfc4", "#e6e8e7"
COLOURS = ("#0a6c8f", "#b3352a", "#8a6100", "#1c7a43", "#6b4a94")
_STYLE = {
    "svg.hashsalt": "spiketicket", "svg.fonttype": "none", "font.size": 9.0,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Helvetica", "Arial", "sans-serif"],
    "axes.edgecolor": RULE, "axes.labelcolor": MUTED, "axes.titlesize": 9.5,
    "axes.titlecolor": INK, "axes.facecolor": PAPER, "axes.spines.top": False,
    "axes.spines.right": False, "figure.facecolor": PAPER, "savefig.facecolor": PAPER,
    "xtick.color": MUTED, "ytick.color": MUTED, "grid.color": HAIR, "text.color": INK,
    "axes.grid": True, "axes.grid.axis": "y", "axes.axisbelow": True,
}  # fmt: skip
_WIDTH, _HEIGHT, _COLUMNS = 3.4, 2.7, 4
"""Of a panel in inches, and panels beside each other."""
_LINES = ("-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)))
_MARKS = ("o", "s", "^", "v", "D")


def draw(study: Study, rows: Sequence[Row]) -> bytes:
    """The study's figure as SVG."""
    with mpl.rc_context(_STYLE):
        if study.metric == "difference":
            figure = _forest(study, rows)
        else:
            figure = _panels(study, rows)
        content = io.BytesIO()
        FigureCanvasSVG(figure)
        figure.savefig(
            content, format="svg", metadata={"Date": None, "Creator": None},
            bbox_inches="tight", pad_inches=0.12,
        )  # fmt: skip
    return content.getvalue()


@dataclass(frozen=True)
class _Key:
    """Entries of the legend, each once, in the order they were drawn."""

    entries: dict[str, Any]

    def add(self, label: str, **style: Any) -> None:
        self.entries.setdefault(label, Line2D([], [], **style))


def _panels(study: Study, rows: Sequence[Row]) -> Figure:
    names = list(dict.fromkeys(row.cell.panel for row in rows))
    columns = min(_COLUMNS, len(names))
    lines = math.ceil(len(names) / columns)
    figure = Figure(figsize=(_WIDTH * columns, _HEIGHT * lines + 0.9), layout="constrained")
    grid = figure.subplots(lines, columns, squeeze=False)
    key = _Key({})
    for axes, name in zip(grid.flat, names, strict=False):
        own = [row for row in rows if row.cell.panel == name]
        if study.metric == "energy":
            _energy_panel(axes, study, own, key)
        elif own[0].cell.x is None:
            _conditions_panel(axes, study, own, key)
        else:
            _curves_panel(axes, study, own, key)
        # over the strip of published values, where there is one
        top = axes.child_axes[0] if axes.child_axes else axes
        top.set_title(_folded(own[0].cell.title, 44), loc="left")
    for axes in list(grid.flat)[len(names) :]:
        axes.set_axis_off()
    figure.suptitle(f"{study.place}. {study.title}", x=0.01, ha="left", fontsize=11)
    _legend(figure, key, columns)
    return figure


def _legend(figure: Figure, key: _Key, columns: int) -> None:
    if key.entries:
        figure.legend(
            list(key.entries.values()), list(key.entries), loc="outside lower left",
            ncols=max(1, min(len(key.entries), 2 * columns)), frameon=False, fontsize=8,
        )  # fmt: skip


def _curves_panel(axes: Any, study: Study, rows: Sequence[Row], key: _Key) -> None:
    axis = study.axes[rows[0].cell.panel.partition("/")[2]]
    names = list(dict.fromkeys(row.cell.series for row in rows))
    drawn: list[tuple[float, float, float]] = []
    values = [row.cell.x or 0.0 for row in rows]
    aside = 0.012 * (max(values) - min(values))
    for number, name in enumerate(names):
        own = sorted((r for r in rows if r.cell.series == name), key=lambda r: r.cell.x or 0.0)
        colour = COLOURS[number % len(COLOURS)]
        for place, role in enumerate(study.arms):
            points = [(r.cell.x or 0.0, arm, r) for r in own if (arm := r.arm(role))]
            if points:
                beside = aside * (number - (len(names) - 1) / 2)
                drawn += _curve(axes, points, role, place, colour, beside, key)
    xs = sorted({row.cell.x for row in rows if row.cell.x is not None})
    axes.set_xticks(xs, [f"{x:g}" for x in xs])
    axes.set_xlabel(axis.label)
    _accuracy_axis(axes, drawn)
    firsts = [next(r for r in rows if r.cell.series == name) for name in names]
    marks = [
        (*mark, COLOURS[number % len(COLOURS)])
        for number, row in enumerate(firsts)
        if (mark := _printed_on_curve(study, row, axis.shown))
    ]
    _draw_published(axes, marks, published(rows[0].cell.published), key)
    if not drawn:
        _nothing(axes)


def _curve(
    axes: Any, points: Sequence[tuple[float, ArmRow, Row]], role: str, place: int, colour: str,
    beside: float, key: _Key,
) -> list[tuple[float, float, float]]:  # fmt: skip
    main = place == 0
    style: dict[str, Any] = {
        "color": colour, "linestyle": "-" if main or role == "dense" else _LINES[place % len(_LINES)],
        "linewidth": 1.8 if main else 0.9, "alpha": 1.0 if main else 0.75,
        "marker": _MARKS[0] if main else None, "markersize": 4,
    }  # fmt: skip
    spreads = [(x, *_spread(arm, row)) for x, arm, row in points]
    axes.plot([s[0] for s in spreads], [s[1] for s in spreads], **style)
    if main:
        for x, _, low, high in spreads:
            at = x + beside  # so that equal intervals are both seen
            axes.plot([at, at], [low, high], color=colour, linewidth=0.8, alpha=0.6)
    key.add(series_title(points[0][2], role), **style)
    return [s[1:] for s in spreads] if main else [(s[1], s[1], s[1]) for s in spreads]


def _conditions_panel(axes: Any, study: Study, rows: Sequence[Row], key: _Key) -> None:
    drawn: list[tuple[float, float, float]] = []
    known = published(rows[0].cell.published)
    marks: list[tuple[float, float, str]] = []
    for place, row in enumerate(rows):
        shown = [role for role in study.arms if row.arm(role) or _printed(known, row, role)]
        for index, role in enumerate(shown):
            at = place + (index - (len(shown) - 1) / 2) * min(0.2, 0.8 / len(shown))
            arm, number = row.arm(role), study.arms.index(role)
            if arm:
                mean, low, high = _spread(arm, row)
                colour = MUTED if number > 1 else (COLOURS[0], INK)[number]
                style = {"color": colour, "marker": _MARKS[number % len(_MARKS)], "markersize": 5,
                         "linestyle": "none"}  # fmt: skip
                axes.plot([at, at], [low, high], color=colour, linewidth=0.9, alpha=0.7)
                axes.plot([at], [mean], **style)
                key.add(_role_title(row, role), **style)
                drawn.append((mean, low, high))
            if (value := _printed(known, row, role)) is not None:
                marks.append((at, value, INK if number else COLOURS[0]))
    axes.set_xlim(-0.6, len(rows) - 0.4)
    axes.set_xticks(range(len(rows)), [_folded(r.cell.series, 12) for r in rows], fontsize=8)
    _accuracy_axis(axes, drawn)
    _draw_published(axes, marks, known, key)
    if not drawn:
        _nothing(axes)


def _energy_panel(axes: Any, study: Study, rows: Sequence[Row], key: _Key) -> None:
    """Energy of each net over that of the ticket the study is about, a bar each."""
    bars = [
        (row, role, arm)
        for row in rows for role in study.arms if (arm := row.arm(role)) and arm.energy_pj
    ]  # fmt: skip
    ticket = study.claims[0].b
    unit = [
        arm for row, role, arm in bars
        if ticket and (row.cell.series, role) == (ticket.series, ticket.arm)
    ]  # fmt: skip
    if not unit:
        _nothing(axes, "operations are not counted yet")
        return
    one = sum(unit[0].energy_pj.values()) / len(unit[0].energy_pj)
    for place, (row, role, arm) in enumerate(bars):
        values = [pj / one for pj in arm.energy_pj.values()]
        mean = sum(values) / len(values)
        is_ticket = stage_of(row.cell.recipe, role) == "ticket"
        axes.barh(place, mean, height=0.55, color=COLOURS[0] if is_ticket else RULE)
        axes.plot([min(values), max(values)], [place, place], color=INK, linewidth=0.9)
        axes.annotate(f" {mean * one / 1e6:.3g} µJ", (mean, place), va="center", fontsize=8,
                      color=MUTED, xytext=(3, 0), textcoords="offset points")  # fmt: skip
        stated = [
            c.published for c in study.claims
            if c.published and (c.a.series, c.a.arm) == (row.cell.series, role)
        ]  # fmt: skip
        for value in stated:
            axes.plot([value], [place + 0.36], color=INK, clip_on=False, **_HOLLOW)
            key.add("published ratio (v1 of arXiv 2309.13302)", color=INK, **_HOLLOW)
    axes.set_yticks(range(len(bars)), [f"{r.cell.series}, {_role_title(r, role)}" for r, role, _
                    in bars], fontsize=8)  # fmt: skip
    axes.invert_yaxis()
    axes.grid(axis="x")
    axes.grid(visible=False, axis="y")
    axes.set_xlim(0, None)
    axes.margins(x=0.22)
    axes.set_xlabel(f"arithmetic energy an image, {ticket.series if ticket else ''} ticket = 1")


def _forest(study: Study, rows: Sequence[Row]) -> Figure:
    findings = find_all(study, rows)
    titles = {row.cell.panel: row.cell.title for row in rows}
    figure = Figure(figsize=(8.4, 0.42 * len(findings) + 1.9), layout="constrained")
    axes: Any = figure.subplots()
    key = _Key({})
    for place, finding in enumerate(findings):
        _forest_row(axes, place, finding, key)
    axes.axvline(0, color=RULE, linewidth=0.9)
    labels = [_folded(_forest_label(f, titles), 62) for f in findings]
    axes.set_yticks(range(len(findings)), labels, fontsize=8)
    axes.set_ylim(len(findings) - 0.4, -0.6)
    axes.grid(axis="x")
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("difference of test accuracies, percentage points")
    figure.suptitle(f"{study.place}. {study.title}", x=0.01, ha="left", fontsize=11)
    _legend(figure, key, 2)
    return figure


def _forest_row(axes: Any, place: int, finding: Finding, key: _Key) -> None:
    colours = {"shown": COLOURS[0], "contrary": COLOURS[1], "undecided": COLOURS[2]}
    colour = colours.get(finding.decision, MUTED)
    if finding.value is not None and finding.low is not None and finding.high is not None:
        axes.plot([finding.low, finding.high], [place, place], color=colour, linewidth=1.4)
        style: dict[str, Any] = {"color": colour, "marker": "o", "linestyle": "none"}
        axes.plot([finding.value], [place], **style)
        key.add(finding.decision, **style)
    else:
        axes.annotate("not finished", (0, place), va="center", fontsize=8, color=MUTED,
                      xytext=(4, 0), textcoords="offset points")  # fmt: skip
    if finding.stated is not None:
        axes.plot([finding.stated], [place - 0.28], color=INK, **_HOLLOW)
        key.add("published", color=INK, **_HOLLOW)
    if finding.claim.margin:
        bound = -finding.claim.margin
        axes.plot([bound, bound], [place - 0.35, place + 0.35], color=MUTED, linewidth=0.9,
                  linestyle=":")  # fmt: skip
        key.add("margin", color=MUTED, linewidth=0.9, linestyle=":")


def _forest_label(finding: Finding, titles: dict[str, str]) -> str:
    return f"{titles[finding.panel]}: {finding.series}, {finding.claim.text}"


_HOLLOW: dict[str, Any] = {
    "marker": "D", "markersize": 5, "markerfacecolor": PAPER, "markeredgewidth": 1.1,
    "linestyle": "none", "zorder": 5,
}  # fmt: skip


def _printed_on_curve(study: Study, row: Row, shown: str) -> tuple[float, float] | None:
    """The tables' ticket, where the axis is what it has pruned: how much, and its accuracy."""
    known = published(row.cell.published)
    if known is None or shown != "pruned":
        return None
    stage = stage_of(row.cell.recipe, study.arms[0])
    value, pruned = known.accuracy(row.cell.printed, stage), known.pruned.get(stage)
    return None if value is None or pruned is None else (pruned, value)


def _draw_published(
    axes: Any, marks: Sequence[tuple[float, float, str]], known: Published | None, key: _Key
) -> None:
    """Published accuracies at (x, value, colour): in the panel, or all in a strip over it."""
    if not marks or known is None:
        return
    low, high = axes.get_ylim()
    place, values = axes, [value for _, value, _ in marks]
    if not all(low <= value <= high for value in values):
        place = axes.inset_axes((0.0, 1.05, 1.0, 0.26))
        place.set_xlim(axes.get_xlim())
        pad = 0.25 * (max(values) - min(values)) + 0.5
        place.set_ylim(min(values) - pad, max(values) + pad)
        place.tick_params(axis="x", length=0, labelbottom=False)
        place.tick_params(axis="y", labelsize=7)
        place.yaxis.set_major_locator(MaxNLocator(3))
        place.spines.bottom.set_visible(False)
    for x, value, colour in marks:
        place.plot([x], [value], color=colour, clip_on=False, **_HOLLOW)
    key.add(f"published, {known.title}", color=INK, **_HOLLOW)


def _printed(known: Published | None, row: Row, role: str) -> float | None:
    if known is None:
        return None
    return known.accuracy(row.cell.printed, stage_of(row.cell.recipe, role))


def _role_title(row: Row, role: str) -> str:
    words = {"main": "ticket", "finetuned": "fine-tuned", "finetune_control": "only the rest trained",
             "random": "random mask or patches, trained", "dense": "dense, trained"}  # fmt: skip
    return words.get(role) or series_title(row, role).removeprefix(f"{row.cell.series}, ")


def _spread(arm: ArmRow, row: Row) -> tuple[float, float, float]:
    interval = arm.interval(row.cell.recipe.verdict.confidence)
    return arm.mean, *((interval.low, interval.high) if interval else (arm.mean, arm.mean))


def _accuracy_axis(axes: Any, drawn: Sequence[tuple[float, float, float]]) -> None:
    axes.set_ylabel("test accuracy, %")
    if not drawn:
        axes.set_ylim(0, 100)
        return
    means = [d[0] for d in drawn]
    # a wide interval of few seeds must not press the means together
    room = max(2.0, 0.35 * (max(means) - min(means)))
    low = max(min(d[1] for d in drawn), min(means) - room, 0.0)
    high = min(max(d[2] for d in drawn), max(means) + room, 100.0)
    pad = max(0.5, 0.06 * (high - low))
    axes.set_ylim(max(0.0, low - pad), high + pad)


def _nothing(axes: Any, text: str = "not run yet") -> None:
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=MUTED)


def _folded(text: str, width: int) -> str:
    """A text in lines of about so many characters, broken at blanks."""
    lines = [""]
    for word in text.split(" "):
        if lines[-1] and len(lines[-1]) + len(word) >= width:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)


