"""Whether our rows agree with what the paper states: the rules, in full.

A claim is decided for every series and every value of the axis it is about, each time a *finding*.
It states a direction, and where the paper gives a size a band for it. Both are in the study's
file, fixed before the first training (:mod:`.registered`).

**Direction.** A difference a - b in percentage points

    holds   a - b > -margin         falls   a - b < -margin         above   a - b > 0

a ratio of energies above 1 (its logarithm over the seeds), the value at ``near`` the best of an
axis (``peak``: on each side one other is worse), or a fall of more than the margin below the
smallest value of the axis that comes after ``near`` and not after ``until`` (``cliff``). Each has
a p value for the direction stated and one for its opposite (:mod:`.evidence`); the smaller counts.

**Holm.** The p values of all findings of a study at a scale, over all its panels, are adjusted
together (Holm 1979). What is not finished counts as a finding with p = 1, and so does what compares
nets that learned nothing: not shown to be better than always answering the most frequent class (b,
and a for ``above``). A direction is shown where the adjusted p is at most 1 - confidence.

**Band.** [low, high] around the paper's size: of ``holds`` the margin to both sides unless the file
says other; of "up to" its upper end is not below the paper's figure. No band: no size is judged.

    shown       the direction is shown, and the whole interval lies in the band (or there is none)
    other size  the direction is shown, and the whole interval lies outside the band
    direction   the direction is shown, and the interval has an end of the band in it
    contrary    the opposite direction is shown
    undecided   no direction is shown
    one seed    there is one seed: no verdict, whatever the test samples say
    missing     a row, an interval, or a count of operations is not there

**Detectable** is the difference that a finding had 80 % power to show at Holm's first step, which
divides 1 - confidence by the number of findings; of a ratio it is a factor.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final, Literal

from spiketicket.report.numbers import signed
from spiketicket.reproduce import evidence
from spiketicket.reproduce.collect import Row, stage_of
from spiketicket.reproduce.evidence import Evidence
from spiketicket.reproduce.published import published
from spiketicket.reproduce.study import Claim, Study, Term
from spiketicket.verdict import intervals

Decision = Literal[
    "shown", "other size", "direction", "contrary", "undecided", "one seed", "missing"
]
DECISIONS: Final[dict[Decision, str]] = {
    "shown": "shown",
    "other size": "same direction, other size",
    "direction": "same direction, size undecided",
    "contrary": "contrary",
    "undecided": "undecided",
    "one seed": "one seed: no verdict",
    "missing": "missing",
}
"""Every decision in words."""


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
    p: float = 1.0
    """Of the direction that is nearer, before Holm's adjustment."""
    adjusted: float = 1.0
    detectable: float | None = None


@dataclass(frozen=True, kw_only=True)
class _Open:
    """A finding that waits for those of its family."""

    finding: Finding
    found: Evidence | None
    confidence: float


def find_all(study: Study, rows: Sequence[Row]) -> list[Finding]:
    """Every claim of a study, decided; the rows are the family of Holm's adjustment."""
    waiting: list[_Open] = []
    for panel in dict.fromkeys(row.cell.panel for row in rows):
        own = [row for row in rows if row.cell.panel == panel]
        for claim in study.claims:
            if not claim.panels or panel in claim.panels:
                waiting += _of_claim(claim, panel, own)
    adjusted = intervals.holm([one.finding.p for one in waiting])
    return [_decided(one, p, len(waiting)) for one, p in zip(waiting, adjusted, strict=True)]


def to_plain(finding: Finding) -> dict[str, Any]:
    """A finding as plain values for JSON."""
    own = {field.name: getattr(finding, field.name) for field in fields(finding)}
    band = finding.claim.sizes
    return {**own, "claim": finding.claim.text, "band": None if band is None else list(band)}


def _of_claim(claim: Claim, panel: str, rows: Sequence[Row]) -> list[_Open]:
    series = dict.fromkeys(row.cell.series for row in rows)
    wanted = [s for s in series if s in claim.series or not claim.series]
    if claim.a.series and claim.b and claim.b.series:
        wanted = wanted[:1]  # both sides name their series: it is one claim
    found: list[_Open] = []
    for name in wanted:
        label = claim.a.series or name
        own = sorted((r for r in rows if r.cell.series == label), key=evidence.place)
        if claim.kind in {"peak", "cliff"}:
            over = evidence.peak if claim.kind == "peak" else evidence.cliff
            if own:
                found.append(_open(claim, panel, label, own[:1] * 2, over(claim, own)))
            continue
        other = (claim.b.series if claim.b else "") or name
        others = sorted((r for r in rows if r.cell.series == other), key=evidence.place)
        found += _pairs(claim, panel, label, own, others)
    return found


def _pairs(
    claim: Claim, panel: str, series: str, own: Sequence[Row], others: Sequence[Row]
) -> list[_Open]:
    if claim.b is None:
        return []
    left, right = _at(claim.a, own), _at(claim.b, others)
    if len(right) == 1 and len(left) > 1:
        right = right * len(left)
    elif len(left) == 1 and len(right) > 1:
        left = left * len(right)
    measure: Callable[[Claim, Row, Row], Evidence | None] = (
        evidence.ratio if claim.kind == "ratio" else evidence.difference
    )
    return [
        _open(claim, panel, series, (a, b), measure(claim, a, b))
        for a, b in zip(left, right, strict=False)
    ]


def _at(term: Term, rows: Sequence[Row]) -> list[Row]:
    if term.at == "each" or not rows:
        return list(rows)
    return [rows[0] if term.at == "first" else rows[-1]]


def _open(
    claim: Claim, panel: str, series: str, pair: Sequence[Row], found: Evidence | None
) -> _Open:
    a, b = pair
    single = claim.kind in {"difference", "ratio"}
    stated = claim.published
    if stated is None and claim.kind == "difference":
        stated = _stated(claim, a, b)
    blind = found is None or found.why or found.seeds < 2
    p = 1.0 if blind or found is None else min(found.direct, found.against)
    finding = Finding(
        panel=panel,
        series=series,
        x=a.cell.x if single and a.cell.x == b.cell.x else None,
        claim=claim,
        decision="missing",
        numbers=_lacking(claim),
        value=None if found is None else found.value,
        low=None if found is None else found.low,
        high=None if found is None else found.high,
        stated=stated,
        p=p,
    )
    return _Open(finding=finding, found=found, confidence=a.cell.recipe.verdict.confidence)


def _lacking(claim: Claim) -> str:
    if claim.kind == "ratio":
        return "operations are not counted yet (spiketicket measure)"
    return "not finished, or there is no interval"


def _decided(one: _Open, adjusted: float, family: int) -> Finding:
    found, claim = one.found, one.finding.claim
    if found is None:
        return one.finding
    least = None
    if found.half_width is not None and found.seeds > 1:
        least = intervals.detectable(found.half_width, one.confidence, found.df, family)
        least = math.exp(min(least, 700.0)) if claim.kind == "ratio" else least
    decision: Decision = "undecided"
    if found.seeds < 2:
        decision = "one seed"
    elif adjusted <= 1 - one.confidence:
        right = found.direct <= found.against
        decision = _size(claim, found) if right else "contrary"
    numbers = found.words + (f", of {found.why}" if found.why else "")
    return replace(
        one.finding,
        decision=decision,
        numbers=numbers + _paper(one.finding.stated, claim),
        adjusted=adjusted,
        detectable=least,
    )


def _size(claim: Claim, found: Evidence) -> Decision:
    band = claim.sizes
    if band is None or found.low is None or found.high is None:
        return "shown"
    if band[0] <= found.low and found.high <= band[1]:
        return "shown"
    outside = found.low > band[1] or found.high < band[0]
    return "other size" if outside else "direction"


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


def _paper(stated: float | None, claim: Claim) -> str:
    text = ""
    if stated is not None:
        ours = f"{stated:g}" if claim.kind == "ratio" else signed(stated)
        text = f"; the paper {'up to ' if claim.most else ''}{ours}"
    return text + band_in_words(claim)


def band_in_words(claim: Claim) -> str:
    """The band a size is judged by, as the end of a text; empty where there is none."""
    if claim.sizes is None:
        return ""
    low, high = (f"{v:g}" if claim.kind == "ratio" else signed(v) for v in claim.sizes)
    return f", band {low} to {high}"
