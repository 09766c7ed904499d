"""What a verdict takes from the stages: roles, rungs, tuned learning rates, flipped signs."""

from __future__ import annotations

import numpy as np
import pytest

from spiketicket.experiment.folder import StageFolder
from spiketicket.experiment.judging import verdict_over
from spiketicket.experiment.outcome import StageOutcome
from spiketicket.methods.stages import Stage
from spiketicket.recipe import VerdictConfig

RULES = VerdictConfig(margin=1.0, confidence=0.95)
TRUTH = np.arange(1000) % 10
TUNED = {"factor": 1.0, "seed": 0, "edge": False}
WEIGHTS = {
    "ticket": ("ticket", 98.0),
    "dense": ("control", 98.1),
    "random_trained": ("control", 90.0),
    "random_frozen": ("control", 10.0),
}
LADDER = {
    "selector": ("preparation", 50.0),
    "dense": ("control", 98.1),
    "patch": ("ticket", 98.0),
    "patch_random": ("control", 90.0),
    "patch_shuffled": ("control", 91.0),
    "multisp_search": ("preparation", 40.0),
    "multisp": ("ticket", 98.2),
    "multisp_random_frozen": ("control", 92.0),
}


def facts_of(accuracy, seed, half):
    trials = [
        {"factor": f, "epochs": 15, "validation_accuracy": half - 40 * (f != 1)} for f in (1.0, 4.0)
    ]
    return {
        "test_accuracy": accuracy,
        "validation_accuracy": 97.0,
        "trained_epochs": 30,
        "tuning": {**TUNED, "trials": trials} if seed == 0 else {"factor": 1.0, "seed": 0},
    }


@pytest.fixture
def judged(tmp_path):
    """The verdict over stages by name as (role, accuracy), with some facts changed."""

    def made(stages, changed=None, seeds=(0, 1, 2), half=97.0):
        found, outcomes = [], {}
        for place, (name, (role, level)) in enumerate(stages.items()):
            rung = name.split("_")[0] if name.startswith(("patch", "multisp")) else ""
            trains = () if name == "random_frozen" else ("weights",)
            title = f"{rung} ticket" if name == rung and rung else name
            stage = Stage(name=name, title=title, role=role, rung=rung, trains=trains)
            found.append(stage)
            per_seed = []
            for seed in seeds:
                right = round(10 * level) + (place * 3 + seed * (place + 2)) % 5
                folder = StageFolder(tmp_path / f"{name}-{seed}")
                folder.path.mkdir(exist_ok=True)
                predicted = np.where(np.arange(1000) < right, TRUTH, TRUTH + 1)
                np.save(folder.predictions, predicted)
                facts = facts_of(right / 10, seed, half) | (changed or {}).get(name, {})
                per_seed.append(
                    StageOutcome(stage=stage, seed=seed, files=folder, facts=facts, timing={})
                )
            outcomes[name] = per_seed
        return verdict_over(found, outcomes, TRUTH, RULES)

    return made


def test_a_ticket_that_beats_all_its_controls_wins(judged):
    verdict = judged(WEIGHTS)
    assert verdict["outcome"] == "wins"
    assert list(verdict["comparisons"]) == ["dense", "random_trained", "random_frozen"]
    assert {n: row["trained"] for n, row in verdict["comparisons"].items()} == {
        "dense": True,
        "random_trained": True,
        "random_frozen": False,
    }
    assert verdict["floor"]["dense"]["control"] == "random_frozen"


def test_a_control_of_any_name_counts_by_its_role(judged):
    verdict = judged({**WEIGHTS, "shuffled": ("control", 98.0)})
    assert verdict["outcome"] == "ties"
    assert "not shown to be better than shuffled" in verdict["sentences"][0]


def test_a_twin_and_a_preparation_judge_nothing(judged):
    twins = {"quantised": ("twin", 99.5), "selector": ("preparation", 99.0)}
    verdict = judged({**WEIGHTS, **twins})
    assert verdict["outcome"] == "wins"
    assert list(verdict["beside"]) == ["quantised"]
    assert set(verdict["comparisons"]) == set(WEIGHTS) - {"ticket"}


@pytest.mark.parametrize("left_out", ["dense", "random_trained", "random_frozen"])
def test_a_control_that_the_recipe_leaves_out_is_missing(judged, left_out):
    rest = {name: stage for name, stage in WEIGHTS.items() if name != left_out}
    assert judged(rest)["outcome"] == "unproven"


@pytest.mark.parametrize("name", ["dense", "random_trained"])
def test_a_trained_control_without_a_tuned_rate_is_too_small_a_budget(judged, name):
    verdict = judged(WEIGHTS, {name: {"tuning": {}}})
    assert verdict["outcome"] == "too_small"
    assert 'set train.tune = "rates"' in verdict["sentences"][0]


def test_what_trains_nothing_has_nothing_to_tune(judged):
    assert judged(WEIGHTS, {"random_frozen": {"tuning": {}}})["outcome"] == "wins"


def test_a_rate_taken_from_another_stage_counts_by_that_one(judged):
    of_dense = {"random_trained": {"tuning": {"factor": 1.0, "of": "dense", "seed": 0}}}
    assert judged(WEIGHTS, of_dense)["outcome"] == "wins"
    rising = judged(WEIGHTS, of_dense, half=95.0)
    assert rising["outcome"] == "too_small"
    assert rising["budget"]["random_trained"]["half"] == 95.0


def test_the_tuned_seed_is_found_wherever_it_stands(judged):
    assert judged(WEIGHTS, seeds=(2, 0, 1))["outcome"] == "wins"
    other = judged(WEIGHTS, seeds=(1, 2))
    assert other["outcome"] == "too_small"
    assert "with a seed that is not among these" in other["sentences"][0]


def test_one_seed_gives_no_verdict(judged):
    verdict = judged(WEIGHTS, seeds=(0,))
    assert verdict["outcome"] == "ahead"
    assert "One seed: no verdict." in verdict["sentences"][-1]


def test_every_rung_has_its_own_controls_and_the_dense_net(judged):
    verdict = judged(LADDER)
    compared = {name: list(rung["comparisons"]) for name, rung in verdict["rungs"].items()}
    assert compared == {
        "patch": ["dense", "patch_random", "patch_shuffled"],
        "multisp": ["dense", "multisp_random_frozen"],
    }
    assert verdict["outcome"] == "wins"
    assert verdict["sentences"][0].startswith("Patch ticket wins: ")
    assert "the strongest is patch shuffled" in verdict["sentences"][0]
    # the frozen ConvPEP has a trained encoder behind it
    assert verdict["budget"]["multisp_random_frozen"]["half"] == 97.0
    assert verdict["floor"]["dense"]["control_accuracy"] == 10.0


def test_only_the_rungs_of_an_undertrained_control_are_too_small(judged):
    verdict = judged(LADDER, {"patch_random": {"tuning": {}}})
    assert [rung["outcome"] for rung in verdict["rungs"].values()] == ["too_small", "wins"]


@pytest.mark.parametrize("of", ["ticket", "multisp"])
def test_signs_that_fine_tuning_flipped_are_counted_over_the_seeds(judged, of):
    stages = WEIGHTS if of == "ticket" else LADDER
    tuned = {**stages, f"{of}_finetuned": ("tuned", 98.3)}
    said = judged(tuned, {f"{of}_finetuned": {"signs_flipped": 0, "signs": 500}})["sentences"][-1]
    assert "None of 1,500 signs flipped: it trained only the rest of the net" in said
    assert "signs" not in judged(tuned)["sentences"][-1]
