"""The outcomes of a verdict and their words: the one list that whatever shows a verdict uses.

With several seeds a ticket ``wins``, ``ties`` or ``loses``. One seed cannot say that: simulated,
the 95 % interval of one seed holds the true difference of the methods in 0.53 to 0.96 of all cases
with 360 test samples and in 0.14 to 0.83 with 10,000, because it knows the test samples and not
what another seed would give (``tests/verdict/test_coverage.py``). So with one seed the ticket is
``ahead``, ``level`` or ``behind``, and no verdict is spoken. ``too_small`` is said where the budget
of a control was (:mod:`spiketicket.verdict.budget`), ``unproven`` where something is missing. Needs
neither PyTorch nor numpy.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, Literal, cast

__all__ = [
    "COVERS",
    "FORMER_RULES",
    "ONE_SEED",
    "ORDER",
    "Outcome",
    "in_words",
    "of_today",
    "with_seeds",
]

Outcome = Literal["wins", "ties", "loses", "ahead", "level", "behind", "too_small", "unproven"]
ORDER: Final[tuple[Outcome, ...]] = (
    "wins",
    "ties",
    "loses",
    "ahead",
    "level",
    "behind",
    "too_small",
    "unproven",
)
COVERS: Final[Mapping[str | None, str]] = {
    "seeds": "seeds",
    "samples": "test samples",
    "both": "seeds and test samples",
}
"""What the interval of a comparison covers, in words, by its ``basis``."""
ONE_SEED: Final = (
    "One seed: no verdict. The interval covers the choice of test samples, and not what other "
    "seeds would give."
)
FORMER_RULES: Final = (
    "This is by the rules of an earlier version, which did not ask whether the controls were "
    "trained enough."
)
_ONE: Final[Mapping[str, Outcome]] = {"wins": "ahead", "ties": "level", "loses": "behind"}
_SAID: Final = re.compile(r"^((?:\w+ ticket )?)(wins|ties|loses)(?=:)", re.IGNORECASE)
"""How a sentence of a verdict begins."""
_FORMERLY: Final = "This rests on one seed"


def with_seeds(outcome: str, seeds: int) -> str:
    """The outcome by the rule on seeds: what ``wins`` with one seed is ``ahead``."""
    return _ONE.get(outcome, outcome) if seeds == 1 else outcome


def in_words(outcome: str) -> str:
    """The outcome as people read it."""
    return "budget too small to say" if outcome == "too_small" else outcome


def of_today(verdict: Mapping[str, Any]) -> dict[str, Any]:
    """A verdict of an earlier version in the words of the rule that holds now.

    Only words change: one seed that ``wins`` is ``ahead``, in the outcomes and in the sentences,
    and where there are comparisons without the controls' budgets it is said whose rules these are.
    What is not there, or is of another kind, is left as it is: the file that holds it may be
    anybody's.
    """
    found = _with_rules(verdict)
    if found.get("seeds") != 1 or type(found["seeds"]) is not int:
        return found
    if isinstance(found.get("outcome"), str):
        found["outcome"] = with_seeds(found["outcome"], 1)
    rungs = found.get("rungs")
    if isinstance(rungs, dict):
        found["rungs"] = {
            name: {**rung, "outcome": with_seeds(rung["outcome"], 1)}
            if isinstance(rung, dict) and isinstance(rung.get("outcome"), str)
            else rung
            for name, rung in rungs.items()
        }
    sentences = found.get("sentences")
    if isinstance(sentences, list) and all(isinstance(s, str) for s in sentences):
        found["sentences"] = _sentences(cast("list[str]", sentences))
    return found


def _with_rules(verdict: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(verdict)
    said = found.get("sentences")
    if "comparisons" in found and "budget" not in found and isinstance(said, list):
        found["sentences"] = said if FORMER_RULES in said else [*said, FORMER_RULES]
    return found


def _sentences(sentences: list[str]) -> list[str]:
    if not any(_SAID.match(sentence) for sentence in sentences):
        return sentences
    kept = [s for s in sentences if not s.startswith((_FORMERLY, ONE_SEED))]
    return [*(_SAID.sub(_ahead, sentence) for sentence in kept), ONE_SEED]


def _ahead(found: re.Match[str]) -> str:
    word = _ONE[found[2].lower()]
    return f"{found[1]}{word.capitalize() if found[2][0].isupper() else word}"
