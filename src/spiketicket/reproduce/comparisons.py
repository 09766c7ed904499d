"""Figures of comparisons: energies as shares of the ticket's, and differences with intervals."""

from __future__ import annotations

from collections.abc import Sequence

from spiketicket.report.figures.canvas import Scale, dot, folded, line, rect, text, x_axis
from spiketicket.report.markup import Markup, joined
from spiketicket.report.numbers import energy, signed
from spiketicket.reproduce.claims import DECISIONS, Finding, find_all
from spiketicket.reproduce.collect import Row
from spiketicket.reproduce.look import RIGHT, Key, kind_of, nothing, ring, role_title
from spiketicket.reproduce.study import Study

_ROW, _LINE, _HEAD, _LEFT = 34.0, 13.0, 36.0, 4.0
_LABELS, _WIDTH = 340.0, 700.0
_KINDS = {
    "shown": "own good",
    "direction": "own good",
    "other size": "own bad",
    "contrary": "own bad",
    "undecided": "own even",
    "one seed": "own even",
}


def energy_panel(study: Study, rows: Sequence[Row], key: Key) -> tuple[Markup, float]:
    """Energy of each net over that of the ticket the study is about, a bar each; the height."""
    prices = {(c.a.series, c.a.stage): c.a.price for c in study.claims}
    bars = [
        (row, role, list(energies.values()))
        for row in rows
        for role in study.stages
        if (stage := row.stage(role))
        and (energies := stage.energy(prices.get((row.cell.series, role), "nonzero")))
    ]
    height = _HEAD + _ROW * len(bars) + 32
    ticket = study.claims[0].b
    own = (ticket.series, ticket.stage) if ticket else None
    unit = [values for row, role, values in bars if (row.cell.series, role) == own]
    if not unit:
        return nothing("operations are not counted yet"), height
    one = sum(unit[0]) / len(unit[0])
    stated = [c for c in study.claims if c.published]
    most = max(v / one for _, _, values in bars for v in values)
    scale = Scale(
        low=0, high=max([most, *(c.published or 0.0 for c in stated)]), start=_LEFT, end=RIGHT
    )
    parts = []
    for place, (row, role, values) in enumerate(bars):
        mean, y = sum(values) / len(values), _HEAD + _ROW * place
        ends = [scale(v / one) for v in (min(values), max(values))]
        words = f"{energy(mean)}  {mean / one:.2f} ×"
        parts.append(text(_LEFT, y, f"{row.cell.series}, {role_title(row, role)}"))
        parts.append(text(RIGHT, y, words, "dim", "end"))
        parts.append(
            rect(_LEFT, y + 5, scale(mean / one) - _LEFT, 9, class_=f"f-{kind_of(row, role)}")
        )
        parts.append(line(ends[0], y + 9.5, ends[1], y + 9.5, "axis"))
        for claim in stated:
            if claim.published and (claim.a.series, claim.a.stage) == (row.cell.series, role):
                tip = f"published: {claim.published:g} ×"
                parts.append(ring(scale(claim.published), y + 9.5, "dense", tip))
                key.add("published ratio (v1 of arXiv 2309.13302)", ring(12, 0, "dense"))
    label = f"arithmetic energy, {own[0] if own else ''} ticket = 1"
    return joined([*parts, x_axis(scale, height - 40, label)]), height


def forest(study: Study, rows: Sequence[Row], key: Key) -> tuple[Markup, float, float]:
    """The study's claims as differences with their intervals, a line each; width and height."""
    findings = [f for f in find_all(study, rows) if f.claim.kind == "difference"]
    titles = {row.cell.panel: row.cell.title for row in rows}
    margins = [-f.claim.margin for f in findings]
    known = [v for f in findings for v in (f.low, f.high, f.value, f.stated) if v is not None]
    known += [v for f in findings for v in f.claim.sizes or ()]
    ends = [*known, *margins, 0.0, 1.0]
    scale = Scale(low=min(ends), high=max(ends), start=_LABELS + 14, end=_WIDTH - 8)
    labels = [folded(f"{titles[f.panel]}: {f.series}, {f.claim.text}", 60) for f in findings]
    row = max(_ROW, 8 + _LINE * max(map(len, labels), default=0))
    bottom = row * len(findings)
    parts = [line(scale(v), 0, scale(v), bottom, "hair") for v in scale.ticks()]
    parts.append(line(scale(0), 0, scale(0), bottom, "axis"))
    for place, (finding, lines) in enumerate(zip(findings, labels, strict=True)):
        y = row * (place + 0.5)
        for number, part in enumerate(lines):
            at = y + 4 + _LINE * (number - (len(lines) - 1) / 2)
            parts.append(text(_LABELS, at, part, "small dim", "end"))
        parts.append(_forest_row(finding, scale, y, key))
    parts.append(x_axis(scale, bottom, "difference of test accuracies, percentage points"))
    return joined(parts), _WIDTH, bottom + 42


def _forest_row(finding: Finding, scale: Scale, y: float, key: Key) -> Markup:
    parts = []
    if finding.claim.sizes:
        low, high = map(scale, finding.claim.sizes)
        parts.append(rect(low, y - 10, high - low, 20, class_="f-dense", opacity=0.18))
        key.add("band of the paper's size", rect(0, -6, 24, 12, class_="f-dense", opacity=0.18))
    if finding.claim.margin:
        at = scale(-finding.claim.margin)
        parts.append(line(at, y - 12, at, y + 12, "threshold"))
        key.add("margin", line(12, -7, 12, 7, "threshold"))
    if finding.value is not None and finding.low is not None and finding.high is not None:
        kind = _KINDS.get(finding.decision, "control")
        tip = f"{signed(finding.value)} ({signed(finding.low)} to {signed(finding.high)})"
        tip += f", p {finding.adjusted:.2g} (Holm), {DECISIONS[finding.decision]}"
        if finding.detectable is not None:
            tip += f"; detectable {finding.detectable:.1f} points"
        parts.append(line(scale(finding.low), y, scale(finding.high), y, f"bar s-{kind}"))
        parts.append(dot(scale(finding.value), y, 4, f"f-{kind}", tip))
        key.add(DECISIONS[finding.decision], dot(12, 0, 4, f"f-{kind}"))
    else:
        parts.append(text(scale(0) + 4, y + 4, "not finished", "dim"))
    if finding.stated is not None:
        tip = f"published: {signed(finding.stated)}"
        parts.append(ring(scale(finding.stated), y - 9, "dense", tip))
        key.add("published", ring(12, 0, "dense"))
    return joined(parts)
