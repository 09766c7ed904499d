"""Verdicts over scores by stage, of controls that were trained to their end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from spiketicket.verdict.budget import Budget
from spiketicket.verdict.rules import Control, StageScores, Verdict, judge
from spiketicket.verdict.rungs import compare_tuning, ladder_dict

DONE = Budget(epochs=30, full=96.0, tuned=True, half_epochs=15, half=96.0)
TITLES = {"patch": "Patch", "pepsp": "PEPSp", "multisp": "MultiSp"}
NEEDED = ("dense", "random_trained", "random_frozen")


def judged(
    scores: Mapping[str, StageScores],
    *,
    margin: float = 2.0,
    confidence: float = 0.95,
    budget: Budget = DONE,
) -> Verdict:
    """Of ``ticket`` against every other stage."""
    controls: dict[str, Control | None] = dict.fromkeys(NEEDED)
    for name, found in scores.items():
        if name != "ticket":
            trained = budget if name != "random_frozen" else None
            controls[name] = Control(scores=found, budget=trained)
    floor = scores.get("random_frozen")
    return judge(
        scores["ticket"],
        controls,
        floor=None if floor is None else ("random_frozen", floor),
        margin=margin,
        confidence=confidence,
    )


def judged_ladder(
    scores: Mapping[str, StageScores], rungs: Sequence[str], *, margin: float, confidence: float
) -> dict[str, Any]:
    """Of every rung against ``dense``, the floor ``constant``, and what its name begins with."""
    verdicts, tuned = {}, {}
    for rung in rungs:
        title = f"{TITLES[rung]} ticket"
        own = [n for n in scores if n.startswith(f"{rung}_") and "finetune" not in n]
        there = [n for n in ("dense", *own) if n in scores and not n.endswith("_search")]
        verdicts[rung] = judge(
            scores[rung],
            {"dense": None, **{n: Control(scores=scores[n], budget=DONE) for n in there}},
            floor=("constant", scores["constant"]),
            margin=margin,
            confidence=confidence,
            name=rung,
            title=title,
        )
        if f"{rung}_finetuned" in scores:
            tuned[rung] = compare_tuning(rung, scores, confidence, title=title)
    return ladder_dict(verdicts, tuned)
