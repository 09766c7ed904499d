"""The words of outcomes, and those of earlier versions in the words of today."""

from __future__ import annotations

import copy
from typing import get_args

import pytest

from spiketicket.verdict.outcomes import (
    FORMER_RULES,
    ONE_SEED,
    ORDER,
    Outcome,
    in_words,
    of_today,
    with_seeds,
)

OLD = {
    "outcome": "wins",
    "seeds": 1,
    "sentences": [
        "Wins: 70.26 % against the dense net's 69.50 %.",
        "This rests on one seed: the interval covers the choice of test samples.",
    ],
}
OLD_LADDER = {
    "outcome": "loses",
    "seeds": 1,
    "sentences": ["Patch ticket ties: -0.04 points.", "MultiSp ticket loses: -3.94 points."],
    "rungs": {"patch": {"outcome": "ties"}, "multisp": {"outcome": "loses"}},
}


def test_all_outcomes_are_listed_once():
    assert sorted(ORDER) == sorted(get_args(Outcome))
    assert {in_words(o) for o in ORDER} == {*ORDER} - {"too_small"} | {"budget too small to say"}


@pytest.mark.parametrize(
    ("outcome", "one"),
    [
        ("wins", "ahead"),
        ("ties", "level"),
        ("loses", "behind"),
        ("unproven", "unproven"),
        ("too_small", "too_small"),
        ("ahead", "ahead"),
    ],
)
def test_one_seed_has_its_own_outcomes(outcome, one):
    assert with_seeds(outcome, 1) == one
    assert with_seeds(outcome, 2) == outcome


def test_one_seed_of_an_earlier_version_wins_no_more():
    before = copy.deepcopy(OLD)
    found = of_today(OLD)
    assert before == OLD
    assert found["outcome"] == "ahead"
    assert found["sentences"] == ["Ahead: 70.26 % against the dense net's 69.50 %.", ONE_SEED]
    assert of_today(found) == found


def test_rules_before_budgets_are_said_once():
    judged = {"outcome": "wins", "seeds": 3, "sentences": ["Wins: so."], "comparisons": {}}
    found = of_today(judged)
    assert (found["outcome"], found["sentences"]) == ("wins", ["Wins: so.", FORMER_RULES])
    assert of_today(found) == found
    today = {**judged, "budget": {}}
    assert of_today(today) == today


def test_so_does_every_rung():
    found = of_today(OLD_LADDER)
    assert found["outcome"] == "behind"
    assert [rung["outcome"] for rung in found["rungs"].values()] == ["level", "behind"]
    assert found["sentences"] == [
        "Patch ticket level: -0.04 points.",
        "MultiSp ticket behind: -3.94 points.",
        ONE_SEED,
    ]
    assert of_today(found) == found


@pytest.mark.parametrize(
    "verdict",
    [
        {**OLD, "seeds": 3},
        {**OLD, "seeds": True},
        {k: v for k, v in OLD.items() if k != "seeds"},
        {"seeds": 1, "outcome": ["wins"], "sentences": [3], "rungs": {"a": 3, "b": {}}},
        {"seeds": 1, "sentences": "Wins: all", "rungs": []},
        {},
    ],
)
def test_what_is_not_one_seed_or_nothing_we_wrote_is_left_alone(verdict):
    assert of_today(verdict) == verdict
