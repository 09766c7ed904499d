"""find --budget for real: every kind of recipe is timed, and a stopped run ends as a whole one."""

import pytest
from recipes import varied
from small_plans import BASE, LADDER

from spiketicket.experiment import cost
from spiketicket.experiment import time_plan as module
from spiketicket.experiment.find import find
from spiketicket.experiment.setup import Context, prepare_experiment
from spiketicket.experiment.time_plan import PART, candidates
from spiketicket.methods.stages import stages_of
from spiketicket.progress import NullReporter
from spiketicket.recipe import load_recipe

pytestmark = pytest.mark.slow


def recipe(**sections):
    return varied(BASE, **sections)


class _StoppedError(Exception):
    pass


class Stops(NullReporter):
    """Ends a run at a step, as a signal would; says what it heard."""

    def __init__(self, after=10**9):
        self.left, self.said = after, []

    def step(self, *args):
        self.left -= 1
        if self.left < 0:
            raise _StoppedError

    def message(self, text):
        self.said.append(text)


def bytes_of(folder):
    kinds = ("*.ticket", "*.npy", "result.json", "recipe.toml", "stages.json")
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for kind in kinds
        for path in sorted(folder.rglob(kind))
    }


def test_a_stopped_run_goes_on_with_its_plan_to_the_same_bytes(tmp_path, one_thread):
    controls = {"random_trained": False, "random_frozen": False}
    small = recipe(data={"train_limit": 100}, model={"timesteps": 2}, controls=controls)
    stopped, whole = tmp_path / "stopped", tmp_path / "whole"
    with pytest.raises(_StoppedError):
        find(small, budget="2s", runs_dir=stopped, threads=1, reporter=Stops(3))
    (folder,) = stopped.glob("tiny-*")
    assert (folder / "seed-0/ticket/checkpoint.pt").exists()
    listener = Stops()
    found = find(small, budget="2s", runs_dir=stopped, threads=1, reporter=listener)
    assert found.folder == folder
    assert "the plan of an earlier start" in listener.said[0]
    made = load_recipe(folder / "recipe.toml")
    assert made.folder_name == folder.name
    assert made.hash == found.recipe.hash != small.hash
    epochs = {row["trained_epochs"] for row in found.to_dict()["stages"]}
    assert epochs == {made.train.epochs}
    # the same as a recipe that has these values, which nobody has timed
    plain = find(made, runs_dir=whole, threads=1)
    assert bytes_of(plain.folder) == bytes_of(folder)
    took = [row["wall_s"] for row in found.to_dict()["stages"]]
    assert max(took) < 60  # of two seconds, on however busy a machine


@pytest.mark.parametrize(
    "sections",
    [
        LADDER | {"data": {"train_limit": 40}, "train": {"batch_size": 40, "epochs": 1}},
        {
            "data": {"name": "digits_events", "train_limit": 60, "steps": 3},
            "model": {"timesteps": 3, "width": 0.125},
        },
        {"neuron": {"name": "relu"}, "model": {"weights": "float", "timesteps": 1}},
    ],
    ids=["ladder", "recordings of 3 frames", "without time"],
)
def test_every_kind_of_recipe_can_be_timed(sections, one_thread, monkeypatch):
    monkeypatch.setattr(cost, "_PASSES", 1)
    base = recipe(**sections)
    context = Context(threads=1)
    experiment = prepare_experiment(base, context)
    steps, sizes, costs = module._timed(experiment)
    assert steps == {4: (1, 2), 3: (1,), 1: ()}[base.model.timesteps]
    assert {*costs} == {stage.name for stage in stages_of(base)}
    for known in costs.values():
        assert {*known.train_s} <= {*steps, base.model.timesteps}
        assert known.test_s[base.model.timesteps] > 0
    one = module.seconds_of(candidates(base, steps)[0], costs, sizes)
    enough = max(one.values()) / PART * 1.01
    assert module.longest_fitting(
        candidates(base, steps), PART * enough, lambda r: module.seconds_of(r, costs, sizes)
    )
