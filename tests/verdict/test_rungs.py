"""The rules of a ladder's verdict, on cases worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from spiketicket.verdict.rules import StageScores
from spiketicket.verdict.rungs import judge_ladder

STAGES = [
    ("patch", "patch"),
    ("patch_random", "patch"),
    ("multisp_search", "multisp"),
    ("multisp", "multisp"),
    ("multisp_random_trained", "multisp"),
    ("multisp_finetuned", "multisp"),
    ("multisp_finetune_control", "multisp"),
]
LEVELS = {
    "dense": 97.0,
    "patch": 97.2,
    "patch_random": 90.0,
    "multisp_search": 60.0,
    "multisp": 96.5,
    "multisp_random_trained": 96.4,
    "multisp_finetuned": 97.5,
    "multisp_finetune_control": 97.4,
    "constant": 10.0,
}
SPREAD = np.array([-0.1, 0.0, 0.1])


def judged(margin=1.0, **changed):
    levels = {k: v for k, v in (LEVELS | changed).items() if v is not None}
    scores = {
        name: StageScores(tuple(level + np.roll(SPREAD, turn)))
        for turn, (name, level) in enumerate(levels.items())
    }
    return judge_ladder(scores, STAGES, margin, 0.95)


def test_a_rung_wins_over_all_its_controls():
    verdict = judged()
    assert verdict["rungs"]["patch"]["outcome"] == "wins"
    assert verdict["sentences"][0].startswith("Patch ticket wins: +0.20 points")
    assert verdict["sentences"][0].endswith("every control is shown to be worse.")


def test_a_rung_that_a_control_equals_only_ties_and_names_it():
    verdict = judged()
    assert verdict["outcome"] == verdict["rungs"]["multisp"]["outcome"] == "ties"
    assert "Not shown to be worse than it: multisp random trained." in verdict["sentences"][1]
    assert list(verdict["comparisons"]) == ["dense", "multisp_random_trained"]


def test_a_rung_far_below_the_dense_net_loses_whatever_its_controls():
    verdict = judged(patch=94.0)
    assert verdict["rungs"]["patch"]["outcome"] == "loses"
    assert "loses: -3.00 points" in verdict["sentences"][0]


def test_an_undecided_difference_ties():
    verdict = judged(patch=96.1)
    assert verdict["rungs"]["patch"]["outcome"] == "ties"
    assert ", undecided." in verdict["sentences"][0]


@pytest.mark.parametrize("missing", ["dense", "patch_random"])
def test_without_dense_or_controls_nothing_is_proven(missing):
    assert judged(**{missing: None})["rungs"]["patch"]["outcome"] == "unproven"


def test_a_dense_net_that_learned_nothing_is_nothing_to_match():
    verdict = judged(dense=10.0)
    assert verdict["rungs"]["patch"]["outcome"] == "ties"
    assert "learned nothing" in verdict["sentences"][0]


def test_one_seed_has_intervals_from_its_samples():
    right = np.arange(1000) < 970
    scores = {
        name: StageScores([97.0], [right])
        if name != "patch_random"
        else StageScores([80.0], [np.arange(1000) < 800])
        for name in LEVELS
        if name != "constant"
    }
    scores["constant"] = StageScores([10.0], [np.arange(1000) < 100])
    verdict = judge_ladder(scores, STAGES, 1.0, 0.95)
    row = verdict["rungs"]["patch"]["comparisons"]["patch_random"]
    assert (row["basis"], row["samples"], row["difference"]) == ("samples", 1000, 17.0)
    assert verdict["rungs"]["patch"]["outcome"] == "wins"


def test_fine_tuning_is_compared_with_before_and_with_training_the_rest():
    verdict = judged()
    tuned = verdict["rungs"]["multisp"]["fine_tuning"]
    assert tuned["multisp"]["difference"] == pytest.approx(1.0)
    assert tuned["multisp_finetune_control"]["difference"] == pytest.approx(0.1)
    assert tuned["multisp"]["of"] == "multisp finetuned"
    assert "against before" in verdict["sentences"][2]
    assert "against training only the rest" in verdict["sentences"][2]
