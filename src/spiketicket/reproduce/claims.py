"""Whether our rows agree with what the paper states: the rules, in full.

A claim is decided for every series and every value of the axis it is about. ``low`` and ``high``
are the ends of the interval of a difference, as the verdict makes it
(:mod:`spiketicket.verdict.rules`).

**difference** a - b, in percentage points

    holds   shown: low >= -margin      contrary: high < -margin
    falls   shown: high < -margin      contrary: low >= -margin
    above   shown: low > 0             contrary: high < 0

and undecided where b, or a for ``above``, is not itself shown to be better than the constant
answer, the most frequent class of the test set: what learned nothing shows nothing.

**peak** near a value of the axis: shown where no other value is shown to be better (low > 0) and
on each side one is shown to be worse; contrary where another value is shown to be better.

**cliff** between ``near`` and ``until``: with d(x) = accuracy at x minus that at the smallest x,
the fall is at the first x with high(d) < -margin. Shown where it lies above ``near`` and not
above ``until``; contrary where it lies elsewhere, or every d has low >= -margin.

**ratio** of the energies of a and b, a value per seed: shown where each is above 1, contrary where
each is below 1. Peak and cliff are undecided among nets that learned nothing.

All else is undecided, and missing where a row or an interval is not there. The paper's numbers
stand beside ours; no rule reads them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from spiketicket.report.numbers import signed
from spiketicket.reproduce.collect import Row, compared, stage_of
from spiketicket.reproduce.published import published
from spiketicket.reproduce.study import Claim, Study, Term
from spiketicket.verdict import intervals
from spiketicket.verdict.rules import Comparison

Decision = Literal["shown", "contrary", "undecided", "missing"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A claim about one series, at one value or over the axis, and what our rows say of it."""

    panel: str
    series: str
    x: float | None
    claim: Claim
    decision: Decision
    numbers: str
    """Ours in words, and the paper's where it prints some."""
    value: float | None = None
    """The difference in points, or the ratio; None where there is none."""
    low: float | None = None
    high: float | None = None
    stated: float | None = None
    """The paper's own."""


def find_all(study: Study, rows: Sequence[Row]) -> list[Finding]:
    """Every claim of a study, decided."""
    findings: list[Finding] = []
    for panel in dict.fromkeys(row.cell.panel for row in rows):
        own = [row for row in rows if row.cell.panel == panel]
        for claim in study.claims:
            if not claim.panels or panel in claim.panels:
                findings += _decided(claim, panel, own)
    return findings


def _decided(claim: Claim, panel: str, rows: Sequence[Row]) -> list[Finding]:
    series = dict.fromkeys(row.cell.series for row in rows)
    wanted = [s for s in series if s in claim.series or not claim.series]
    if claim.a.series and claim.b and claim.b.series:
        wanted = wanted[:1]  # both sides name their series: it is one claim
    found: list[Finding] = []
    for name in wanted:
        own = sorted((r for r in rows if r.cell.series == (claim.a.series or name)), key=_place)
        label = claim.a.series or name
        if claim.kind == "peak":
            found.append(_peak(claim, panel, label, own))
        elif claim.kind == "cliff":
            found.append(_cliff(claim, panel, label, own))
        else:
            others = sorted((r for r in rows if r.cell.series == _other(claim, name)), key=_place)
            found += _pairs(claim, panel, label, own, others)
    return found


def _place(row: Row) -> float:
    return row.cell.x or 0.0


def _other(claim: Claim, name: str) -> str:
    return (claim.b.series if claim.b else "") or name


def _pairs(
    claim: Claim, panel: str, series: str, own: Sequence[Row], others: Sequence[Row]
) -> list[Finding]:
    if claim.b is None:
        return []
    left, right = _at(claim.a, own), _at(claim.b, others)
    if len(right) == 1 and len(left) > 1:
        right = right * len(left)
    elif len(left) == 1 and len(right) > 1:
        left = left * len(right)
    pairs = zip(left, right, strict=False)
    decide = _ratio if claim.kind == "ratio" else _difference
    return [decide(claim, panel, series, a, b) for a, b in pairs]


def _at(term: Term, rows: Sequence[Row]) -> list[Row]:
    if term.at == "each" or not rows:
        return list(rows)
    return [rows[0] if term.at == "first" else rows[-1]]


def _difference(claim: Claim, panel: str, series: str, a: Row, b: Row) -> Finding:
    x = a.cell.x if a.cell.x == b.cell.x else None
    stated = claim.published if claim.published is not None else _stated(claim, a, b)
    pair = _compare(claim, a, b)
    if pair is None or pair.low is None or pair.high is None:
        told = "not finished" if pair is None else "there is no interval"
        return Finding(
            panel=panel,
            series=series,
            x=x,
            claim=claim,
            decision="missing",
            numbers=told,
            stated=stated,
        )
    low, high, margin = pair.low, pair.high, claim.margin
    tests = {
        "holds": (low >= -margin, high < -margin),
        "falls": (high < -margin, low >= -margin),
        "above": (low > 0, high < 0),
    }
    shown, contrary = tests[claim.expect]
    decision: Decision = "shown" if shown else "contrary" if contrary else "undecided"
    learned = a.learned(claim.a.stage) if claim.expect == "above" else _learned(claim, b)
    if not learned:
        decision = "undecided"
    numbers = f"{signed(pair.difference)} ({signed(low)} to {signed(high)}) points"
    numbers += "" if learned else ", of nets that learned nothing"
    return Finding(
        panel=panel,
        series=series,
        x=x,
        claim=claim,
        decision=decision,
        numbers=numbers + _paper(stated, "points", claim),
        value=pair.difference,
        low=low,
        high=high,
        stated=stated,
    )


def _learned(claim: Claim, row: Row) -> bool:
    return claim.b is not None and row.learned(claim.b.stage)


def _compare(claim: Claim, a: Row, b: Row) -> Comparison | None:
    one, other = a.stage(claim.a.stage), b.stage(claim.b.stage) if claim.b else None
    if one is None or other is None:
        return None
    return compared(one, other, a.cell.recipe.verdict.confidence)


def _stated(claim: Claim, a: Row, b: Row) -> float | None:
    """The difference of the paper's own values, where it prints both at this place."""
    if a.cell.x is not None or claim.b is None:
        return None
    known = published(a.cell.published)
    values = [
        known.accuracy(row.cell.printed, stage_of(row.cell.recipe, term.stage)) if known else None
        for row, term in ((a, claim.a), (b, claim.b))
    ]
    if values[0] is None or values[1] is None:
        return None
    return round(values[0] - values[1], 2)


def _ratio(claim: Claim, panel: str, series: str, a: Row, b: Row) -> Finding:
    one, other = a.stage(claim.a.stage), b.stage(claim.b.stage) if claim.b else None
    stated = claim.published
    ratios = [
        one.energy_pj[s] / other.energy_pj[s]
        for s in (one.energy_pj if one and other else ())
        if one and other and s in other.energy_pj and other.energy_pj[s] > 0
    ]
    if not ratios:
        told = "operations are not counted yet (spiketicket measure)"
        return Finding(
            panel=panel,
            series=series,
            x=None,
            claim=claim,
            decision="missing",
            numbers=told,
            stated=stated,
        )
    mean = intervals.mean(ratios)
    decision: Decision = "undecided"
    if min(ratios) > 1:
        decision = "shown"
    elif max(ratios) < 1:
        decision = "contrary"
    spread = f" ({min(ratios):.2f} to {max(ratios):.2f} over seeds)" if len(ratios) > 1 else ""
    numbers = f"{mean:.2f} times{spread}" + _paper(stated, "times", claim)
    return Finding(
        panel=panel,
        series=series,
        x=None,
        claim=claim,
        decision=decision,
        numbers=numbers,
        value=mean,
        low=min(ratios),
        high=max(ratios),
        stated=stated,
    )


def _peak(claim: Claim, panel: str, series: str, rows: Sequence[Row]) -> Finding:
    top = next((r for r in rows if r.cell.x == claim.near), None)
    others = [r for r in rows if r is not top]
    pairs = [(r, _against(claim, r, top)) for r in others] if top else []
    if not pairs or any(p is None or p.low is None for _, p in pairs):
        return Finding(
            panel=panel,
            series=series,
            x=None,
            claim=claim,
            decision="missing",
            numbers="not finished",
        )
    better = [r for r, p in pairs if p and p.low is not None and p.low > 0]
    worse = [r for r, p in pairs if p and p.high is not None and p.high < 0]
    sides = [
        [r for r in others if _place(r) < claim.near],
        [r for r in others if _place(r) > claim.near],
    ]
    both = all(not side or any(r in worse for r in side) for side in sides)
    learned = all(r.learned(claim.a.stage) for r in rows)
    best = max(rows, key=lambda r: _mean(r, claim.a))
    numbers = f"highest at {best.cell.x:g}, {_mean(best, claim.a):.2f} %"
    if not learned:
        told = f"{numbers}, of nets that learned nothing"
        return Finding(
            panel=panel, series=series, x=None, claim=claim, decision="undecided", numbers=told
        )
    if better:
        at = ", ".join(f"{r.cell.x:g}" for r in better)
        return Finding(
            panel=panel,
            series=series,
            x=None,
            claim=claim,
            decision="contrary",
            numbers=f"{numbers}; shown better at {at}",
        )
    decision: Decision = "shown" if both else "undecided"
    return Finding(
        panel=panel, series=series, x=None, claim=claim, decision=decision, numbers=numbers
    )


def _cliff(claim: Claim, panel: str, series: str, rows: Sequence[Row]) -> Finding:
    pairs = [(r, _against(claim, r, rows[0])) for r in rows[1:]]
    if not pairs or any(p is None or p.low is None for _, p in pairs):
        return Finding(
            panel=panel,
            series=series,
            x=None,
            claim=claim,
            decision="missing",
            numbers="not finished",
        )
    if not rows[0].learned(claim.a.stage):
        told = "the net with the most patches learned nothing"
        return Finding(
            panel=panel, series=series, x=None, claim=claim, decision="undecided", numbers=told
        )
    margin = claim.margin
    fallen = [r for r, p in pairs if p and p.high is not None and p.high < -margin]
    all_hold = all(p and p.low is not None and p.low >= -margin for _, p in pairs)
    if fallen:
        at = _place(fallen[0])
        inside = claim.near < at <= claim.until
        numbers = f"{margin:g} points below the first from {at:g} on"
        return Finding(
            panel=panel,
            series=series,
            x=None,
            claim=claim,
            decision="shown" if inside else "contrary",
            numbers=numbers,
            value=at,
        )
    decision: Decision = "contrary" if all_hold else "undecided"
    return Finding(
        panel=panel,
        series=series,
        x=None,
        claim=claim,
        decision=decision,
        numbers=f"not shown to fall by {margin:g} points",
    )


def _against(claim: Claim, row: Row, other: Row) -> Comparison | None:
    one, two = row.stage(claim.a.stage), other.stage(claim.a.stage)
    if one is None or two is None:
        return None
    return compared(one, two, row.cell.recipe.verdict.confidence)


def _mean(row: Row, term: Term) -> float:
    stage = row.stage(term.stage)
    return stage.mean if stage else 0.0


def _paper(stated: float | None, unit: str, claim: Claim) -> str:
    if stated is None:
        return ""
    text = signed(stated) if unit == "points" else f"{stated:g}"
    most = "up to " if claim.published is not None and unit == "points" else ""
    return f"; the paper {most}{text}"
