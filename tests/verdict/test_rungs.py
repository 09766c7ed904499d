"""The verdict of a ladder, and what fine-tuning has changed."""

from __future__ import annotations

import json

import numpy as np
import pytest

from spiketicket.verdict.budget import Budget
from spiketicket.verdict.rules import Control, StageScores, judge
from spiketicket.verdict.rungs import compare_tuning, ladder_dict

DONE = Budget(epochs=30, full=96.0, tuned=True, half_epochs=15, half=96.0)
CONTROLS = {"patch": ["patch_random"], "multisp": ["multisp_random_trained"]}
LEVELS = {
    "dense": 97.0,
    "patch": 97.2,
    "patch_random": 90.0,
    "multisp": 96.5,
    "multisp_random_trained": 96.4,
    "multisp_finetuned": 97.5,
    "multisp_finetune_control": 97.4,
    "constant": 10.0,
}
SPREAD = [np.array([a, b, -a - b]) for a in (-0.1, 0.05, 0.1) for b in (0.0, -0.08, 0.04)]
"""Of the seeds; each stage has one of its own."""


def scored(levels):
    return {
        name: StageScores(tuple(level + SPREAD[turn]))
        for turn, (name, level) in enumerate(levels.items())
    }


def judged(seeds=None, budget=DONE, **changed):
    levels = {k: v for k, v in (LEVELS | changed).items() if v is not None}
    scores = seeds or scored(levels)
    verdicts = {}
    for rung, title in (("patch", "Patch ticket"), ("multisp", "MultiSp ticket")):
        names = ["dense", *CONTROLS[rung]]
        there = {n: Control(scores=scores[n], budget=budget) for n in names if n in scores}
        verdicts[rung] = judge(
            scores[rung],
            {"dense": None, **there},
            floor=("constant", scores["constant"]),
            margin=1.0,
            confidence=0.95,
            name=rung,
            title=title,
        )
    tuned = {"multisp": compare_tuning("multisp", scores, 0.95, title="MultiSp ticket")}
    return ladder_dict(verdicts, tuned)


def test_a_rung_wins_over_all_its_controls():
    verdict = judged()
    assert verdict["rungs"]["patch"]["outcome"] == "wins"
    assert verdict["sentences"][0].startswith("Patch ticket wins: 97.20 % against")
    assert "the strongest is patch random, a difference of +7.20" in verdict["sentences"][0]


def test_the_ladder_ends_as_its_last_rung_which_a_control_equals():
    verdict = judged()
    assert verdict["outcome"] == verdict["rungs"]["multisp"]["outcome"] == "ties"
    (said,) = [s for s in verdict["sentences"] if s.startswith("MultiSp ticket ties: ")]
    assert "not shown to be better than multisp random trained, +0.10 points" in said
    assert list(verdict["comparisons"]) == ["dense", "multisp_random_trained"]
    assert verdict["comparisons"]["dense"]["of"] == "multisp"
    assert verdict["rungs"]["patch"]["comparisons"]["patch_random"]["of"] == "patch"
    json.dumps(verdict, allow_nan=False)


def test_a_rung_far_below_the_dense_net_loses_whatever_its_controls():
    verdict = judged(patch=94.0)
    assert verdict["rungs"]["patch"]["outcome"] == "loses"
    assert "a difference of -3.00 points" in verdict["sentences"][0]


def test_an_undecided_difference_ties():
    verdict = judged(patch=96.1)
    assert verdict["rungs"]["patch"]["outcome"] == "ties"
    assert "undecided" in verdict["sentences"][0]


@pytest.mark.parametrize("missing", ["dense", "patch_random"])
def test_without_dense_or_controls_nothing_is_proven(missing):
    assert judged(**{missing: None})["rungs"]["patch"]["outcome"] == "unproven"


def test_a_dense_net_that_learned_nothing_is_nothing_to_match():
    verdict = judged(dense=10.0)
    assert verdict["rungs"]["patch"]["outcome"] == "ties"
    assert "not shown to be above the most frequent class" in verdict["sentences"][0]


def test_a_rung_whose_controls_still_rise_has_no_verdict():
    rising = Budget(epochs=30, full=96.0, tuned=True, half_epochs=15, half=90.0)
    verdict = judged(budget=rising)
    assert verdict["outcome"] == verdict["rungs"]["patch"]["outcome"] == "too_small"
    assert verdict["sentences"][0].startswith("Patch ticket, budget too small to say: the dense")
    assert verdict["rungs"]["patch"]["budget"]["patch_random"]["rises"]


def test_one_seed_has_intervals_from_its_samples_and_no_verdict():
    level = {"patch_random": 800, "constant": 100}
    seeds = {
        name: StageScores([level.get(name, 970) / 10], [np.arange(1000) < level.get(name, 970)])
        for name in LEVELS
    }
    verdict = judged(seeds=seeds)
    row = verdict["rungs"]["patch"]["comparisons"]["patch_random"]
    assert (row["basis"], row["samples"], row["difference"]) == ("samples", 1000, 17.0)
    assert verdict["rungs"]["patch"]["outcome"] == "ahead"
    assert verdict["outcome"] == "level"
    said = [s for s in verdict["sentences"] if "One seed: no verdict." in s]
    assert said == [verdict["sentences"][-1]]


def test_fine_tuning_is_compared_with_before_and_with_training_the_rest():
    verdict = judged()
    tuned = verdict["rungs"]["multisp"]["fine_tuning"]
    assert tuned["multisp"]["difference"] == pytest.approx(1.0)
    assert tuned["multisp_finetune_control"]["difference"] == pytest.approx(0.1, abs=0.01)
    assert tuned["multisp"]["of"] == "multisp finetuned"
    (said,) = [s for s in verdict["sentences"] if s.startswith("Fine-tuning the MultiSp ticket")]
    assert "+1.00 points" in said
    assert "against before" in said
    assert "against training only the rest" in said


@pytest.mark.parametrize(
    ("flipped", "end"),
    [
        (None, "the rest."),
        (
            (0, 12_000),
            " None of 12,000 signs flipped: it trained only the rest of the net, as BatchNorm.",
        ),
        ((7, 12_000), " It flipped 7 of 12,000 signs."),
    ],
)
def test_fine_tuning_that_flips_no_sign_says_so(flipped, end):
    found = compare_tuning("multisp", scored(LEVELS), 0.95, flipped=flipped)
    assert found.sentence.endswith(end)


def test_fine_tuning_without_a_control_says_why():
    rest = {k: v for k, v in LEVELS.items() if k != "multisp_finetune_control"}
    found = compare_tuning("multisp", scored(rest), 0.95)
    assert list(found.to_dict()) == ["multisp"]
    assert "nothing to train beside the ticket's weights" in found.sentence
