"""``find`` on a network and samples that are in memory."""

import numpy as np
import pytest
import torch
from custom_networks import images
from torch import nn

import spiketicket
from spiketicket.data import given, load_dataset
from spiketicket.errors import UserError
from spiketicket.experiment.given import given_recipe
from spiketicket.experiment.measure import measure_run
from spiketicket.neurons import lif

SETTINGS = {
    "ticket": {"density": 0.4},
    "train": {"epochs": 2, "batch_size": 64, "tune": "off"},
    "model": {"weights": "float"},
}


class Net(nn.Module):
    def __init__(self, hidden=40):
        super().__init__()
        self.timesteps = 3
        self.one, self.two = nn.Linear(64, hidden), nn.Linear(hidden, 10)
        self.lif = lif.LIF(lif.Config(v_threshold=0.5), "eager")

    def forward(self, x):
        y = self.one(x.flatten(1))[None].expand(self.timesteps, -1, -1)
        return self.two(self.lif(y))


def samples(count=300):
    x, y = images(count, side=8)
    return (x * 255).round().to(torch.uint8), y


def found(tmp_path, **changed):
    torch.manual_seed(0)  # of the biases, which are the network's own
    (x, y), net = samples(), Net()
    call = {"train": (x[:200], y[:200]), "test": (x[200:], y[200:]), "overrides": SETTINGS}
    return spiketicket.find(model=net, runs_dir=tmp_path, threads=1, **{**call, **changed})


@pytest.mark.slow
def test_controls_a_verdict_and_a_ticket_that_needs_no_code(tmp_path):
    result = found(tmp_path)
    stages = {path.name for path in result.folder.glob("seed-0/*")}
    assert {"ticket", "dense", "random_trained", "random_frozen"} <= stages
    assert (result.folder / "result.json").exists()
    (path,) = result.folder.glob("seed-0/ticket/*.ticket")
    ticket = spiketicket.Ticket.load(path)
    assert "untraced" not in ticket.metadata["network"]
    x, y = samples()
    engine = spiketicket.Engine(ticket)
    right = (engine.predict(x[200:].numpy()) == y[200:].numpy()).mean()
    assert abs(100 * right - ticket.metadata["accuracy"]["test"]) < 1.5
    measured = measure_run(result.folder, images=20)
    assert not measured.failed
    for stage in measured.stages:
        assert stage.measured["total"]["acs"] > 0
    before = path.read_bytes()
    assert found(tmp_path).folder == result.folder, "the same call goes on in the same folder"
    assert path.read_bytes() == before


def test_other_samples_or_another_network_are_another_recipe():
    (x, y), made = samples(100), set()
    for size, pixels in ((40, x), (40, x), (40, x.flip(0)), (41, x)):
        torch.manual_seed(0)
        recipe, _ = given_recipe(Net(size), (pixels, y), (x, y))
        made.add(recipe.folder_name)
    assert len(made) == 3


@pytest.mark.parametrize("form", ["numpy", "floats", "dataset"])
def test_forms_of_samples_that_are_the_same(form):
    x, y = samples(60)
    other = {
        "numpy": (x.numpy(), y.numpy()),
        "floats": (x.float() / 255, y),
        "dataset": torch.utils.data.TensorDataset(x.float() / 255, y),
    }[form]
    wanted, _ = given_recipe(Net(), (x, y), (x, y))
    recipe, _ = given_recipe(Net(), other, other)
    assert recipe.data.checksum == wanted.data.checksum
    dataset = load_dataset(recipe.data)
    assert dataset.mean[0] == pytest.approx(float(x.float().mean() / 255), abs=1e-4)
    assert dataset.std[0] == pytest.approx(float(x.float().std() / 255), abs=1e-3)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"train": 3}, "train: is no set of samples"),
        ({"train": (np.zeros((4, 1, 8, 8), np.float32) - 0.5, np.zeros(4, int))}, "must be bytes"),
        ({"train": (np.zeros((4, 1, 8, 8), np.uint8), np.zeros(4))}, "one class for each"),
        ({"overrides": {"data": {"checksum": "ab" * 32}}}, "follows from the arguments"),
        ({"overrides": {"ticket": {"density": 3}}}, "density"),
    ],
)
def test_what_is_refused(changed, said):
    x, y = samples(60)
    call = {"train": (x, y), "test": (x, y), **changed}
    with pytest.raises(UserError, match=said):
        spiketicket.find(model=Net(), **call)


def test_a_recipe_or_a_model():
    with pytest.raises(UserError, match="needs a recipe, or a model"):
        spiketicket.find()
    recipe, _ = given_recipe(Net(), samples(60), samples(60))
    with pytest.raises(UserError, match="not both"):
        spiketicket.find(recipe, model=Net())


def test_samples_of_another_process_are_named():
    with pytest.raises(UserError, match="in the memory of a Python program"):
        load_dataset(given.Config(checksum="0" * 64))
