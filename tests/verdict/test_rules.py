"""The verdict's rules, on cases worked out by hand and on random ones."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from spiketicket.errors import UserError
from spiketicket.verdict.budget import Budget
from spiketicket.verdict.rules import Control, StageScores, judge

RANK = {"loses": 0, "behind": 0, "ties": 1, "level": 1, "wins": 2, "ahead": 2}
DONE = Budget(epochs=30, full=96.0, tuned=True, half_epochs=15, half=96.0)
"""Of a control that is trained to its end."""
T2 = 4.302652729749464  # Student's t, 2 degrees of freedom, 97.5 %, from a table
Z = 1.959963984540054


def scores(*accuracy: float) -> StageScores:
    return StageScores(accuracy)


def stage(right: int, of: int, start: int = 0) -> StageScores:
    """One seed that gets ``right`` samples of ``of`` right, from number ``start`` on."""
    correct = np.roll(np.arange(of) < right, start)
    return StageScores([100 * right / of], [correct])


def verdict(ticket, dense, trained, frozen, margin=1.0, confidence=0.95, **more):
    given = {"dense": (dense, DONE), "random_trained": (trained, DONE)}
    given |= {"random_frozen": (frozen, None)} | more
    controls = {
        name: scores and Control(scores=scores, budget=budget)
        for name, (scores, budget) in given.items()
    }
    floor = frozen and ("random_frozen", frozen)
    return judge(ticket, controls, floor=floor, margin=margin, confidence=confidence)


CHANCE = scores(9.0, 10.0, 11.2)


def test_wins_by_hand():
    # d = -0.2 -0.3 -0.1: mean -0.2, sd 0.1, half 4.3027 * 0.1 / sqrt 3 = 0.2484
    # random_trained: 7.8 7.4 7.0: mean 7.4, sd 0.4, half 0.9937
    result = verdict(
        scores(97.8, 97.9, 98.0), scores(98.0, 98.2, 98.1), scores(90.0, 90.5, 91.0), CHANCE
    )
    assert result.outcome == "wins"
    dense = result.comparisons[0]
    assert dense.control == "dense"
    assert dense.difference == pytest.approx(-0.2)
    assert dense.low == pytest.approx(-0.2 - T2 * 0.1 / math.sqrt(3))
    assert dense.high == pytest.approx(-0.2 + T2 * 0.1 / math.sqrt(3))
    assert (dense.seeds, dense.samples, dense.basis) == (3, None, "seeds")
    assert dense.ticket_accuracy == pytest.approx(97.9)
    assert dense.control_accuracy == pytest.approx(98.1)
    assert result.sentences == (
        "Wins: 97.90 % against the dense net's 98.10 %, a difference of -0.20 points "
        "(95 % interval -0.45 to +0.05), not below it by more than 1.00 points, and better than "
        "every control; the strongest is a random mask of the same density with trained weights, "
        "a difference of +7.40 points (+6.41 to +8.39).",
        "The interval covers other seeds, and not other test samples.",
    )


def test_loses_to_the_dense_net_by_hand():
    # d = -5 -5.1 -4.9: half 0.2484, high -4.75 < -1
    result = verdict(
        scores(90.0, 90.0, 90.0), scores(95.0, 95.1, 94.9), scores(80.0, 81.0, 82.0), CHANCE
    )
    assert result.outcome == "loses"
    assert "Loses: 90.00 % against the dense net's 95.00 %" in result.sentence
    assert "(95 % interval -5.25 to -4.75), below the margin of 1.00 points." in result.sentence


def test_loses_to_chance_whatever_else_holds():
    result = verdict(
        scores(50.0, 50.1, 50.2),
        scores(50.0, 50.1, 50.3),
        scores(40.0, 40.1, 40.4),
        scores(60.0, 60.1, 60.4),
    )
    assert result.outcome == "loses"
    assert "is not above a random mask on the frozen random weights" in result.sentence
    again = verdict(
        scores(10.0, 10.1, 10.2),
        scores(10.0, 10.1, 10.3),
        scores(9.0, 9.1, 9.4),
        scores(9.0, 10.0, 11.0),
    )
    assert again.outcome != "loses", "the interval holds 0: not shown to be no better"


def test_undecided_by_hand():
    # d = 0 -1 -2: mean -1, sd 1, half 2.48: -3.48 to 1.48 holds -1
    result = verdict(
        scores(97.0, 97.0, 97.0), scores(97.0, 98.0, 99.0), scores(80.0, 81.0, 82.0), CHANCE
    )
    assert result.outcome == "ties"
    assert "(95 % interval -3.48 to +1.48); the interval holds both sides" in result.sentence
    assert "undecided" in result.sentence


@pytest.mark.parametrize(
    ("trained", "words"),
    [
        ((97.0, 97.5, 98.9), "+0.10 points (-2.11 to +2.31): what they share may explain"),
        ((99.0, 99.1, 99.3), "what they share explains the accuracy"),
    ],
)
def test_sparsity_alone(trained, words):
    result = verdict(scores(97.8, 97.9, 98.0), scores(98.0, 98.2, 98.1), scores(*trained), CHANCE)
    assert result.outcome == "ties"
    assert words in result.sentence
    assert "not shown to be better than a random mask of the same density" in result.sentence


@pytest.mark.parametrize("name", ["shuffled", "flipped", "a_control_of_tomorrow"])
def test_every_control_has_to_be_beaten(name):
    scored = (scores(97.8, 97.9, 98.0), scores(98.0, 98.2, 98.1), scores(90, 90.5, 91), CHANCE)
    worse = verdict(*scored, **{name: (scores(91.0, 91.2, 91.1), DONE)})
    assert worse.outcome == "wins"
    assert f"the strongest is {name.replace('_', ' ')}, a difference of +6.80" in worse.sentence
    even = verdict(*scored, **{name: (scores(97.7, 97.9, 98.1), DONE)})
    assert even.outcome == "ties"
    assert f"not shown to be better than {name.replace('_', ' ')}, +0.00 points" in even.sentence
    assert list(even.to_dict()["comparisons"])[-1] == name


@pytest.mark.parametrize("trouble", ["rises", "brief", "untuned"])
@pytest.mark.parametrize("place", ["dense", "random_trained", "shuffled"])
@pytest.mark.parametrize("level", [94.0, 98.0, 99.5])
def test_a_control_trained_too_little_proves_nothing_either_way(level, place, trouble):
    """Whether the ticket would lose, tie or win."""
    ticket = scores(level - 0.1, level, level + 0.1)
    found = {
        "dense": scores(98.0, 98.2, 98.1),
        "random_trained": scores(97.9, 98.1, 97.8),
        "shuffled": scores(90.0, 91.0, 90.5),
    }
    bad = {
        "rises": dataclasses.replace(DONE, half=94.99),
        "brief": dataclasses.replace(DONE, epochs=3, half_epochs=2),
        "untuned": dataclasses.replace(DONE, tuned=False, half=None, half_epochs=None),
    }[trouble]

    def judged(wrong):
        budgets = {name: wrong if name == place else DONE for name in found}
        controls = {n: Control(scores=s, budget=budgets[n]) for n, s in found.items()}
        controls["random_frozen"] = Control(scores=CHANCE)
        floor = ("random_frozen", CHANCE)
        return judge(ticket, controls, floor=floor, margin=1.0, confidence=0.95)

    assert judged(DONE).outcome == {94.0: "loses", 98.0: "ties", 99.5: "wins"}[level]
    result = judged(bad)
    assert result.outcome == "too_small"
    named = {"dense": "the dense net", "random_trained": "a random mask of the same density"}
    assert named.get(place, place) in result.sentences[0].split(". As trained, ")[0]
    said = {
        "rises": "from 94.99 % of the validation samples after 15 epochs to 96.00 % after 30, by "
        "more than the margin of 1.00 points: raise train.epochs",
        "brief": "had 3 epochs, fewer than 4: raise train.epochs",
        "untuned": 'set train.tune = "rates"',
    }[trouble]
    assert result.sentences[0].startswith("Budget too small to say: ")
    assert said in result.sentences[0]
    assert "against the dense net's 98.10 %" in result.sentences[0]
    rows = result.to_dict()["budget"]
    assert set(rows) == set(found)
    assert rows[place]["rises"] == (trouble != "untuned")
    assert rows[place]["tuned"] == (trouble != "untuned")


def test_what_stands_beside_judges_nothing():
    better = scores(99.8, 99.9, 100.0)
    result = judge(
        scores(97.8, 97.9, 98.0),
        {
            "dense": Control(scores=scores(98.0, 98.2, 98.1), budget=DONE),
            "shuffled": Control(scores=scores(90.0, 90.5, 91.0), budget=DONE),
        },
        floor=("constant", CHANCE),
        margin=1.0,
        confidence=0.95,
        beside={"quantised": better},
    )
    assert result.outcome == "wins"
    assert result.to_dict()["beside"]["quantised"]["difference"] == pytest.approx(-2.0)
    assert "quantised" not in result.to_dict()["comparisons"]


def test_a_best_rate_at_an_end_is_no_measure():
    edge = dataclasses.replace(DONE, edge=True)
    result = verdict(
        scores(97.8, 97.9, 98.0),
        scores(98.0, 98.2, 98.1),
        scores(90.0, 90.5, 91.0),
        CHANCE,
        shuffled=(scores(80.0, 80.1, 80.3), edge),
    )
    assert result.outcome == "too_small"
    assert (
        "the best learning rate of shuffled is at an end of those tried, so a better one may lie "
        "beyond: start from another train.weights.lr"
    ) in result.sentence


def test_one_seed_uses_the_test_samples():
    # ticket right on 0..949, dense on 10..959: 10 a side differ; n = 1002
    result = verdict(
        stage(950, 1000), stage(950, 1000, 10), stage(800, 1000), stage(100, 1000), margin=1.5
    )
    dense, trained, _ = result.comparisons
    half = 100 * Z * math.sqrt(21 / 1002 / 1002)
    assert dense.difference == 0
    assert dense.low == pytest.approx(-half)
    assert dense.high == pytest.approx(half)
    assert (dense.seeds, dense.samples, dense.basis) == (1, 1000, "samples")
    assert trained.low > 10
    assert result.outcome == "ahead"
    assert result.sentences[0].startswith("Ahead: 95.00 % against the dense net's 95.00 %")
    assert result.sentences[-1] == (
        "One seed: no verdict. The interval covers the choice of test samples, and not what other "
        "seeds would give."
    )
    assert (
        verdict(
            stage(950, 1000), stage(950, 1000, 10), stage(800, 1000), stage(100, 1000), margin=0.5
        ).outcome
        == "level"
    )
    lost = verdict(stage(900, 1000), stage(950, 1000, 10), stage(800, 1000), stage(100, 1000))
    assert lost.outcome == "behind"


def several(*stages: StageScores) -> StageScores:
    return StageScores([a.accuracy[0] for a in stages], [a.correct[0] for a in stages])


def test_equal_seeds_do_not_give_an_interval_of_no_width():
    three = [several(*[stage(right, 100)] * 3) for right in (95, 96, 60, 10)]
    result = verdict(*three)
    one = verdict(*(stage(right, 100) for right in (95, 96, 60, 10)))
    for pooled, single in zip(result.comparisons, one.comparisons, strict=True):
        assert pooled.basis == "samples"
        assert pooled.high - pooled.low == pytest.approx(single.high - single.low)
    assert (result.outcome, one.outcome) == ("ties", "level")


def test_the_interval_covers_seeds_and_samples_together():
    # against nets that are right on the same samples with every seed: 0, -2, -4 points
    ticket = several(stage(90, 100), stage(88, 100), stage(86, 100))
    steady = several(*[stage(90, 100)] * 3)
    found = verdict(ticket, steady, steady, several(*[stage(10, 100)] * 3)).comparisons[0]
    over_seeds = T2 * 2 / math.sqrt(3)
    d = [0.0] * 96 + [-1 / 3, -1 / 3, -2 / 3, -2 / 3]
    mean, square = sum(d) / 102, (sum(x * x for x in d) + 1) / 102
    over_samples = 100 * Z * math.sqrt((square - mean**2) / 102)
    assert found.basis == "both"
    half = math.hypot(over_seeds, over_samples)
    assert found.high - found.difference == pytest.approx(half)
    assert found.difference - found.low == pytest.approx(half)


def test_without_a_control_nothing_is_proven():
    full = [scores(98.0, 98.1), scores(98.0, 98.2), scores(90.0, 90.1), scores(10.0, 11.0)]
    names = ("the dense net", "trained weights", "frozen random weights")
    for missing in range(1, 4):
        stages = [*full]
        stages[missing] = None
        result = verdict(*stages)
        assert result.outcome == "unproven"
        assert names[missing - 1] in result.sentence
        assert len(result.comparisons) == 2
    none = verdict(full[0], None, None, None)
    assert none.outcome == "unproven"
    assert none.sentence == (
        "Unproven: the ticket was not compared with the dense net, a random mask of the same "
        "density with trained weights and a random mask on the frozen random weights."
    )
    json.dumps(none.to_dict(), allow_nan=False)


def test_without_any_control_but_the_dense_net_nothing_is_proven():
    dense = Control(scores=scores(98.0, 98.2), budget=DONE)
    floor = ("constant", scores(10.0, 10.0))
    result = judge(scores(98.0, 98.1), {"dense": dense}, floor=floor, margin=1.0, confidence=0.95)
    assert result.outcome == "unproven"
    assert "no control beside the dense net" in result.sentence


def test_without_an_interval_nothing_is_proven():
    one = verdict(scores(98.0), scores(98.0), scores(90.0), scores(10.0))
    assert one.outcome == "unproven"
    assert "there is one seed and the results of the single test samples are not known" in str(
        one.sentence
    )
    assert one.comparisons[0].low is None
    # equal on paper, but not in floating point: 97.3 - 97.1 against 50.3 - 50.1
    same = verdict(scores(97.3, 50.3), scores(97.1, 50.1), scores(80, 81.5), scores(10, 12))
    assert 97.3 - 97.1 != 50.3 - 50.1
    assert same.outcome == "unproven"
    assert "the seeds' differences are all equal" in same.sentence
    assert [c.basis for c in same.comparisons] == [None, "seeds", "seeds"]
    json.dumps(same.to_dict(), allow_nan=False)


def test_a_single_test_sample_decides_nothing():
    right, wrong = stage(1, 1), stage(0, 1)
    result = verdict(right, right, wrong, wrong)
    assert result.outcome == "level"
    assert result.comparisons[0].low < -1


def test_intervals_stay_within_what_is_possible():
    result = verdict(scores(100, 90), scores(0, 50), scores(0, 50), scores(0, 50))
    for comparison in result.comparisons:
        assert -100 <= comparison.low <= comparison.difference <= comparison.high <= 100


def test_the_rules_at_their_edges():
    # halves: t with one degree of freedom at 50 % two-sided is 1, so h = sd / sqrt 2 = |gap| / 2
    dense, trained, frozen = scores(90.0, 90.0), scores(50.0, 50.5), scores(10.0, 10.5)
    at = verdict(scores(89.0, 90.0), dense, trained, frozen, confidence=0.5)
    assert at.comparisons[0].low == pytest.approx(-1, abs=1e-9)
    nudged = verdict(scores(89.001, 90.001), dense, trained, frozen, confidence=0.5)
    assert nudged.outcome == "wins"
    below = verdict(scores(88.999, 89.999), dense, trained, frozen, confidence=0.5)
    assert below.outcome == "ties"
    assert verdict(scores(88.001, 89.001), dense, trained, frozen, confidence=0.5).outcome == "ties"
    gone = verdict(scores(87.999, 88.999), dense, trained, frozen, confidence=0.5)
    assert gone.outcome == "loses"


percents = st.floats(20, 80).map(lambda x: round(x, 2))


@st.composite
def trials(draw):
    seeds = draw(st.integers(2, 5))
    stages = [draw(st.lists(percents, min_size=seeds, max_size=seeds)) for _ in range(4)]
    return stages, draw(st.floats(0, 5)), draw(st.sampled_from([0.5, 0.8, 0.95, 0.99]))


@settings(deadline=None)
@given(trials(), st.floats(0.01, 20))
def test_a_better_ticket_is_never_judged_worse(trial, gain):
    (ticket, *controls), margin, confidence = trial
    rest = [scores(*control) for control in controls]
    before = verdict(scores(*ticket), *rest, margin, confidence).outcome
    after = verdict(scores(*(v + gain for v in ticket)), *rest, margin, confidence).outcome
    assume("unproven" not in (before, after))
    assert RANK[after] >= RANK[before]


@settings(deadline=None)
@given(trials(), st.floats(0.01, 20))
def test_a_wider_margin_is_never_judged_worse(trial, more):
    stages, margin, confidence = trial
    before = verdict(*(scores(*a) for a in stages), margin, confidence).outcome
    after = verdict(*(scores(*a) for a in stages), margin + more, confidence).outcome
    assume(before != "unproven")
    assert RANK[after] >= RANK[before]


@settings(deadline=None)
@given(trials())
def test_more_confidence_never_turns_a_tie_into_a_decision(trial):
    stages, margin, _ = trial
    loose = verdict(*(scores(*a) for a in stages), margin, 0.6).outcome
    strict = verdict(*(scores(*a) for a in stages), margin, 0.99).outcome
    assert strict in {loose, "ties"}


@settings(deadline=None)
@given(trials(), st.permutations(range(5)))
def test_the_order_of_seeds_does_not_matter(trial, order):
    stages, margin, confidence = trial
    places = [i for i in order if i < len(stages[0])]
    before = verdict(*(scores(*a) for a in stages), margin, confidence)
    after = verdict(*(scores(*(a[i] for i in places)) for a in stages), margin, confidence)
    assert before.outcome == after.outcome
    for x, y in zip(before.comparisons, after.comparisons, strict=True):
        assert x.difference == pytest.approx(y.difference, abs=1e-9)
        assert (x.low is None) == (y.low is None)


@settings(deadline=None)
@given(trials())
def test_the_outcome_follows_from_the_printed_intervals(trial):
    """The module's docstring again, from ``to_dict`` alone."""
    stages, margin, confidence = trial
    plain = verdict(*(scores(*a) for a in stages), margin, confidence).to_dict()
    c = plain["comparisons"]
    if any(row["low"] is None for row in (*c.values(), *plain["floor"].values())):
        expected = "unproven"
    elif c["dense"]["high"] < -margin or c["random_frozen"]["high"] <= 0:
        expected = "loses"
    elif (
        c["dense"]["low"] >= -margin
        and min(row["low"] for name, row in c.items() if name != "dense") > 0
        and plain["floor"]["dense"]["low"] > 0
    ):
        expected = "wins"
    else:
        expected = "ties"
    assert plain["outcome"] == expected


def test_no_win_without_being_above_the_floor():
    """A budget too small to learn anything: dense and trained mask at chance, the floor not."""
    result = verdict(stage(60, 100), stage(60, 100, 3), stage(10, 100, 5), stage(59, 100, 1), 20)
    assert result.outcome == "level"
    assert "there is nothing to match" in result.sentence
    result = verdict(stage(60, 100), stage(11, 100, 3), stage(10, 100, 5), stage(10, 100, 1))
    assert result.outcome == "level"
    assert "the dense net itself is not shown to be above" in result.sentence


@settings(deadline=None, max_examples=40)
@given(st.lists(st.booleans(), min_size=60, max_size=60), st.integers(0, 59))
def test_one_more_right_sample_is_never_judged_worse(correct, place):
    def judged(correct):
        ticket = StageScores([100 * sum(correct) / 60], [np.array(correct)])
        return verdict(ticket, stage(40, 60), stage(30, 60, 7), stage(6, 60, 3), margin=10)

    better = [*correct]
    better[place] = True
    assert RANK[judged(better).outcome] >= RANK[judged(correct).outcome]


def test_to_dict_is_plain_and_complete():
    result = verdict(*(several(stage(r, 100), stage(r - 1, 100)) for r in (95, 96, 60, 10)))
    plain = result.to_dict()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert set(plain) == {
        "outcome",
        "sentences",
        "comparisons",
        "floor",
        "beside",
        "budget",
        "margin",
        "confidence",
        "seeds",
    }
    assert list(plain["comparisons"]) == ["dense", "random_trained", "random_frozen"]
    assert plain["comparisons"]["dense"]["title"] == "the dense net"
    assert [row["trained"] for row in plain["comparisons"].values()] == [True, True, False]
    assert list(plain["floor"]) == ["ticket", "dense"]
    assert list(plain["budget"]) == ["dense", "random_trained"]
    assert (plain["margin"], plain["confidence"], plain["seeds"]) == (1.0, 0.95, 2)
    assert result.sentence == " ".join(plain["sentences"])
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.outcome = "wins"


GOOD = scores(90.0, 91.0)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: verdict(GOOD, scores(90.0), GOOD, GOOD), "dense: must have as many seeds"),
        (lambda: verdict(GOOD, GOOD, scores(1, 2, 3), GOOD), "random_trained: must have"),
        (
            lambda: verdict(stage(5, 10), stage(6, 12), stage(5, 10), stage(5, 10)),
            "as many test samples",
        ),
        (lambda: verdict(GOOD, GOOD, GOOD, GOOD, margin=-1), "margin must be 0 or more"),
        (lambda: verdict(GOOD, GOOD, GOOD, GOOD, margin=math.nan), "margin must be 0 or more"),
        (lambda: verdict(GOOD, GOOD, GOOD, GOOD, confidence=95), "confidence must be between"),
        (lambda: verdict(GOOD, None, None, None, confidence=1), "confidence must be between"),
        (lambda: StageScores([]), "accuracy must be one percentage or more"),
        (lambda: StageScores([math.nan]), "accuracy must be"),
        (lambda: StageScores([101]), "accuracy must be"),
        (lambda: StageScores([50.0], [np.array([1, 0])]), "correct must be bool"),
        (lambda: StageScores([50.0], []), "correct must have an array per seed"),
        (
            lambda: StageScores([0.5], [np.array([True, False])]),
            "share of correct samples (got 0.5)",
        ),
        (lambda: StageScores([50.0], [np.zeros(0, bool)]), "share of correct samples"),
        (lambda: StageScores([0.0, 0.0], [np.zeros(2, bool), np.zeros(3, bool)]), "N the same"),
    ],
)
def test_bad_input(call, text):
    with pytest.raises(UserError) as error:
        call()
    assert text in str(error.value)
