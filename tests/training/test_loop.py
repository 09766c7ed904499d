"""The loop: schedules, resume by real kills, divergence, and what a checkpoint refuses."""

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from trainings import training_in

from spiketicket.errors import UserError
from spiketicket.experiment.find import find
from spiketicket.progress import NullReporter
from spiketicket.recipe import OptimizerConfig, TrainConfig, parse_recipe, to_toml
from spiketicket.training import checkpoint
from spiketicket.training.callback import Callback, StopAfter
from spiketicket.training.evaluate import Evaluation
from spiketicket.training.loop import LOG_STEPS, Trainee, fit
from spiketicket.training.optimizer import make_optimizer
from spiketicket.training.schedule import epochs_of_kinds, learning_rate, timesteps_at
from spiketicket.training.statistics import estimate_statistics

pytestmark = pytest.mark.slow


SMALL = {
    "name": "small",
    "data": {"name": "digits", "pad_crop": 1},
    "model": {"name": "convnet", "width": 0.25, "timesteps": 2},
    "neuron": {"name": "lif"},
    "ticket": {"name": "edge_popup", "density": 0.5},
    "train": {"epochs": 3, "batch_size": 64, "tune": "off", "checkpoint_steps": 3},
}


def small(**train):
    return parse_recipe({**SMALL, "train": {**SMALL["train"], **train}})


def contents(folder):
    """Every file's bytes, but for what a clock wrote."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.name in ("timing.json", ".claim", ".claimed-by"):
            continue
        data = path.read_bytes()
        if path.name == "log.jsonl":
            records = [json.loads(line) for line in data.splitlines()]
            data = [{k: v for k, v in r.items() if k != "wall_s"} for r in records]
        found[str(path.relative_to(folder))] = data
    return found


def test_learning_rate_rises_then_falls_to_zero():
    rates = [learning_rate(step, 100, 0.1) for step in range(100)]
    assert rates[:11] == sorted(rates[:11])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert max(rates) == 1
    assert 0 < rates[0] < 0.1
    assert rates[-1] < 0.001
    assert learning_rate(0, 100, 0) == 1


def test_timesteps_follow_the_ramp():
    config = TrainConfig(epochs=5, batch_size=1, timestep_ramp=((2, 1), (1, 2)))
    assert [timesteps_at(e, config, 4) for e in range(6)] == [1, 1, 2, 4, 4, 4]
    assert epochs_of_kinds(config, 4) == {(1, 0): 2, (2, 0): 1, (4, 0): 2}
    small = config.model_copy(update={"size_ramp": ((1, 16), (2, 24))})
    kinds = {(1, 16): 1, (1, 24): 1, (2, 24): 1, (4, 0): 2}
    assert epochs_of_kinds(small, 4) == kinds
    # Of fine-tuning, the epochs may end within the ramp. And counting takes no time an epoch.
    shorter = config.model_copy(update={"epochs": 1})
    assert epochs_of_kinds(shorter, 4) == {(1, 0): 1}
    longer = config.model_copy(update={"epochs": 10**15})
    assert epochs_of_kinds(longer, 1) == {(1, 0): 10**15 - 1, (2, 0): 1}


def test_same_recipe_gives_the_same_bytes(tmp_path):
    folders = [find(small(), runs_dir=tmp_path / side).folder for side in "ab"]
    first, second = map(contents, folders)
    assert len(first) > 10
    assert first == second


@pytest.mark.slow
@pytest.mark.xdist_group("processes")
def test_a_run_killed_at_many_moments_ends_with_the_bytes_of_one_that_was_not(tmp_path):
    script, recipe = tmp_path / "run.py", tmp_path / "small.toml"
    recipe.write_text(to_toml(small()))
    script.write_text(
        "import sys, torch\n"
        "torch.set_num_threads(2)\n"
        "from spiketicket.recipe import load_recipe\n"
        "from spiketicket.experiment.find import find\n"
        "find(load_recipe(sys.argv[1]), runs_dir=sys.argv[2])\n"
    )

    def start(runs):
        return subprocess.Popen([sys.executable, str(script), str(recipe), str(runs)])

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert start(whole).wait() == 0
    kills = 0
    # Wait for a file that only the run writes, then a little longer each time, and kill.
    for delay in (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7):
        before = _stamp(killed)
        process = start(killed)
        while process.poll() is None and _stamp(killed) == before:
            time.sleep(0.005)
        time.sleep(delay)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += process.wait() == -signal.SIGKILL
    assert kills >= 3
    assert start(killed).wait() == 0
    name = small().folder_name
    assert contents(whole / name) == contents(killed / name)


def _stamp(runs):
    watched = ("checkpoint.pt", "result.json", "model.ticket")
    return [p.stat().st_mtime_ns for p in runs.rglob("*") if p.name in watched]


@pytest.mark.slow
def test_an_interrupted_run_goes_on_and_counts_all_its_time(tmp_path):
    class Stop(Exception):
        pass

    class Interrupter(NullReporter):
        def __getattribute__(self, name):
            def call(*args):
                if name == "step" and args[:2] == (1, 5):
                    raise Stop

            return call

    with pytest.raises(Stop):
        find(small(), runs_dir=tmp_path / "a", reporter=Interrupter())
    result = find(small(), runs_dir=tmp_path / "a")
    plain = find(small(), runs_dir=tmp_path / "b")
    assert contents(result.folder) == contents(plain.folder)
    assert not list(result.folder.rglob("checkpoint.pt"))


def test_a_loss_that_is_not_a_number_stops_with_the_step_and_the_causes(tmp_path, monkeypatch):
    from spiketicket.training import loop as train

    real = train.functional.cross_entropy
    calls = []

    def broken(*args, **options):
        calls.append(1)
        return real(*args, **options) * (float("nan") if len(calls) == 25 else 1)

    monkeypatch.setattr(train.functional, "cross_entropy", broken)
    with pytest.raises(UserError, match=r"epoch 1, step \d+ .*learning rate") as caught:
        find(small(), runs_dir=tmp_path)
    assert "stage ticket, seed 0" in str(caught.value)
    assert list(tmp_path.rglob("checkpoint.pt"))
    assert not list(tmp_path.rglob("result.json"))


def test_damaged_and_foreign_checkpoints_are_refused(tmp_path):
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.Adam(model.parameters())
    path = tmp_path / "checkpoint.pt"
    assert checkpoint.load(path, "key", model, optimizer) is None
    checkpoint.save(
        path, "key", checkpoint.Progress(epoch=3), model=model, optimizer=optimizer, best={}
    )
    loaded = checkpoint.load(path, "key", model, optimizer)
    assert loaded is not None
    assert loaded[0].epoch == 3
    with pytest.raises(UserError, match="belongs to another training"):
        checkpoint.load(path, "other", model, optimizer)
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    for damaged in (whole[: len(whole) // 2], b"", b"not a checkpoint", bytes(flipped)):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match="damaged"):
            checkpoint.load(path, "key", model, optimizer)


def test_checkpoints_never_run_code(tmp_path):
    marker = tmp_path / "ran"

    class Evil:
        def __reduce__(self):
            return (os.mkdir, (str(marker),))

    path = tmp_path / "checkpoint.pt"
    buffer = io.BytesIO()
    torch.save({"format": 2, "key": "key", "progress": Evil()}, buffer)
    path.write_bytes(hashlib.sha256(buffer.getvalue()).digest() + buffer.getvalue())
    model = torch.nn.Linear(2, 2)
    with pytest.raises(UserError, match="does not fit: UnpicklingError"):
        checkpoint.load(path, "key", model, torch.optim.Adam(model.parameters()))
    assert not marker.exists()


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_optimizers_have_the_settings_they_were_given(name):
    weight = torch.nn.Parameter(torch.ones(3))
    config = OptimizerConfig(name=name, lr=0.5, weight_decay=0.25, momentum=0.75)
    optimizer = make_optimizer([weight], config)
    plain = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[name]
    other = torch.nn.Parameter(torch.ones(3))
    options = {"momentum": 0.75} if name == "sgd" else {}
    reference = plain([other], lr=0.5, weight_decay=0.25, **options)
    for _ in range(3):
        for parameter, rule in ((weight, optimizer), (other, reference)):
            parameter.grad = parameter.detach() * 2 - 1
            rule.step()
    torch.testing.assert_close(weight, other)


class FourBatches:
    """Four random batches an epoch."""

    steps = 4

    def epoch(self, epoch, start=0):
        for step in range(start, self.steps):
            generator = torch.Generator().manual_seed(10 * epoch + step)
            yield torch.randn(8, 3, generator=generator), torch.arange(8) % 2


class Falling:
    """A validation whose accuracy falls from epoch to epoch."""

    def __init__(self):
        self.calls = 0

    def __call__(self, model):
        self.calls += 1
        return Evaluation(1.0, 1.0 / self.calls, torch.zeros(1))


class ManyBatches(FourBatches):
    """So many that the losses of an epoch are read more than once."""

    steps = 2 * LOG_STEPS + 3


class Heard(NullReporter):
    """Keeps the steps it was told, and what was read when."""

    def __init__(self):
        self.steps, self.losses = [], []

    def step(self, epoch, step, loss, accuracy, images_per_s):
        self.steps.append((epoch, step))
        self.losses.append((loss, accuracy))
        assert images_per_s > 0


def toy(folder, reporter, *callbacks, epochs=2, checkpoint_steps=10**6, loop=None):
    """Train a linear layer on many batches."""
    folder.mkdir(exist_ok=True)
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 2)
    config = TrainConfig(epochs=epochs, batch_size=8, checkpoint_steps=checkpoint_steps)
    trainee = Trainee(
        model=model,
        parameters=list(model.parameters()),
        optimizer=config.weights,
        callbacks=callbacks,
    )
    training = training_in(folder)
    return fit(
        trainee, loop or ManyBatches(), None, config=config, training=training, reporter=reporter
    )


def test_losses_are_read_every_few_steps_and_add_up_as_if_read_every_step(tmp_path, monkeypatch):
    from spiketicket.training import loop as train

    rare, often = Heard(), Heard()
    few = toy(tmp_path / "few", rare)
    monkeypatch.setattr(train, "LOG_STEPS", 1)
    every = toy(tmp_path / "every", often)
    without_time = [[{**r, "wall_s": 0} for r in f.history] for f in (few, every)]
    assert without_time[0] == without_time[1]
    steps = ManyBatches.steps
    assert rare.steps == often.steps == [(e, s) for e in range(2) for s in range(steps)]
    # After the first step, every LOG_STEPS of them, and at the end; in between what was read last.
    read = sorted({0, *range(LOG_STEPS - 1, steps, LOG_STEPS), steps - 1})
    latest = [max(r for r in read if r <= step) for step in range(steps)]
    for epoch in range(2):
        told = rare.losses[epoch * steps : (epoch + 1) * steps]
        assert told == [often.losses[epoch * steps + step] for step in latest]


@pytest.mark.parametrize("number", [1, LOG_STEPS + 3, 2 * LOG_STEPS + 2])
@pytest.mark.parametrize("checkpoint_steps", [1, 10**6])
def test_a_loss_that_is_not_a_number_is_told_by_its_step_before_anything_is_written(
    tmp_path, number, checkpoint_steps
):
    class Broken(ManyBatches):
        def epoch(self, epoch, start=0):
            for step, (x, y) in enumerate(super().epoch(epoch, start), start):
                yield (x * float("inf") if (epoch, step) == (1, number) else x), y

    heard, writes = Heard(), []

    class Watch(Callback):
        def on_step_end(self, epochs):
            file = tmp_path / "checkpoint.pt"
            writes.append(file.stat().st_mtime_ns if file.exists() else 0)

    with pytest.raises(UserError, match=rf"the loss is not a number at epoch 1, step {number} "):
        toy(tmp_path, heard, Watch(), checkpoint_steps=checkpoint_steps, loop=Broken())
    assert heard.steps[-1] < (1, number + LOG_STEPS)
    assert (tmp_path / "checkpoint.pt").stat().st_mtime_ns == writes[ManyBatches.steps + number]
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 1


def test_what_fails_on_a_network_that_has_diverged_is_not_the_error_that_is_shown(tmp_path):
    class Diverging(Callback):
        def __init__(self):
            self.calls = 0

        def on_optimizer(self, optimizer):
            (self.weight, _) = optimizer.param_groups[0]["params"]

        def on_step_end(self, epochs):
            self.calls += 1
            if self.calls == 3:
                self.weight.data.fill_(float("nan"))
            if self.calls == 4:
                raise UserError("the mask is empty")

    with pytest.raises(UserError, match="the loss is not a number at epoch 0, step 3"):
        toy(tmp_path, NullReporter(), Diverging())


def test_a_training_is_ended_by_the_first_callback_that_asks_for_it(tmp_path):
    fitted = toy(tmp_path, NullReporter(), StopAfter(2), Callback(), epochs=5)
    assert len(fitted.history) == 2
    assert (fitted.best_epoch, fitted.epochs) == (1, 2)
    # and stays ended when it is run again from its checkpoint
    again = toy(tmp_path, NullReporter(), StopAfter(2), Callback(), epochs=5)
    assert again.history == fitted.history


class CompleteFrom(Callback):
    """An epoch counts from a certain one on."""

    def __init__(self, first):
        self.first = first

    def is_complete(self, epoch):
        return epoch >= self.first


@pytest.mark.parametrize(
    ("ramp", "complete", "best"), [((), 0, 0), (((2, 1),), 0, 2), ((), 3, 3), (((1, 1),), 2, 2)]
)
def test_only_epochs_that_are_what_was_asked_for_are_chosen_from(tmp_path, ramp, complete, best):
    model = torch.nn.Linear(3, 2)
    model.timesteps = 4
    config = TrainConfig(epochs=4, batch_size=8, timestep_ramp=ramp)
    callbacks = (CompleteFrom(complete), Callback())
    trainee = Trainee(
        model=model,
        parameters=list(model.parameters()),
        optimizer=config.weights,
        callbacks=callbacks,
    )
    training = training_in(tmp_path)
    fitted = fit(
        trainee, FourBatches(), Falling(), config=config, training=training, reporter=NullReporter()
    )
    assert fitted.best_epoch == best
    assert fitted.validation == 1 / (best + 1)
    assert model.timesteps == 4


@pytest.mark.parametrize("first", ["adam", "adamw"])
@pytest.mark.parametrize("second", ["adam", "adamw"])
def test_scores_and_weights_move_together_as_each_would_alone(first, second):
    """The oracle is torch's own optimizer for each of the two."""
    one = OptimizerConfig(name=first, lr=0.01, weight_decay=0.1 if first == "adamw" else 0.0)
    two = OptimizerConfig(name=second, lr=0.1, weight_decay=0.2 if second == "adamw" else 0.0)
    together = [torch.nn.Parameter(torch.linspace(-1, 1, 5)) for _ in range(2)]
    apart = [torch.nn.Parameter(p.detach().clone()) for p in together]
    joint = make_optimizer(together[:1], one, (together[1:], two))
    alone = [make_optimizer([p], c) for p, c in zip(apart, (one, two), strict=True)]
    for step in range(4):
        for p, q in zip(together, apart, strict=True):
            p.grad = torch.sin(torch.arange(5.0) + step)
            q.grad = p.grad.clone()
        for optimizer in (joint, *alone):
            optimizer.step()
    for p, q in zip(together, apart, strict=True):
        torch.testing.assert_close(p, q, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("weights", "scores", "where"),
    [
        ({"name": "sgd"}, {"name": "adam"}, "train.weights.name"),
        ({"name": "adamw"}, {"name": "sgd"}, "train.scores.name"),
        ({"name": "adam", "weight_decay": 0.1}, {"name": "adam"}, "train.weights.name"),
    ],
)
def test_optimizers_that_cannot_be_one_are_refused(weights, scores, where):
    one, two = (OptimizerConfig(lr=0.1, **o) for o in (weights, scores))
    with pytest.raises(UserError) as caught:
        make_optimizer([torch.nn.Parameter(torch.ones(1))], one, ([], two))
    assert caught.value.where == where


class _FixedNorm(torch.nn.BatchNorm1d):
    def train(self, mode=True):
        return super().train(False)


def _normed():
    torch.manual_seed(0)
    body = [torch.nn.Linear(4, 6), torch.nn.BatchNorm1d(6), torch.nn.Linear(6, 3), _FixedNorm(3)]
    return torch.nn.Sequential(*body)


class _Draws:
    steps = 5

    def epoch(self, epoch, start=0):
        draw = torch.Generator().manual_seed(epoch)
        for step in range(self.steps):
            x, y = torch.randn(8, 4, generator=draw) + 3, torch.randint(3, (8,), generator=draw)
            if step >= start:
                yield x, y


def test_statistics_are_the_plain_averages_of_the_batches():
    model, fixed = _normed(), torch.full((3,), 0.5)
    model[3].running_mean.copy_(fixed)
    model[1].running_mean.fill_(100)
    estimate_statistics(model, _Draws().epoch(0))
    inner = [model[0](x).detach() for x, _ in _Draws().epoch(0)]
    mean = torch.stack([h.mean(0) for h in inner]).mean(0)
    var = torch.stack([h.var(0) for h in inner]).mean(0)
    torch.testing.assert_close(model[1].running_mean, mean)
    torch.testing.assert_close(model[1].running_var, var)
    assert model[1].momentum == 0.1
    assert torch.equal(model[3].running_mean, fixed)


@pytest.mark.parametrize("fresh", [True, False])
def test_an_epoch_is_judged_and_kept_with_fresh_statistics_where_asked(tmp_path, fresh):
    model, judged = _normed(), []

    def validate(trained):
        judged.append({k: v.clone() for k, v in trained.state_dict().items()})
        return Evaluation(1.0, 0.1 * len(judged), torch.zeros(1))

    config = TrainConfig(epochs=3, batch_size=8)
    trainee = Trainee(
        model=model,
        parameters=list(model.parameters()),
        optimizer=OptimizerConfig(name="adam", lr=0.5, weight_decay=0.0),
        fresh_statistics=fresh,
        callbacks=(CompleteFrom(1),),
    )
    fit(
        trainee,
        _Draws(),
        validate,
        config=config,
        training=training_in(tmp_path),
        reporter=NullReporter(),
    )
    estimated = []
    for epoch, state in enumerate(judged):
        again = _normed()
        again.load_state_dict(state)
        estimate_statistics(again, _Draws().epoch(epoch))
        same = torch.allclose(again[1].running_mean, state["1.running_mean"], atol=1e-6)
        estimated.append(same)
    assert estimated == [False, fresh, fresh]
    assert all(torch.equal(v, judged[2][k]) for k, v in model.state_dict().items())


def test_statistics_of_a_network_with_dropout_are_the_same_each_time():
    net = torch.nn.Sequential(torch.nn.Dropout(0.5), torch.nn.BatchNorm1d(3))
    batches = [(torch.rand(8, 3), torch.zeros(8))] * 2
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        estimate_statistics(net, iter(batches))
        found.append(net[1].running_mean.clone())
    assert torch.equal(*found)
