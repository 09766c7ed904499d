"""Whether a control was trained enough: the rule by hand, and on simulated learning curves."""

from __future__ import annotations

import json

import numpy as np
import pytest

from spiketicket.verdict.budget import Budget, budget_of, shortcomings


def facts(full=96.0, epochs=30, tuning=None):
    found = {"trained_epochs": epochs, "validation_accuracy": full}
    return found if tuning is None else {**found, "tuning": tuning}


def trials(factor=4.0, edge=False, **half):
    """Of factors ``f1``, ``f4``: their validation accuracies after half of 30 epochs."""
    rows = [
        {
            "factor": float(name[1:]),
            "epochs": 15,
            "validation_accuracy": value,
            "validation_loss": 0.1,
        }
        for name, value in half.items()
    ]
    return {"factor": factor, "seed": 0, "edge": edge, "trials": rows}


def test_the_chosen_trial_is_what_counts():
    found = budget_of("dense", {"dense": facts(tuning=trials(f1=80.0, f4=95.5, f16=70.0))})
    assert found == Budget(epochs=30, full=96.0, tuned=True, half_epochs=15, half=95.5)
    assert not found.rises(1.0)
    assert not found.too_small(1.0)
    assert shortcomings({"the dense net": found}, 1.0) == []


@pytest.mark.parametrize(("half", "rises"), [(95.0, False), (94.99, True), (97.0, False)])
def test_a_gain_of_the_margin_is_none_and_more_is_one(half, rises):
    found = budget_of("dense", {"dense": facts(tuning=trials(f4=half))})
    assert found.rises(1.0) == found.too_small(1.0) == rises
    assert bool(shortcomings({"the dense net": found}, 1.0)) == rises


@pytest.mark.parametrize(("epochs", "small"), [(1, True), (3, True), (4, False)])
def test_three_epochs_are_too_few_whatever_they_reach(epochs, small):
    tuning = trials(f4=96.0)
    found = budget_of("dense", {"dense": facts(epochs=epochs, tuning=tuning)})
    assert found.rises(5.0) == found.too_small(5.0) == small
    words = shortcomings({"the dense net": found}, 5.0)
    said = f"the dense net had {epochs} epoch{'s' * (epochs > 1)}, fewer than 4: raise train.epochs"
    assert words == ([said] if small else [])


def test_without_tuning_nothing_can_be_said_and_one_clause_names_all():
    found = {name: budget_of(name, {name: facts()}) for name in ("dense", "shuffled")}
    assert all(budget.too_small(50.0) and not budget.rises(50.0) for budget in found.values())
    assert shortcomings(found, 50.0) == [
        'no learning rate was tuned for dense and shuffled: set train.tune = "rates"'
    ]
    json.dumps([budget.to_dict(1.0) for budget in found.values()], allow_nan=False)


def test_a_stage_with_the_rate_of_another_counts_by_that_one():
    run = {
        "dense": facts(full=96.0, tuning=trials(f4=90.0)),
        "shuffled": facts(full=50.0, tuning={"factor": 4.0, "of": "dense", "seed": 0}),
        "flipped": facts(full=40.0, tuning={"factor": 4.0, "of": "shuffled", "seed": 0}),
    }
    for name in ("shuffled", "flipped"):
        assert budget_of(name, run) == budget_of("dense", run)
        assert budget_of(name, run).rises(5.0)
    untuned = {**run, "dense": facts()}
    assert not budget_of("flipped", untuned).tuned


@pytest.mark.parametrize("of", ["a", "b", "missing"])
def test_stages_that_name_each_other_or_nobody_end(of):
    run = {
        "a": facts(tuning={"factor": 1.0, "of": "b", "seed": 0}),
        "b": facts(tuning={"factor": 1.0, "of": of, "seed": 0}),
    }
    assert budget_of("a", run).too_small(100.0)


def test_a_seed_that_was_tuned_but_is_not_judged_is_said():
    found = budget_of("dense", {"dense": facts(tuning={"factor": 4.0, "seed": 0})})
    assert found.tuned
    assert found.too_small(100.0)
    (words,) = shortcomings({"the dense net": found}, 100.0)
    assert "tuned with a seed that is not among these" in words


def test_an_end_of_the_rates_tried_is_kept():
    assert budget_of("dense", {"dense": facts(tuning=trials(edge=True, f4=96.0))}).edge


@pytest.mark.parametrize(
    # as in the table of the module's docstring
    ("ratio", "share"),
    [
        (2, (1.00, 1.00, 1.00)),
        (4, (0.95, 1.00, 1.00)),
        (6, (0.60, 0.76, 0.95)),
        (12, (0.17, 0.03, 0.00)),
    ],
)
def test_it_catches_what_still_rises_and_passes_what_is_done(ratio, share):
    rng = np.random.default_rng(0)
    tau, count = 10.0, 2000
    epochs = ratio * tau
    half, full = (0.95 - 0.60 * np.exp(-e / tau) for e in (epochs / 2, epochs))
    for samples, expected in zip((200, 1000, 5000), share, strict=True):
        drawn = [100 * rng.binomial(samples, p, count) / samples for p in (half, full)]
        said = [
            budget_of(
                "dense", {"dense": facts(full=after, epochs=epochs, tuning=trials(f4=before))}
            ).rises(2.0)
            for before, after in zip(*drawn, strict=True)
        ]
        assert np.mean(said) == pytest.approx(expected, abs=0.04)
