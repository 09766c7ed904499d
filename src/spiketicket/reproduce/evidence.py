"""What our rows say of one claim: a value, its interval, and p values of both directions.

``direct`` is the p value of the direction a claim states, ``against`` that of the opposite one;
both are two-sided, from the interval that is shown with Student's distribution of S - 1 degrees of
freedom for S seeds, also where the test samples make that interval wider: with the normal
distribution far smaller p values would come of few seeds. See
:func:`spiketicket.verdict.intervals.tail_p`. Of several values they are put together so that each
stays a p value: the largest where all must hold, Bonferroni's where one is enough.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from spiketicket.report.numbers import signed
from spiketicket.reproduce.collect import Row, StageRow, compared
from spiketicket.reproduce.study import Claim
from spiketicket.verdict import intervals
from spiketicket.verdict.rules import Comparison


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Ours, in percentage points or as a ratio.

    ``half_width`` is the interval's, of a ratio that of its logarithm; ``df`` the degrees of
    freedom, infinite for the normal interval. ``why`` says why there is no answer, in words.
    """

    words: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    half_width: float | None = None
    df: float = math.inf
    direct: float = 1.0
    against: float = 1.0
    seeds: int = 0
    why: str = ""


def difference(claim: Claim, a: Row, b: Row) -> Evidence | None:
    """Accuracy of ``a`` minus that of ``b``; None where one is not there or has no interval."""
    pair = _pair(claim, a, b)
    if pair is None or pair.low is None or pair.high is None:
        return None
    rate = a.cell.recipe.verdict.confidence
    bound = 0.0 if claim.expect == "above" else -claim.margin
    sides = (_p(pair, bound, rate, above=True), _p(pair, bound, rate, above=False))
    direct, against = sides[::-1] if claim.expect == "falls" else sides
    asked = a.learned(claim.a.stage) if claim.expect == "above" else _learned(claim, b)
    return Evidence(
        words=f"{signed(pair.difference)} ({signed(pair.low)} to {signed(pair.high)}) points",
        value=pair.difference,
        low=pair.low,
        high=pair.high,
        half_width=_half(pair),
        df=_freedom(pair),
        direct=direct,
        against=against,
        seeds=pair.seeds,
        why="" if asked else "nets that learned nothing",
    )


def ratio(claim: Claim, a: Row, b: Row) -> Evidence | None:
    """Energy of ``a`` over that of ``b``, the geometric mean over seeds with Student's interval of
    the logarithms; None where operations are not counted.
    """
    if claim.b is None:
        return None
    one, other = a.stage(claim.a.stage), b.stage(claim.b.stage)
    logs = _logs(one, other, claim.a.price, claim.b.price)
    if not logs:
        return None
    rate = a.cell.recipe.verdict.confidence
    several = len(logs) > 1
    half = intervals.t_half_width(logs, rate) if several else None
    mean, df = intervals.mean(logs), float(len(logs) - 1)
    ends = (math.exp(mean - half), math.exp(mean + half)) if half is not None else (None, None)
    words = f"{math.exp(mean):.2f} times"
    if half is not None:
        words += f" ({ends[0]:.2f} to {ends[1]:.2f})"
    if claim.a.price == "all":
        plain = _logs(one, other, "nonzero", claim.b.price)
        words += ", every product priced"
        if plain:
            words += f"; {math.exp(intervals.mean(plain)):.2f} times with zeros skipped"
    return Evidence(
        words=words,
        value=math.exp(mean),
        low=ends[0],
        high=ends[1],
        half_width=half,
        df=df,
        direct=1.0 if half is None else intervals.tail_p(mean, half, rate, df),
        against=1.0 if half is None else intervals.tail_p(-mean, half, rate, df),
        seeds=len(logs),
    )


def _logs(
    one: StageRow | None, other: StageRow | None, price: str, other_price: str
) -> list[float]:
    if one is None or other is None:
        return []
    above, below = one.energy(price), other.energy(other_price)
    return [
        math.log(above[s] / below[s]) for s in above if s in below and above[s] > 0 and below[s] > 0
    ]


def peak(claim: Claim, rows: Sequence[Row]) -> Evidence | None:
    """Whether the value at ``near`` is the best along the axis."""
    top = next((r for r in rows if r.cell.x == claim.near), None)
    pairs = _pairs(claim, [r for r in rows if r is not top], top)
    if top is None or not pairs:
        return None
    rate = top.cell.recipe.verdict.confidence
    sides = [
        [pair for r, pair in pairs if (place(r) < claim.near) == left] for left in (True, False)
    ]
    worse = [_any([_p(p, 0, rate, above=False) for p in side]) for side in sides if side]
    best = max(rows, key=lambda r: _mean(claim, r))
    learned = all(r.learned(claim.a.stage) for r in rows)
    return Evidence(
        words=f"highest at {best.cell.x:g}, {_mean(claim, best):.2f} %",
        direct=max(worse),
        against=_any([_p(p, 0, rate, above=True) for _, p in pairs]),
        half_width=max(_half(p) for _, p in pairs),
        df=min(_freedom(p) for _, p in pairs),
        seeds=min(p.seeds for _, p in pairs),
        why="" if learned else "nets that learned nothing",
    )


def cliff(claim: Claim, rows: Sequence[Row]) -> Evidence | None:
    """Whether accuracy first falls by more than the margin between ``near`` and ``until``."""
    pairs = _pairs(claim, rows[1:], rows[0] if rows else None)
    if not pairs:
        return None
    rate, bound = rows[0].cell.recipe.verdict.confidence, -claim.margin
    before = [p for r, p in pairs if place(r) <= claim.near]
    inside = [p for r, p in pairs if claim.near < place(r) <= claim.until]
    if not inside:
        return None
    falls = _any([_p(p, bound, rate, above=False) for p in inside])
    holds = [_p(p, bound, rate, above=True) for p in before]
    elsewhere = [
        *([_any([_p(p, bound, rate, above=False) for p in before])] if before else []),
        max(_p(p, bound, rate, above=True) for p in inside),
    ]
    low = min(pairs, key=lambda pair: pair[1].difference)
    learned = rows[0].learned(claim.a.stage)
    return Evidence(
        words=f"lowest at {low[0].cell.x:g}, {signed(low[1].difference)} points from the first",
        direct=max([falls, *holds]),
        against=_any(elsewhere),
        half_width=max(_half(p) for _, p in pairs),
        df=min(_freedom(p) for _, p in pairs),
        seeds=min(p.seeds for _, p in pairs),
        why="" if learned else "a net with the most patches that learned nothing",
    )


def place(row: Row) -> float:
    """Where a row is on its axis."""
    return row.cell.x or 0.0


def _pairs(claim: Claim, rows: Sequence[Row], other: Row | None) -> list[tuple[Row, Comparison]]:
    """Each row against another, or nothing where any of them has no interval."""
    found = []
    for row in rows if other else ():
        one, two = row.stage(claim.a.stage), other.stage(claim.a.stage) if other else None
        pair = compared(one, two, row.cell.recipe.verdict.confidence) if one and two else None
        if pair is None or pair.low is None:
            return []
        found.append((row, pair))
    return found


def _pair(claim: Claim, a: Row, b: Row) -> Comparison | None:
    one, other = a.stage(claim.a.stage), b.stage(claim.b.stage) if claim.b else None
    if one is None or other is None:
        return None
    return compared(one, other, a.cell.recipe.verdict.confidence)


def _half(pair: Comparison) -> float:
    """Half of the interval's width, whose ends may be cut off at 100 points."""
    if pair.low is None or pair.high is None:
        return 0.0
    return max(pair.difference - pair.low, pair.high - pair.difference)


def _freedom(pair: Comparison) -> float:
    """Those of the seeds, also of an interval that the test samples widen; of one seed, whose test
    decides nothing, the normal distribution's.
    """
    return float(pair.seeds - 1) if pair.seeds > 1 else math.inf


def _p(pair: Comparison, bound: float, confidence: float, *, above: bool) -> float:
    distance = pair.difference - bound if above else bound - pair.difference
    return intervals.tail_p(distance, _half(pair), confidence, _freedom(pair))


def _any(p_values: Sequence[float]) -> float:
    return min(1.0, len(p_values) * min(p_values))


def _mean(claim: Claim, row: Row) -> float:
    stage = row.stage(claim.a.stage)
    return stage.mean if stage else 0.0


def _learned(claim: Claim, row: Row) -> bool:
    return claim.b is not None and row.learned(claim.b.stage)
