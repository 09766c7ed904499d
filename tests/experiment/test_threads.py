"""How many threads a run takes, by a rule."""

from __future__ import annotations

import pytest
import torch
from recipes import varied

from spiketicket.experiment import threads
from spiketicket.experiment.find import find, train_dense
from spiketicket.machine import cores, parallel
from spiketicket.models.blocks import DataShape
from spiketicket.recipe import load_recipe, parse_recipe, to_dict
from spiketicket.recipe.consent import Consent, given
from spiketicket.recipe.named import packaged_recipes

pytestmark = pytest.mark.slow


DIGITS = DataShape(channels=1, height=8, width=8, classes=10)


@pytest.fixture
def told():
    """Sets how many threads PyTorch was told."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.fixture
def many(monkeypatch, told):
    """A machine with 16 cores; threads that are not started cost nothing."""
    monkeypatch.setattr(cores, "cores", lambda: 16)
    told(16)


@pytest.fixture
def demo():
    recipe = load_recipe(packaged_recipes()["digits-binw"])
    return lambda **train: _changed(recipe, train)


def _changed(recipe, train):
    return recipe.model_copy(update={"train": recipe.train.model_copy(update=train)})


@pytest.mark.parametrize(
    ("millions", "most", "wanted"),
    [
        (0, 8, 1),
        (63.9, 8, 1),
        (127.9, 8, 1),
        (128, 8, 2),
        (152, 8, 2),
        (152, 1, 1),
        (640, 8, 8),
        (640, 64, 10),
        (9_000, 8, 8),
    ],
)
def test_a_thread_for_so_much_work(millions, most, wanted):
    assert threads.threads_for(int(millions * 1e6), most) == wanted


def test_work_is_that_of_the_layers_at_all_time_steps(demo):
    recipe = demo()
    one = threads.batch_macs(recipe, DIGITS)
    assert one == 152_502_272
    assert threads.batch_macs(demo(batch_size=32), DIGITS) == one // 2
    longer = recipe.model_copy(update={"model": recipe.model.model_copy(update={"timesteps": 8})})
    # an image is the same at every step: the first layer is computed once
    assert 1.9 * one < threads.batch_macs(longer, DIGITS) < 2 * one


def test_work_of_recordings_and_of_other_kernels(demo):
    shape = DataShape(channels=2, height=8, width=8, classes=10, frames=4)
    frames = threads.batch_macs(demo(kernel="native"), shape)
    assert frames == threads.batch_macs(demo(kernel="eager"), shape)
    assert frames > threads.batch_macs(demo(), DIGITS)


def test_counting_draws_nothing_from_the_callers_numbers(demo):
    torch.manual_seed(3)
    wanted = torch.rand(2)
    torch.manual_seed(3)
    threads.batch_macs(demo(), DIGITS)
    assert torch.equal(torch.rand(2), wanted)


def test_what_is_chosen_depends_on_the_recipe_the_cores_and_what_pytorch_was_told(
    monkeypatch, many, told, demo
):
    assert threads.choose(demo(), DIGITS) == 2
    assert threads.choose(demo(batch_size=16), DIGITS) == 1
    assert threads.choose(demo(batch_size=256), DIGITS) == 9
    told(4)
    assert threads.choose(demo(batch_size=256), DIGITS) == 4
    monkeypatch.setattr(cores, "cores", lambda: 3)
    assert threads.choose(demo(batch_size=256), DIGITS) == 3


@pytest.mark.parametrize(("given", "wanted"), [(None, 1), (3, 3)])
def test_a_run_says_how_many_it_took_and_leaves_pytorch_as_it_was(
    tmp_path, many, demo, given, wanted
):
    short = demo(epochs=1, batch_size=32)
    result = train_dense(short, runs_dir=tmp_path, threads=given)
    assert result.timing["threads"] == wanted
    assert torch.get_num_threads() == 16


def test_a_search_says_how_many_it_took(tmp_path, many, demo):
    recipe = demo(epochs=1)
    controls = dict.fromkeys(type(recipe.controls).model_fields, False)
    recipe = recipe.model_copy(update={"controls": recipe.controls.model_copy(update=controls)})
    assert find(recipe, runs_dir=tmp_path).to_dict()["threads"] == 2
    assert torch.get_num_threads() == 16


def test_a_network_of_ones_own_and_a_transformer_are_counted(tmp_path, monkeypatch, demo):
    (tmp_path / "linear_of_a_test.py").write_text(
        "from torch import nn\n"
        "def build():\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, 20), nn.ReLU(), nn.Linear(20, 10))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    table = to_dict(demo())
    table |= {"model": {"name": "linear_of_a_test:build"}, "neuron": {"name": "custom"}}
    with given(Consent("linear_of_a_test:build")):
        assert threads.batch_macs(parse_recipe(table), DIGITS) == 64 * (64 * 20 + 20 * 10)
    multisp = load_recipe(packaged_recipes()["digits-multisp"])
    assert threads.batch_macs(multisp, DIGITS) > 10 * threads.MACS_A_THREAD


NETS = {
    "convnet": {},
    "float, ReLU": {"model": {"weights": "float"}, "neuron": {"name": "relu"}},
    "eager": {"train": {"kernel": "eager"}},
    "ramp": {"model": {"timesteps": 2}, "train": {"timestep_ramp": [[1, 1]]}},
    "bfloat16": {"train": {"precision": "bf16"}},
    "vgg9": {"model": {"name": "vgg9", "width": 0.0625}, "data": {"size": 32}},
    "resconv6": {
        "model": {"name": "resconv6", "width": 0.1, "shortcuts": True},
        "train": {"precision": "bf16"},
    },
    "spikformer": {
        "model": {
            "name": "spikformer",
            "width": 1.0,
            "dim": 32,
            "depth": 1,
            "heads": 2,
            "pools": 1,
        },
        "ticket": {"name": "multisp", "keep": 0.5, "patch_controls": [], "rungs": ["pepsp"]},
    },
    "recordings": {"data": {"name": "digits_events", "steps": 2, "height": 16, "width": 16}},
}


@pytest.mark.parametrize("kind", NETS)
def test_threads_change_no_byte(kind, tmp_path, monkeypatch):
    """Chunks small enough that every layer is shared."""
    monkeypatch.setattr(parallel, "MACS_A_CHUNK", 100_000)
    monkeypatch.setattr(parallel, "PLACES_A_CHUNK", 1)
    base = {
        "name": "threads",
        "data": {"name": "digits", "train_limit": 60},
        "model": {"name": "convnet", "width": 0.5, "timesteps": 2, "weights": "binary"},
        "neuron": {"name": "lif"},
        "ticket": {"name": "edge_popup", "density": 0.5},
        "train": {"epochs": 2, "batch_size": 30, "tune": "off"},
        "controls": {"random_frozen": False},
    }
    changes = NETS[kind]
    if "ticket" in changes:
        base["ticket"] = {"name": "multisp", "density": 0.5}
    recipe = varied(base, **changes)
    files = []
    for count in (1, 3):
        found = find(recipe, runs_dir=tmp_path / str(count), threads=count)
        files.append(
            {
                path.relative_to(found.folder).as_posix(): path.read_bytes()
                for kind in ("*.ticket", "*.npy", "result.json")
                for path in found.folder.rglob(kind)
            }
        )
        assert {o[0].timing["threads"] for o in found.stages.values()} == {count}
    assert files[0] == files[1]
    assert len(files[0]) > 6
