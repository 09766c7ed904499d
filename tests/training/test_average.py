"""Averages of what is trained, BatchNorm's momentum, schedules and ramps of sizes."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook
from trainings import training_in

from spiketicket.errors import UserError
from spiketicket.methods.budgets import shorter, tuning_budget
from spiketicket.methods.edge_popup import Config, attach
from spiketicket.progress import NullReporter
from spiketicket.recipe import OptimizerConfig, TrainConfig
from spiketicket.training.average import Average
from spiketicket.training.evaluate import Evaluation, evaluate
from spiketicket.training.loop import Trainee, fit
from spiketicket.training.optimizer import make_optimizer
from spiketicket.training.schedule import is_whole, learning_rate, side_at, smaller


class Batches:
    """Six random batches an epoch."""

    steps = 6

    def epoch(self, epoch, start=0):
        for step in range(start, self.steps):
            generator = torch.Generator().manual_seed(10 * epoch + step)
            yield torch.randn(8, 3, 4, 4, generator=generator), torch.arange(8) % 2


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 4, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(4, affine=False)
        self.head = nn.Linear(4, 2, bias=False)
        self.seen = []

    def forward(self, x):
        self.seen.append(tuple(x.shape[-2:]))
        return self.head(self.norm(self.conv(x)).relu().mean((2, 3)))


class Stop(Exception):
    pass


class Stopping(NullReporter):
    def __init__(self, at):
        self.at = at

    def step(self, epoch, step, loss, accuracy, images_per_s):
        if (epoch, step) == self.at:
            raise Stop


class Told:
    """A validation that keeps the states it was shown, and likes each better than the last."""

    def __init__(self):
        self.states = []

    def __call__(self, model):
        self.states.append(copy.deepcopy(model.state_dict()))
        return Evaluation(1.0, len(self.states) / 100, torch.zeros(1))


def popup(folder, reporter=None, told=None, **settings):
    """Search a ticket in a small net; its model, its search and what was fitted."""
    folder.mkdir(exist_ok=True)
    config = TrainConfig.model_validate(
        {"epochs": 3, "batch_size": 8, "checkpoint_steps": 1, "precision": "fp32", **settings}
    )
    model = Net()
    search = attach(model, Config(density=0.5), binary=True, seed=0, epochs=config.epochs)
    trainee = Trainee(
        model=model,
        parameters=list(search.parameters()),
        optimizer=config.scores,
        callbacks=(search,),
    )
    fitted = fit(
        trainee,
        Batches(),
        told,
        config=config,
        training=training_in(folder),
        reporter=reporter or NullReporter(),
    )
    return model, search, fitted


def test_means_are_those_of_the_definition():
    values = torch.randn(12, 5, generator=torch.Generator().manual_seed(0))
    parameter = nn.Parameter(torch.zeros(5))
    average = Average([parameter], 0.6)
    expected = np.zeros(5)
    for step, value in enumerate(values):
        with torch.no_grad():
            parameter.copy_(value)
        average.move(step)
        decay = min(0.6, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value.double().numpy()
    np.testing.assert_allclose(average.means[0].numpy(), expected, atol=1e-6)
    assert not Average([parameter], 0.0).means


def test_a_ticket_is_that_of_the_mean_scores_and_the_training_goes_on_with_its_own(tmp_path):
    """Beside a training without it, whose scores at every step are averaged here."""
    scores, told = [], Told()

    def watched(optimizer, args, kwargs):
        scores.append([p.detach().clone() for g in optimizer.param_groups for p in g["params"]])

    handle = register_optimizer_step_post_hook(watched)
    try:
        _, plain, _ = popup(tmp_path / "plain", told=Told(), schedule="constant")
        own = [[t.numpy().astype(np.float64) for t in step] for step in scores]
        scores.clear()
        model, search, _ = popup(tmp_path / "mean", told=told, average=0.95, schedule="constant")
    finally:
        handle.remove()
    for mine, other in zip(scores, own, strict=True):  # judging has moved nothing
        for a, b in zip(mine, other, strict=True):
            np.testing.assert_array_equal(a.numpy(), b)
    start = attach(Net(), Config(density=0.5), binary=True, seed=0, epochs=3).scores()
    means = [value.numpy().astype(np.float64) for value in start.values()]
    for step, values in enumerate(own):
        decay = min(0.95, (1 + step) / (10 + step))
        means = [decay * m + (1 - decay) * v for m, v in zip(means, values, strict=True)]
    for (name, kept), mean in zip(search.scores().items(), means, strict=True):
        np.testing.assert_allclose(kept.numpy(), mean, atol=1e-6)
        order = np.sort(np.abs(mean).ravel())
        mask = np.abs(mean) > order[mean.size // 2 - 1]
        np.testing.assert_array_equal(search.popups()[name].mask.numpy(), mask)
    masks = [[popup.mask for popup in found.popups().values()] for found in (plain, search)]
    assert not all(torch.equal(a, b) for a, b in zip(*masks, strict=True))
    assert len(told.states) == 3
    # BatchNorm is judged with statistics of the mean's own activations: plain averages.
    x = torch.cat([x for x, _ in Batches().epoch(2)])
    y = model.conv(x).detach()
    expected = y.mean((0, 2, 3))
    torch.testing.assert_close(model.norm.running_mean, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("at", [(0, 2), (1, 0), (1, 5), (2, 3)])
def test_a_stopped_training_with_every_part_ends_with_the_same_bytes(tmp_path, at):
    settings = {
        "average": 0.7,
        "bn_momentum": 0.4,
        "schedule": "linear",
        "size_ramp": [[1, 2]],
        "scores": {"betas": [0.8, 0.95]},
    }
    whole = popup(tmp_path / "whole", told=Told(), **settings)[0].state_dict()
    told = Told()
    with pytest.raises(Stop):
        popup(tmp_path / "stopped", Stopping(at), told, **settings)
    again = popup(tmp_path / "stopped", told=told, **settings)[0].state_dict()
    assert all(torch.equal(value, again[key]) for key, value in whole.items())
    # A checkpoint without the means is one of another training.
    with pytest.raises(UserError, match="means have other shapes"):
        popup(tmp_path / "stopped", told=Told(), **{**settings, "average": 0.0})


def test_momentum_is_the_share_of_each_batch(tmp_path):
    told = Told()
    model, _, _ = popup(tmp_path, told=told, epochs=1, bn_momentum=0.25, scores={"lr": 1e-12})
    mean = np.zeros(4)
    for x, _ in Batches().epoch(0):
        batch = model.conv(x).detach().double().mean((0, 2, 3)).numpy()
        mean = 0.75 * mean + 0.25 * batch
    np.testing.assert_allclose(model.norm.running_mean.numpy(), mean, atol=1e-5)
    assert model.norm.momentum == 0.25


def test_fresh_statistics_are_plain_averages(tmp_path):
    model, _, _ = popup(tmp_path, told=Told(), epochs=2, bn_statistics="fresh")
    y = model.conv(torch.cat([x for x, _ in Batches().epoch(1)])).detach()
    torch.testing.assert_close(model.norm.running_mean, y.mean((0, 2, 3)), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("schedule", ["linear", "constant"])
def test_schedules_after_the_warm_up(schedule):
    rates = [learning_rate(step, 50, 0.2, schedule) for step in range(50)]
    assert rates[:10] == [learning_rate(step, 50, 0.2) for step in range(10)]
    expected = 1 - np.arange(40) / 40 if schedule == "linear" else np.ones(40)
    np.testing.assert_allclose(rates[10:], expected)


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_betas_are_those_of_the_recipe(name):
    config = OptimizerConfig(name=name, lr=0.1, betas=(0.5, 0.8))
    weight, value = nn.Parameter(torch.tensor([1.0])), 1.0
    both = make_optimizer(
        [nn.Parameter(torch.ones(1))], config, ([nn.Parameter(torch.ones(1))], config)
    )
    assert [group["betas"] for group in both.param_groups] == [(0.5, 0.8)] * 2
    optimizer, m, v = make_optimizer([weight], config), 0.0, 0.0
    for step in range(1, 6):
        gradient = 2 * value - 1
        weight.grad = torch.tensor([2 * weight.item() - 1])
        optimizer.step()
        m, v = 0.5 * m + 0.5 * gradient, 0.8 * v + 0.2 * gradient**2
        value -= 0.1 * (m / (1 - 0.5**step)) / (np.sqrt(v / (1 - 0.8**step)) + 1e-8)
        assert weight.item() == pytest.approx(value, rel=1e-5)


def test_pictures_of_a_ramp_are_means_over_areas(tmp_path):
    x = torch.rand(2, 3, 8, 12)
    halved = smaller(x, 4)
    expected = x.numpy().reshape(2, 3, 4, 2, 6, 2).mean((3, 5))
    np.testing.assert_allclose(halved.numpy(), expected, atol=1e-6)
    assert smaller(x, 6).shape == (2, 3, 6, 9)
    assert smaller(x, 8) is x
    told = Told()
    model, _, fitted = popup(tmp_path, told=told, size_ramp=[[1, 2], [1, 3]])
    # Six steps an epoch, and none of the ramp's epochs is chosen from.
    assert model.seen == [(2, 2)] * 6 + [(3, 3)] * 6 + [(4, 4)] * 6
    assert fitted.best_epoch == 2


def test_a_ramp_of_sizes_by_epochs():
    config = TrainConfig(epochs=6, batch_size=1, size_ramp=((2, 16), (1, 24)))
    assert [side_at(epoch, config) for epoch in range(6)] == [16, 16, 24, 0, 0, 0]
    assert [is_whole(epoch, config) for epoch in range(6)] == [False] * 3 + [True] * 3
    assert shorter(config, 3).size_ramp == ((1, 16),)
    assert tuning_budget(config, 1).size_ramp == ()
    with pytest.raises(ValueError, match="size_ramp takes 3 of 3 epochs; at least one must remain"):
        TrainConfig(epochs=3, batch_size=1, size_ramp=((3, 16),))


def test_test_time_flip_is_the_mean_of_both_logits():
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 4, 2)).eval()
    batches = list(Batches().epoch(0))
    found = evaluate(model, batches, flip=True)
    with torch.no_grad():
        logits = torch.cat([(model(x) + model(x.flip(3))) / 2 for x, _ in batches])
    assert torch.equal(found.predictions, logits.argmax(1))
    assert not torch.equal(found.predictions, evaluate(model, batches).predictions)
