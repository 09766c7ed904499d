"""Learning rates that are tried on the first seed; what must hold is in experiment/tuning.py."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recipes import varied

from spiketicket.errors import UserError
from spiketicket.experiment import tuning
from spiketicket.experiment.find import find, train_dense
from spiketicket.experiment.folder import RunFolder
from spiketicket.methods.stages import halved, rate_stage, stages_of
from spiketicket.progress import NullReporter
from spiketicket.recipe import as_written, load_recipe, parse_recipe, to_dict, to_toml
from spiketicket.ticket import Ticket

SMALL = {
    "name": "tuned",
    "data": {"name": "digits", "train_limit": 60},
    "model": {"name": "convnet", "width": 0.125, "timesteps": 1, "weights": "binary"},
    "neuron": {"name": "lif"},
    "ticket": {"name": "edge_popup", "density": 0.5},
    "train": {"epochs": 4, "batch_size": 20, "kernel": "eager"},
    "controls": {"random_frozen": False},
}


def trial(factor, accuracy=50.0, loss=1.0):
    return {"factor": factor, "epochs": 2, "validation_accuracy": accuracy, "validation_loss": loss}


def played(score):
    """All trials, where a factor reaches ``score(factor)``."""
    trials = []
    while (factor := tuning.next_factor(trials)) is not None:
        trials.append(trial(factor, *score(factor)))
    return trials


def test_a_best_rate_in_the_middle_needs_three_trials():
    trials = played(lambda factor: (90.0 if factor == 1 else 80.0, 1.0))
    assert [t["factor"] for t in trials] == [0.25, 1, 4]
    assert tuning.chosen(trials)["factor"] == 1


@given(st.sampled_from([-4, -3, -2, -1, 0, 1, 2, 3, 4]))
def test_a_best_rate_at_an_end_is_followed_twice(peak):
    trials = played(lambda factor: (90.0 - abs(np.log(factor) / np.log(4) - peak), 1.0))
    tried = sorted(round(np.log(t["factor"]) / np.log(4)) for t in trials)
    assert tried == list(range(tried[0], tried[-1] + 1))
    assert len(tried) <= 5
    nearest = min(max(peak, -3), 3)
    assert round(np.log(tuning.chosen(trials)["factor"]) / np.log(4)) == nearest


def test_equal_accuracies_are_decided_by_the_loss_then_by_the_factor_nearest_to_1():
    assert tuning.chosen([trial(1, 90.0, 0.4), trial(4, 90.0, 0.3)])["factor"] == 4
    assert tuning.chosen([trial(4, 90.0, 0.3), trial(0.25, 90.0, 0.3)])["factor"] == 0.25
    assert tuning.chosen([trial(16, 90.0, 0.3), trial(4, 90.0, 0.3)])["factor"] == 4


def test_where_no_rate_learns_anything_the_recipes_own_is_kept():
    trials = played(lambda factor: (10.0, 2.302585))
    assert [t["factor"] for t in trials] == [0.25, 1, 4]
    assert tuning.chosen(trials)["factor"] == 1


def test_a_rate_that_diverged_is_not_chosen():
    trials = [trial(0.25, 20.0), trial(1, 0.0, None), trial(4, 0.0, None)]
    assert tuning.chosen(trials)["factor"] == 0.25
    with pytest.raises(UserError, match="every learning rate that was tried diverged"):
        tuning.chosen([trial(1, 0.0, None)])


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def found(runs):
    return find(parse_recipe(SMALL), seeds=2, runs_dir=runs, threads=1)


@pytest.mark.slow
def test_the_first_seed_tries_and_the_others_take(found):
    for name in ("ticket", "dense", "random_trained"):
        first, second = (outcome.facts["tuning"] for outcome in found.stages[name])
        assert len(first["trials"]) >= 3
        assert {t["epochs"] for t in first["trials"]} == {2}
        assert first["factor"] == tuning.chosen(first["trials"])["factor"]
        assert second == {"factor": first["factor"], "seed": 0}
    row = found.to_dict()["stages"][0]
    assert row["tuning"]["trials"]
    assert row["tuning_s"] > 0


@pytest.mark.slow
def test_a_tuned_stage_is_the_one_with_that_rate(found, tmp_path):
    """An independent way to the same net: the rate written into a recipe that is not tuned."""
    for name, kind in (("ticket", "scores"), ("dense", "weights")):
        factor = found.stages[name][1].facts["tuning"]["factor"]
        rate = getattr(parse_recipe(SMALL).train, kind).lr * factor
        fixed = varied(SMALL, train={"tune": "off", kind: {"lr": rate}})
        own = find(fixed, seeds=2, runs_dir=tmp_path, threads=1)
        for seed in (0, 1):
            ours = Ticket.load(found.stages[name][seed].files.ticket)
            theirs = Ticket.load(own.stages[name][seed].files.ticket)
            assert all(
                np.array_equal(a.weight(), b.weight())
                for a, b in zip(ours.layers, theirs.layers, strict=True)
            )
            assert ours.metadata["rate_factor"] == factor


@pytest.mark.slow
def test_no_trial_looks_at_a_test_sample(found, runs):
    places = [path for path in (runs / ".rates").glob("*/x*") if path.is_dir()]
    assert len(places) >= 9
    for place in places:
        assert {path.name for path in place.iterdir()} == {"trial.json", "log.jsonl"}
        assert "test" not in (place / "trial.json").read_text()


@pytest.mark.slow
def test_trials_are_shared_with_a_recipe_that_trains_the_same(found, runs):
    before = set((runs / ".rates").iterdir())
    other = find(varied(SMALL, ticket={"density": 0.3}), runs_dir=runs, threads=1)
    new = set((runs / ".rates").iterdir()) - before
    assert len(new) == 2  # those of the ticket and of the random mask; the dense net has them
    assert other.stages["dense"][0].facts["tuning"] == found.stages["dense"][0].facts["tuning"]


@pytest.mark.slow
def test_a_seed_that_comes_first_tunes_on_the_recipe_s_own(found, tmp_path):
    """A second seed on its own does the trials, and the stages they stand on, itself."""
    from spiketicket.experiment.seed import run_seed
    from spiketicket.experiment.setup import Context, prepare_experiment

    recipe, context = parse_recipe(SMALL), Context(threads=1)
    experiment = prepare_experiment(recipe, context)
    folder = RunFolder.of(recipe, tmp_path)
    made = run_seed(experiment, folder, 1, context)
    assert made["random_trained"].files.ticket.read_bytes() == (
        found.stages["random_trained"][1].files.ticket.read_bytes()
    )
    assert folder.seed(0).stage("ticket").finished
    assert not folder.seed(0).stage("dense").finished


@pytest.mark.slow
def test_killed_in_a_trial_and_gone_on(found, tmp_path):
    recipe = tmp_path / "r.toml"
    recipe.write_text(to_toml(varied(SMALL, train={"checkpoint_steps": 1})))
    command = [sys.executable, "-c", "from spiketicket.cli import main; main()", "find"]
    command += [str(recipe), "--seeds", "2", "--threads", "1", "--quiet", "--no-report"]
    command += ["--runs", str(tmp_path / "runs")]
    process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})
    deadline = time.monotonic() + 60
    while not list((tmp_path / "runs").glob(".rates/*/x1/checkpoint.pt")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    made = find(load_recipe(recipe), seeds=2, runs_dir=tmp_path / "runs", threads=1)
    for name, outcomes in found.stages.items():
        for ours, theirs in zip(outcomes, made.stages[name], strict=True):
            assert ours.facts["tuning"] == theirs.facts["tuning"]
            assert ours.test_accuracy == theirs.test_accuracy


@pytest.mark.slow
def test_a_rate_that_diverges_is_passed_over(tmp_path):
    wild = varied(
        SMALL,
        model={"weights": "float", "bn_affine": True},
        train={"weights": {"name": "sgd", "lr": 1e6}},
        controls={"random_trained": False},
    )
    with pytest.raises(UserError, match=r"diverged|is not a number"):  # the least of them does too
        find(wild, runs_dir=tmp_path, threads=1)
    trials = [json.loads(p.read_text()) for p in tmp_path.glob(".rates/*/x*/trial.json")]
    diverged = [t["validation_accuracy"] for t in trials if t["validation_loss"] is None]
    assert diverged
    assert set(diverged) == {0.0}


def test_stages_that_train_the_same_kind_of_net_have_one_rate():
    ladder = varied(
        SMALL,
        model={"name": "spikformer", "width": 1.0, "dim": 16, "depth": 1, "heads": 2, "pools": 1},
        ticket={"name": "multisp", "keep": 0.5, "ranker": "selector"},
        controls={},
    )
    of = {stage.name: rate_stage(ladder, stage).name for stage in stages_of(ladder)}
    assert of["selector"] == "dense"
    assert of["patch"] == of["patch_center"] == of["patch_random"] == "patch_random"
    assert of["pepsp"] == "pepsp"
    assert of["pepsp_random_trained"] == "pepsp_random_trained"
    bare = varied(to_dict(ladder), controls={"dense": False})
    selector = stages_of(bare)[0]
    assert rate_stage(bare, selector).name == "dense"


def test_a_trial_scales_what_counts_epochs():
    recipe = varied(
        SMALL,
        ticket={"ramp_epochs": 3},
        train={"epochs": 5, "timestep_ramp": [[4, 1]]},
        model={"timesteps": 2},
    )
    short = halved(stages_of(recipe)[0], recipe).schedule(recipe)
    assert (short.epochs, short.timestep_ramp) == (3, ((2, 1),))
    assert recipe.ticket.shortened(3 / 5).ramp_epochs == 1


def test_the_hash_of_a_recipe_that_is_not_tuned_is_what_it_was():
    off = varied(SMALL, train={"tune": "off"})
    assert off.hash != parse_recipe(SMALL).hash
    stated = to_dict(off)
    del stated["train"]["tune"]  # as version 0.2 wrote it
    assert parse_recipe(as_written(stated)).hash == off.hash
    assert parse_recipe(as_written(to_dict(parse_recipe(SMALL)))).hash == parse_recipe(SMALL).hash


@pytest.mark.slow
def test_a_run_folder_s_recipe_without_the_setting_is_not_tuned(tmp_path):
    off = varied(SMALL, train={"tune": "off", "epochs": 1}, controls={"random_trained": False})
    made = find(off, runs_dir=tmp_path, threads=1)
    path = RunFolder(made.folder).recipe
    path.write_text(path.read_text().replace('tune = "off"\n', ""))
    assert load_recipe(path).hash == off.hash
    assert "tuning" not in json.loads((made.folder / "result.json").read_text())["stages"][0]


def rates_of(runs):
    """The folder of the ticket's trials."""
    return next(path.parent.parent for path in runs.glob(".rates/*/x4/trial.json"))


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """A recipe of one stage whose rates were tried, and the folder of its runs."""
    recipe = varied(SMALL, train={"epochs": 2}, controls={"dense": False, "random_trained": False})
    runs = tmp_path_factory.mktemp("bare")
    find(recipe, runs_dir=runs, threads=1)
    return recipe, runs


def copied(bare, folder):
    """The trials alone, copied to another folder of runs."""
    recipe, runs = bare
    shutil.copytree(runs / ".rates", folder / ".rates")
    return recipe, rates_of(folder)


@pytest.mark.slow
@pytest.mark.parametrize(
    "forged",
    [
        {"factor": 1.0},
        {"factor": 1e30},
        {"factor": True},
        {"validation_accuracy": 1000.0},
        {"validation_loss": "low"},
        {"validation_loss": -1.0},
        {"wall_s": "x"},
        {"wall_s": -1.0},
        {"epochs": 40},
        {"epochs": -1},
    ],
    ids=str,
)
def test_a_forged_trial_is_refused(bare, tmp_path, forged):
    recipe, rates = copied(bare, tmp_path)
    path = rates / "x4" / "trial.json"
    record = json.loads(path.read_text()) | forged
    if "epochs" not in forged:  # what has a digest may not be edited at all
        record.pop("digest", None)
    path.write_text(json.dumps(record))
    with pytest.raises(UserError, match=r"x4/trial\.json") as caught:
        find(recipe, runs_dir=tmp_path, threads=1)
    assert "Delete" in str(caught.value)


@pytest.mark.slow
def test_a_trial_of_no_factor_that_is_tried_is_not_read(bare, tmp_path):
    recipe, rates = copied(bare, tmp_path)
    for factor in (999.0, -1.0):
        place = rates / f"x{factor:g}"
        place.mkdir()
        told = trial(factor, 100.0, 0.0) | {"wall_s": 1.0}
        (place / "trial.json").write_text(json.dumps(told))
    made = find(recipe, runs_dir=tmp_path, threads=1)
    assert {t["factor"] for t in made.stages["ticket"][0].facts["tuning"]["trials"]} < {
        4.0**k for k in range(-3, 4)
    }


@pytest.mark.slow
@pytest.mark.parametrize("depth", [0, 1])
def test_trials_are_not_written_through_a_link(bare, tmp_path, depth):
    recipe, rates = copied(bare, tmp_path / "runs")
    link = (rates.parent, rates)[depth]
    own = tmp_path / "own"
    link.rename(own)
    link.symlink_to(own)
    place = next(own.glob("**/x4"))
    (place / "trial.json").unlink()
    (place / "precious.txt").touch()
    with pytest.raises(UserError, match="is a symbolic link"):
        find(recipe, runs_dir=tmp_path / "runs", threads=1)
    assert (place / "precious.txt").exists()


@pytest.mark.slow
def test_another_recipe_goes_on_with_a_trial_that_was_stopped(tmp_path):
    """The dense net's trials are those of every density."""

    class Stop(NullReporter):
        def step(self, epoch, step, *args):
            if step == 1:
                raise KeyboardInterrupt

    def recipe(density):
        return varied(SMALL, ticket={"density": density}, train={"checkpoint_steps": 1})

    with pytest.raises(KeyboardInterrupt):
        train_dense(recipe(0.5), runs_dir=tmp_path, threads=1, reporter=Stop())
    assert list(tmp_path.glob(".rates/*/x0.25/checkpoint.pt"))
    train_dense(recipe(0.3), runs_dir=tmp_path, threads=1)
