"""What a sweep would cost: few samples, the ramp of time steps, and no time but the processor's."""

import time

import pytest
import torch
from torch import nn

from spiketicket.experiment import cost as module
from spiketicket.experiment.cost import Sizes, StageCost, stage_s, timed
from spiketicket.machine import parallel
from spiketicket.models.resnet19 import ResNet19
from spiketicket.recipe import parse_recipe
from spiketicket.sweep.estimate import estimate
from spiketicket.sweep.plan import make_plan
from spiketicket.training.schedule import timesteps_at

pytestmark = pytest.mark.slow


class Work:
    """A clock that goes on by what was computed: ``sample_s`` for each sample, and ``pass_s``."""

    def __init__(self, sample_s, pass_s=0.0):
        self.sample_s, self.pass_s, self.now, self.counts = sample_s, pass_s, 0.0, []

    def __call__(self):
        return self.now

    def run(self, count):
        self.counts.append(count)
        self.now += self.pass_s + count * self.sample_s


@pytest.mark.parametrize(
    ("sample_s", "counts"),
    [
        (1.0, [2, 2]),
        (0.05, [2, 2, 4, 4]),
        (0.001, [2, 2, 128, 128, 128]),
        (0.0, [2, 2, 128, 128, 128]),
    ],
)
def test_a_net_gets_as_many_samples_as_fit_into_a_moment(sample_s, counts):
    work = Work(sample_s)
    assert timed(work.run, 128, 0.2, work) == pytest.approx(sample_s)
    assert work.counts == counts


def test_neither_the_warm_up_nor_what_every_pass_costs_is_a_samples():
    work = Work(0.001, pass_s=0.02)
    first = iter([9.0])

    def run(count):
        work.run(count)
        work.now += next(first, 0.0)

    # 0.2 s hold 180 samples and what a pass costs
    assert timed(run, 1000, 0.2, work) == pytest.approx(0.001 + 0.02 / work.counts[-1])
    assert work.counts[-1] > 80


def test_a_stage_is_its_epochs_at_each_number_of_time_steps():
    recipe = parse_recipe(
        {
            "name": "a",
            "data": {"name": "digits"},
            "model": {"name": "convnet", "timesteps": 8},
            "neuron": {"name": "lif"},
            "ticket": {"name": "edge_popup", "density": 0.5},
            "train": {
                "epochs": 9,
                "batch_size": 8,
                "tune": "off",
                "timestep_ramp": [[3, 1], [2, 4]],
                "size_ramp": [[2, 5], [4, 6]],
            },
        }
    )
    share = {5: 0.5, 6: 0.75, 0: 1.0}
    train, test = {1: 0.5, 4: 2.0, 8: 4.0}, {1: 0.25, 4: 1.0, 8: 2.0}
    for fresh in (False, True):
        cost = StageCost(
            train_s=train, test_s=test, batch_s=0.125, step_s=0.25, fresh=fresh, share=share
        )
        sizes = Sizes(steps=10, batch=8, validation=20, test=100)
        expected = 100 * test[8]
        for epoch in range(9):
            at = (1, 1, 1, 4, 4, 8, 8, 8, 8)[epoch]
            assert timesteps_at(epoch, recipe.train, 8) == at
            side = (5, 5, 6, 6, 6, 6, 0, 0, 0)[epoch]
            for _ in range(10):
                expected += 0.125 + 0.25 + 8 * train[at] * share[side]
            judged = 20 + (10 * 8 if fresh and at == 8 else 0)
            expected += judged * test[at]
        assert stage_s(cost, recipe.train, sizes, 8) == pytest.approx(expected)


def test_what_trains_nothing_is_tested_alone():
    budget = parse_recipe(
        {
            "name": "a",
            "data": {"name": "digits"},
            "model": {"name": "convnet"},
            "neuron": {"name": "lif"},
            "ticket": {"name": "edge_popup", "density": 0.5},
            "train": {"epochs": 9, "batch_size": 8, "tune": "off"},
        }
    ).train.model_copy(update={"epochs": 0})
    sizes = Sizes(steps=10, batch=8, validation=20, test=100)
    cost = StageCost(train_s={}, test_s={4: 1.0}, batch_s=0.0, step_s=0.0, fresh=True)
    assert stage_s(cost, budget, sizes, 4) == pytest.approx(100 + 20 + 80)


@pytest.fixture
def timings(monkeypatch):
    """The stages that were timed, with what was found."""
    found = []
    real = module._Bench.cost

    def cost(self, name):
        found.append((name, real(self, name)))
        return found[-1][1]

    monkeypatch.setattr(module._Bench, "cost", cost)
    monkeypatch.setattr(module, "_TRAINED_S", 0.02)
    monkeypatch.setattr(module, "_TESTED_S", 0.01)
    return found


def test_every_time_step_of_a_ramp_is_timed(tmp_path, runs, timings):
    controls = {"dense": False, "random_trained": False}
    made = runs(
        model={"timesteps": 16, "width": 1.0},
        controls=controls,
        train={"timestep_ramp": [[4, 1], [2, 2]], "epochs": 8},
    )
    estimate(make_plan(made, tmp_path), tmp_path)
    costs = dict(timings)
    assert (set(costs), costs["random_frozen"].train_s) == ({"ticket", "random_frozen"}, {})
    cost = costs["ticket"]
    assert set(cost.train_s) == set(cost.test_s) == {1, 2, 16}
    assert cost.train_s[1] < cost.train_s[16]


def test_every_size_of_a_ramp_is_timed(tmp_path, runs, timings):
    seen = []
    controls = {"dense": False, "random_trained": False, "random_frozen": False}
    model = {"name": "resnet19", "width": 0.0625, "timesteps": 1}
    train = {"size_ramp": [[1, 4], [2, 6]], "epochs": 8}
    made = runs(model=model, controls=controls, train=train)
    hook = nn.modules.module.register_module_forward_pre_hook(
        lambda net, inputs: (
            seen.append(tuple(inputs[0].shape[-2:])) if isinstance(net, ResNet19) else None
        )
    )
    try:
        estimate(make_plan(made, tmp_path), tmp_path)
    finally:
        hook.remove()
    ((_, cost),) = timings
    assert set(cost.share) == {4, 6}
    assert set(seen) == {(8, 8), (6, 6), (4, 4)}


def test_equal_trainings_are_timed_once(tmp_path, ladder_runs, timings):
    made = ladder_runs("ticket.density=0.3,0.5", "seed=0:1")
    plan = make_plan(made, tmp_path)
    seconds = estimate(plan, tmp_path)
    names = [name for name, _ in timings]
    assert len(set(names)) == len(names)
    # the selector is the dense net, and all rules without a selector cost the same
    assert len({"selector", "dense"} & set(names)) == 1
    assert len({"patch_random", "patch_fixed", "patch_center"} & set(names)) <= 1
    assert all(seconds[task.id] > 0 for task in plan.tasks if task.kind != "verdict")
    seeds = [seconds[task.id] for task in plan.tasks if task.kind == "seed"]
    assert len(seeds) == 4
    assert seeds == [pytest.approx(seeds[0])] * 4


def test_threads_that_hinder_each_other_are_not_what_a_training_takes(
    tmp_path, runs, timings, monkeypatch
):
    seen, before = [], torch.get_num_threads()

    def slow_with_two(run, most, pass_s, clock):
        run(2)
        seen.append(parallel.threads())
        return 7.0 if seen[-1] == 2 else 0.25

    monkeypatch.setattr(module, "timed", slow_with_two)
    controls = {"dense": False, "random_trained": False, "random_frozen": False}
    estimate(make_plan(runs(controls=controls), tmp_path), tmp_path, threads=2)
    ((_, cost),) = timings
    assert (cost.train_s[1], cost.test_s[1]) == (0.25, 0.25)
    assert seen == [1, 2, 1, 2]
    assert torch.get_num_threads() == before


def test_a_longer_search_is_timed_after_a_shorter_one(tmp_path, runs, timings):
    made = runs("ticket.density=0.45,0.3", ticket={"name": "imp"})
    seconds = estimate(make_plan(made, tmp_path), tmp_path)
    names = [name for name, _ in timings]
    assert {"round_1", "round_2", "round_3", "round_4"} <= set(names)
    tasks = make_plan(made, tmp_path).tasks
    assert all(seconds[task.id] > 0 for task in tasks if task.kind != "verdict")


def test_what_is_finished_costs_nothing(tmp_path, runs, timings):
    (run,) = runs()
    for name in ("ticket", "dense", "random_trained"):
        folder = tmp_path / run.folder / "seed-0" / name
        folder.mkdir(parents=True)
        (folder / "result.json").write_text("{}")
    plan = make_plan([run], tmp_path)
    assert sum(estimate(plan, tmp_path).values()) > 0
    assert [name for name, _ in timings] == ["random_frozen"]


def test_waiting_is_not_computing(tmp_path, runs, timings, monkeypatch):
    """As on a busy machine, where each pass takes longer than it computes."""
    real, passes, waited = module._first, [], 0.03

    def slow(x, count):
        passes.append(count)
        time.sleep(waited * count)
        return real(x, count)

    monkeypatch.setattr(module, "_first", slow)
    controls = {"dense": False, "random_trained": False, "random_frozen": False}
    plan = make_plan(runs(controls=controls), tmp_path)
    estimate(plan, tmp_path)
    ((_, cost),) = timings
    assert 6 <= len(passes) <= 30
    assert cost.train_s[1] < waited
    assert cost.test_s[1] < waited
