"""The verdict over a ladder of tickets: every rung against the dense net and its own controls.

The differences and intervals are those of :mod:`spiketicket.verdict.rules`. A rung

1. ``unproven``: has no dense net or no control beside it, or a comparison has no interval;
2. ``ties``: the dense net is not shown to be better than the constant answer, the most frequent
   class of the test set: there is nothing to match;
3. ``loses``: high(rung - dense) < -margin;
4. ``wins``: low(rung - dense) >= -margin, and low(rung - control) > 0 for every control;
5. ``ties``: everything else; the controls that are not shown to be worse are named.

The ladder's outcome is that of its last rung. A fine-tuned ticket is no rung: it is compared
with the ticket it started from and with its own control.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from spiketicket.verdict.rules import Comparison, StageScores, compare

RUNG_TITLES = {"patch": "Patch ticket", "pepsp": "PEPSp ticket", "multisp": "MultiSp ticket"}


def judge_ladder(
    scores: Mapping[str, StageScores],
    stages: Sequence[tuple[str, str]],
    margin: float,
    confidence: float,
) -> dict[str, Any]:
    """Verdict as plain values; ``stages`` are (stage, rung it belongs to) in order.

    ``scores`` are those of the stages, and of the ``constant`` answer.
    """
    learned = "dense" not in scores or _learned(scores, confidence)
    rungs: dict[str, Any] = {}
    sentences: list[str] = []
    for rung in dict.fromkeys(rung for _, rung in stages):
        names = [n for n, r in stages if r == rung and n != rung and not n.endswith("_search")]
        controls = [n for n in names if "finetune" not in n]
        pairs = [n for n in ("dense", *controls) if n in scores]
        found = {n: compare(n, scores[rung], scores[n], confidence) for n in pairs}
        outcome, sentence = _outcome(rung, found, margin, learned)
        sentences.append(sentence)
        rungs[rung] = {"outcome": outcome, "comparisons": _plain(rung, found.values())}
        if f"{rung}_finetuned" in names:
            rungs[rung]["fine_tuning"], sentence = compare_tuning(rung, scores, confidence)
            sentences.append(sentence)
    last = list(rungs.values())[-1]
    return {
        "outcome": last["outcome"],
        "sentences": sentences,
        "comparisons": last["comparisons"],
        "rungs": rungs,
        "margin": margin,
        "confidence": confidence,
        "seeds": len(next(iter(scores.values())).accuracy),
    }


def compare_tuning(
    of: str, scores: Mapping[str, StageScores], confidence: float
) -> tuple[dict[str, Any], str]:
    """A fine-tuned ticket against the one it started from, ``of``, and against its control.

    Returns plain values by the name of what it is compared with, and a sentence; where there is no
    control, the sentence says why.
    """
    tuned = f"{of}_finetuned"
    others = [n for n in (of, f"{of}_finetune_control") if n in scores]
    pairs = {n: compare(n, scores[tuned], scores[n], confidence) for n in others}
    sentence = _tuning(of, list(pairs.values()))
    if len(others) == 1:
        sentence += " No control: the net has nothing to train beside the ticket's weights."
    return _plain(tuned, pairs.values()), sentence


def _learned(scores: Mapping[str, StageScores], confidence: float) -> bool:
    low = compare("constant", scores["dense"], scores["constant"], confidence).low
    return low is None or low > 0


def _outcome(
    rung: str, found: Mapping[str, Comparison], margin: float, learned: bool
) -> tuple[str, str]:
    title = RUNG_TITLES[rung]
    dense = found.get("dense")
    if dense is None or len(found) < 2 or any(c.low is None for c in found.values()):
        return "unproven", f"{title} unproven: a control or an interval is missing."
    if not learned:
        return "ties", f"{title} ties: the dense net learned nothing, so there is none to match."
    low, high = dense.low or 0.0, dense.high or 0.0
    against = f"{dense.difference:+.2f} points ({low:+.2f} to {high:+.2f}) against the dense net"
    level = [n for n, c in found.items() if n != "dense" and (c.low or 0.0) <= 0]
    if high < -margin:
        return "loses", f"{title} loses: {against}.{_not_worse(level)}"
    if low >= -margin and not level:
        return "wins", f"{title} wins: {against}, and every control is shown to be worse."
    reason = "" if low >= -margin else ", undecided"
    return "ties", f"{title} ties: {against}{reason}.{_not_worse(level)}"


def _not_worse(level: Sequence[str]) -> str:
    shown = ", ".join(n.replace("_", " ") for n in level)
    return f" Not shown to be worse than it: {shown}." if level else ""


def _tuning(rung: str, pairs: Sequence[Comparison]) -> str:
    parts = [
        f"{c.difference:+.2f} points"
        + ("" if c.low is None else f" ({c.low:+.2f} to {c.high:+.2f})")
        + (" against before" if c.control == rung else " against training only the rest")
        for c in pairs
    ]
    return f"Fine-tuning the {RUNG_TITLES.get(rung, rung)}: {', '.join(parts)}."


def _plain(of: str, comparisons: Any) -> dict[str, Any]:
    return {
        c.control: {
            **asdict(c),
            "of": of.replace("_", " "),
            "title": c.control.replace("_", " "),
            "mcnemar_p": None if c.mcnemar_p is None else list(c.mcnemar_p),
        }
        for c in comparisons
    }
