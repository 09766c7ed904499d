"""A verdict in a table: its word, what it rests on, and the control that is shown beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spiketicket._version import __version__
from spiketicket.verdict.comparison import strongest
from spiketicket.verdict.outcomes import in_words

NOTE = (
    "Of a ticket's trained controls beside the dense net, the strongest is shown, by name. With one"
    " seed a ticket is *ahead*, *level* or *behind*, and there is no verdict. A version in brackets"
    " made the row before the rules of today: these also look at whether the controls were trained"
    " enough, and a study has no decisions."
)
"""What the cells mean."""


def verdict_cell(outcome: str, verdict: Mapping[str, Any], run: Mapping[str, Any]) -> str:
    """The outcome of a run, or of a rung of it, and what marks it: one seed, an older version."""
    marks = ["one seed"] if len(run["seeds"]) == 1 else []
    # a line without budgets follows an older rule, whatever the version is called
    if run["spiketicket"] != __version__ or "budget" not in verdict:
        marks.append(run["spiketicket"])
    return in_words(outcome) + (f" ({', '.join(marks)})" if marks else "")


def strongest_control(judged: Mapping[str, Any], run: Mapping[str, Any]) -> dict[str, Any] | None:
    """The stage of the strongest control of a verdict, or of a rung of it."""
    rows = (
        (name, row["control_accuracy"], row.get("trained"))
        for name, row in judged.get("comparisons", {}).items()
    )
    best = strongest(rows)
    return next((stage for stage in run["stages"] if stage["stage"] == best), None)


def control_name(stage: Mapping[str, Any]) -> str:
    """A control in words: that it is trained is said above."""
    return str(stage["title"]).removesuffix(", trained").removesuffix(" trained")
