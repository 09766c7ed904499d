"""The verdict over a ladder of tickets, and what fine-tuning has changed.

Every rung is judged by :func:`spiketicket.verdict.rules.judge` against the dense net and its own
controls, and the ladder's outcome is that of its last rung. A fine-tuned ticket is no rung: it is
compared with the ticket it started from and with its own control, and decides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spiketicket.verdict.comparison import Comparison, StageScores, compare
from spiketicket.verdict.outcomes import ONE_SEED
from spiketicket.verdict.rules import Verdict


@dataclass(frozen=True, kw_only=True)
class FineTuning:
    """A fine-tuned ticket against the one it started from, and against its control."""

    comparisons: tuple[Comparison, ...]
    sentence: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, by the name of what it is compared with."""
        return {c.control: c.to_dict() for c in self.comparisons}


def ladder_dict(
    rungs: Mapping[str, Verdict], tuned: Mapping[str, FineTuning] | None = None
) -> dict[str, Any]:
    """The verdict of a ladder as plain values: that of the last rung, and ``rungs``."""
    tuned = tuned or {}
    found: dict[str, Any] = {}
    sentences: list[str] = []
    for name, verdict in rungs.items():
        plain = verdict.to_dict()
        kept = ("outcome", "comparisons", "floor", "beside", "budget")
        found[name] = {key: plain[key] for key in kept}
        # what holds for every rung is said once, at the end
        sentences += [s for s in verdict.sentences if s != ONE_SEED]
        if name in tuned:
            found[name]["fine_tuning"] = tuned[name].to_dict()
            sentences.append(tuned[name].sentence)
    last = list(rungs.values())[-1]
    sentences += [ONE_SEED] if last.seeds == 1 else []
    return {**last.to_dict(), "sentences": sentences, "rungs": found}


def compare_tuning(
    of: str,
    scores: Mapping[str, StageScores],
    confidence: float,
    *,
    title: str = "ticket",
    flipped: tuple[int, int] | None = None,
) -> FineTuning:
    """Compare ``<of>_finetuned`` with the ticket it started from, ``of``, and with its control.

    ``flipped`` is how many signs fine-tuning changed, of how many, over all seeds; None where that
    is not known, or weights are no signs. Where there is no control, the sentence says why.
    """
    tuned = f"{of}_finetuned"
    others = [n for n in (of, f"{of}_finetune_control") if n in scores]
    of_words = tuned.replace("_", " ")
    pairs = [compare(n, scores[tuned], scores[n], confidence, of=of_words) for n in others]
    sentence = f"Fine-tuning the {title}: {_points(of, pairs)}.{_signs(flipped)}"
    if len(others) == 1:
        sentence += " No control: the net has nothing to train beside the ticket's weights."
    return FineTuning(comparisons=tuple(pairs), sentence=sentence)


def _points(of: str, pairs: Sequence[Comparison]) -> str:
    return ", ".join(
        f"{c.points()} against {'before' if c.control == of else 'training only the rest'}"
        for c in pairs
    )


def _signs(flipped: tuple[int, int] | None) -> str:
    if flipped is None:
        return ""
    count, of = flipped
    if not count:
        return f" None of {of:,} signs flipped: it trained only the rest of the net, as BatchNorm."
    return f" It flipped {count:,} of {of:,} signs."
