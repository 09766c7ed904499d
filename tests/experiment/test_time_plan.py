"""find --budget: what a time is spent on, that it is kept, and that a run goes on with its plan."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recipes import varied
from small_plans import BASE, LADDER

from spiketicket.errors import UserError
from spiketicket.experiment import time_plan as module
from spiketicket.experiment.cost import Sizes, StageCost
from spiketicket.experiment.find import find, planned
from spiketicket.experiment.results import write_result
from spiketicket.experiment.time_plan import MOST_EPOCHS, candidates, with_schedule
from spiketicket.methods.stages import stages_of
from spiketicket.progress import NullReporter
from spiketicket.training.schedule import timesteps_at

SIZES = Sizes(steps=10, batch=20, validation=20, test=360)


def recipe(**sections):
    return varied(BASE, **sections)


@pytest.fixture(autouse=True)
def load(monkeypatch):
    """How busy the machine is, for a test to set."""
    load = [0.0]
    monkeypatch.setattr(module, "_load", lambda: load[0])
    return load


class Bench:
    """Takes the place of what times stages: an epoch of T time steps takes ``T * step_s`` a step,
    and ``each_s`` a step whatever its batch. Counts how often it was asked.
    """

    def __init__(self, step_s=0.0, each_s=0.0, slower=(), ramps=True):
        self.step_s, self.each_s, self.slower, self.ramps = step_s, each_s, slower, ramps
        self.asked = []

    def __call__(self, experiment, keys, *, whole):
        assert whole
        made = experiment.recipe
        self.asked.append(made)
        batches, (_, y) = experiment.split(made.seed)
        sizes = Sizes(batches.steps, made.train.batch_size, len(y), len(experiment.dataset.test))
        steps = {t for _, t in made.train.timestep_ramp} | {made.model.timesteps}
        sample = self.step_s / 20
        return sizes, {
            key: StageCost(
                train_s={t: t * sample * (1 + (name in self.slower)) for t in steps},
                test_s=dict.fromkeys(steps, 0.0),
                batch_s=0.0,
                step_s=self.each_s,
                fresh=False,
                ramps=self.ramps,
            )
            for key, name in keys.items()
        }


@pytest.fixture
def timer(monkeypatch):
    """What stages cost, for a test to set."""

    def use(**costs):
        bench = Bench(**costs)
        monkeypatch.setattr(module, "costs_of", bench)
        return bench

    return use


def spent(made, costs, sizes):
    """Seconds of the longest stage, epoch by epoch."""
    longest = 0.0
    for stage in stages_of(made):
        known, train, final = costs[stage.name], stage.schedule(made), made.model.timesteps
        total = known.test_s[final] * sizes.test
        for epoch in range(train.epochs):
            at = timesteps_at(epoch, train, final)
            total += sizes.steps * (known.step_s + known.batch_s + sizes.batch * known.train_s[at])
            total += sizes.validation * known.test_s[at]
        longest = max(longest, total)
    return longest


def costs(draw_s, final):
    steps = {1, 2, final}
    return {
        name: StageCost(
            train_s={t: t * s for t in steps},
            test_s={t: t * s / 3 for t in steps},
            batch_s=s,
            step_s=2 * s,
            fresh=False,
        )
        for name, s in zip(("ticket", "dense", "random_trained"), draw_s, strict=True)
    }


some = st.floats(1e-4, 1.0)


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(
    each=st.tuples(some, some, some),
    budgets=st.tuples(st.floats(0.1, 1e5), st.floats(0.1, 1e5)),
    final=st.sampled_from([1, 2, 3, 4, 16]),
    ramp=st.sampled_from([(), ((1, 1),), ((5, 1), (1, 2))]),
)
def test_a_plan_keeps_to_its_time_and_more_time_is_no_less_training(each, budgets, final, ramp):
    base = recipe(model={"timesteps": final}, train={"epochs": 8, "timestep_ramp": list(ramp)})
    steps, found = tuple(t for t in (1, 2) if t < final), []
    known = costs(each, final)
    made = candidates(base, steps)[:40]
    for budget_s in sorted(budgets):
        best = module.longest_fitting(
            made, budget_s, lambda r: module.seconds_of(r, costs=known, sizes=SIZES)
        )
        found.append(0 if best is None else best.train.epochs)
        fits = [r.train.epochs for r in made if spent(r, known, SIZES) <= budget_s * (1 + 1e-9)]
        assert found[-1] in fits or not found[-1]
        assert max(fits, default=0) - found[-1] <= 1  # rounded sums of the one that just fits
    assert found == sorted(found)


def test_a_quarter_of_the_epochs_has_all_time_steps_and_an_eighth_has_two():
    ramps = {r.train.epochs: r.train.timestep_ramp for r in candidates(recipe())}
    assert list(ramps) == [*range(1, MOST_EPOCHS + 1)]
    assert ramps[1] == ()
    assert ramps[2] == ((1, 1),)
    assert ramps[8] == ((5, 1), (1, 2))
    assert ramps[10] == ((7, 1), (1, 2))
    assert ramps[11] == ((8, 1), (1, 2))
    assert ramps[300] == ((188, 1), (37, 2))
    for epochs, ramp in ramps.items():
        assert epochs - sum(count for count, _ in ramp) == max(1, epochs // 4)


@pytest.mark.parametrize(
    ("steps", "ramp"), [((1, 2), ((5, 1), (1, 2))), ((1,), ((6, 1),)), ((), ())]
)
def test_time_steps_that_cannot_be_are_left_out(steps, ramp):
    assert with_schedule(recipe(), 8, steps).train.timestep_ramp == ramp


def test_a_ramp_of_the_recipe_keeps_its_proportions():
    own = recipe(train={"epochs": 4, "timestep_ramp": [[2, 1], [1, 3]]})
    assert with_schedule(own, 8, (1, 2)).train.timestep_ramp == ((4, 1), (2, 3))
    assert with_schedule(own, 1, (1, 2)).train.timestep_ramp == ()
    counted = recipe(ticket={"ramp_epochs": 1}, train={"epochs": 4})
    assert with_schedule(counted, 12, ()).ticket.ramp_epochs == 3


def made_of(base, budget, tmp_path, told=None):
    class Reporter(NullReporter):
        def message(self, text):
            if told is not None:
                told.append(text)

    return planned(base, budget, runs_dir=tmp_path, threads=1, reporter=Reporter())


def test_the_longest_stage_decides_and_all_have_the_same(tmp_path, timer):
    bench, told = timer(step_s=1.0, slower=("dense",)), []
    # 180 s are spent: one epoch of dense is 20 s at T=1 and 80 s at T=4
    made = made_of(recipe(), "200s", tmp_path, told)
    assert made.train.epochs == 6
    assert made.train.timestep_ramp == ((5, 1),)
    assert {stage.schedule(made) for stage in stages_of(made)} == {made.train}
    assert len(bench.asked) == 1
    text = "\n".join(told)
    assert "200s per stage: 6 epochs (5 at T=1, 1 at T=4), batch size 20" in text
    assert "the longest stage, dense, trained, takes about 3 min 00 s" in text
    assert "all 3 stages of 1 seed take about 6 min 00 s" in text
    assert "tune" not in text


def test_all_of_it_has_the_trials_of_learning_rates_in_it(tmp_path, timer):
    timer(step_s=1.0)
    told = []
    made_of(recipe(train={"tune": "rates"}), "200s", tmp_path, told)
    found = json.loads(next(tmp_path.glob("*/plan.json")).read_text())["plans"][0]
    assert found["epochs"] == 11
    assert found["stages_s"] == 3 * 10 * (8 + 2 + 2 * 4)
    halved = 10 * (4 + 2 * 4)
    assert found["trials_s"] == 3 * 3 * halved
    assert "and 18 min 00 s to tune learning rates (three trials" in told[-1]


def test_a_budget_for_less_than_an_epoch_says_what_is_needed(tmp_path, timer):
    timer(step_s=1.0, slower=("dense",))
    with pytest.raises(UserError, match=r"dense, trained.* takes 1 min 20 s") as error:
        made_of(recipe(), "60s", tmp_path)
    assert not list(tmp_path.iterdir())
    assert error.value.remedy.startswith("Give at least 89s,")
    with pytest.raises(UserError):
        made_of(recipe(), "88s", tmp_path)
    assert made_of(recipe(), "89s", tmp_path).train.epochs == 1


def test_batches_grow_where_that_makes_an_epoch_fit(tmp_path, timer):
    bench, told = timer(step_s=0.0, each_s=1.0), []
    assert made_of(recipe(), "9s", tmp_path).train.batch_size == 40
    assert [each.train.batch_size for each in bench.asked] == [20, 40]
    made = made_of(recipe(), "3.4s", tmp_path, told)
    assert (made.train.batch_size, made.train.epochs) == (80, 1)
    assert "batch size 80, 4 times the recipe's" in told[0]
    # of 200 samples a batch of 160 takes the rest along
    with pytest.raises(UserError, match=r"takes 1\.0 s"):
        made_of(recipe(), "1s", tmp_path)


def test_batches_that_bring_nothing_are_not_tried_on(tmp_path, timer):
    bench = timer(step_s=1.0)
    with pytest.raises(UserError):
        made_of(recipe(), "1s", tmp_path)
    assert [each.train.batch_size for each in bench.asked] == [20, 40]


def test_a_network_without_time_steps_and_a_method_without_a_ramp_have_none(tmp_path, timer):
    timer(step_s=1.0, ramps=False)
    made = made_of(recipe(), "400s", tmp_path)
    assert (made.train.epochs, made.train.timestep_ramp) == (9, ())
    timer(step_s=1.0)
    early = recipe(ticket={"name": "early_time"})
    made = made_of(early, "400s", tmp_path)
    assert made.train.timestep_ramp == ()
    assert made.train.epochs >= 2


def test_no_plan_is_longer_than_the_longest_recipes(tmp_path, timer):
    timer(step_s=1e-6)
    told = []
    assert made_of(recipe(), "2h", tmp_path, told).train.epochs == MOST_EPOCHS
    assert "no plan has more epochs" in told[1]


def test_a_busy_machine_is_named(tmp_path, timer, load):
    timer(step_s=1.0)
    load[0] = 100.0
    told = []
    made_of(recipe(), "100s", tmp_path, told)
    assert "other programs are at work (load 100.0 on" in told[0]
    made_of(recipe(), "100s", tmp_path, told)
    assert sum("at work" in text for text in told) == 1


def test_a_ladder_is_planned_by_its_longest_rung(tmp_path, timer):
    timer(step_s=1.0, slower=("multisp",))
    told = []
    made = made_of(recipe(**LADDER), "200s", tmp_path, told)
    assert made.train.epochs == 6
    assert "the longest stage, MultiSp" in told[1]


@pytest.mark.parametrize(
    "budget", ["", "60", "m", "0s", "-5m", "1e3s", "60 m", "5d", "nan", "0.0h", "٣m"]
)
def test_what_is_no_time_is_refused_before_data_is_read(budget, tmp_path):
    missing = recipe(data={"root": "/nowhere"})
    with pytest.raises(UserError, match="must be a time such as 90s, 60m or 2h"):
        find(missing, budget=budget, runs_dir=tmp_path)


def test_a_plan_is_found_again_and_not_timed_anew(tmp_path, timer):
    bench = timer(step_s=1.0)
    first = made_of(recipe(), "100s", tmp_path)
    fast, told = timer(step_s=0.1), []
    assert made_of(recipe(), "100s", tmp_path, told) == first
    assert made_of(recipe(data={"root": "elsewhere"}), "100s", tmp_path).hash == first.hash
    assert not fast.asked
    assert "100s per stage: the plan of an earlier start" in told[0]
    timer(step_s=1.0)
    # another time that comes to the same run leaves the plan of the first
    assert made_of(recipe(), "101s", tmp_path).hash == first.hash
    again = timer(step_s=0.1)
    assert made_of(recipe(), "100s", tmp_path).hash == first.hash
    assert made_of(recipe(), "101s", tmp_path).hash == first.hash
    assert not again.asked
    # what else was asked for is another plan
    assert made_of(recipe(seed=5), "100s", tmp_path).hash != first.hash
    assert (
        made_of(recipe(ticket={"density": 0.1}), "100s", tmp_path).train.epochs > first.train.epochs
    )
    assert len(again.asked) == 2
    assert len(bench.asked) == 1


def test_a_damaged_plan_and_one_of_another_run_are_named(tmp_path, timer):
    timer(step_s=1.0)
    first = made_of(recipe(), "100s", tmp_path)
    path = tmp_path / first.folder_name / "plan.json"
    text = path.read_text()
    path.write_text(text.replace('"batch_size": 20', '"batch_size": 21'))
    with pytest.raises(UserError, match=r"plan\.json: is damaged: its content does not match"):
        made_of(recipe(), "100s", tmp_path)
    content = json.loads(text)
    content["plans"][0]["timestep_ramp"] = [[9, 1]]
    write_result(path, {key: content[key] for key in ("version", "plans")})
    with pytest.raises(UserError, match="has no schedule that can be"):
        made_of(recipe(), "100s", tmp_path)
    path.write_text(text)
    path.parent.rename(tmp_path / "tiny-other")
    with pytest.raises(UserError, match="is of another run"):
        made_of(recipe(), "100s", tmp_path)
