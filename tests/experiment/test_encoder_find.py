"""Runs with an input encoder: every net of a run has the same frozen filters, of training data."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from one_stage import stage_of
from recipes import varied

from spiketicket.data import load_dataset, training_split
from spiketicket.data.types import Samples
from spiketicket.data.whitening import whitening_filters, whitening_samples
from spiketicket.errors import UserError
from spiketicket.experiment.evaluate import evaluate_ticket
from spiketicket.experiment.find import find
from spiketicket.experiment.folder import SeedFolder
from spiketicket.experiment.keys import stage_keys
from spiketicket.experiment.setup import Experiment
from spiketicket.experiment.train import scene_of
from spiketicket.models.of_ticket import from_ticket
from spiketicket.recipe import load_recipe, parse_recipe, to_toml
from spiketicket.ticket import Ticket, TicketError
from spiketicket.training import loop

BASE = {
    "name": "tiny",
    "data": {"name": "digits", "train_limit": 300},
    "model": {"name": "convnet", "width": 0.125, "timesteps": 2, "encoder": "whiten"},
    "neuron": {"name": "lif"},
    "ticket": {"name": "edge_popup", "density": 0.3},
    "train": {"epochs": 2, "batch_size": 64, "tune": "off"},
}
KEY = "input_encoder.filters"


def recipe(**sections):
    return varied(BASE, **sections)


def tickets(result):
    return {path.parent.name: Ticket.load(path) for path in result.folder.glob("seed-*/*/*.ticket")}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    made = recipe(
        ticket={"name": "edge_popup", "density": 0.3, "fine_tune_epochs": 1},
        controls={"quantised_ann": True, "shuffled": True},
    )
    return find(made, seeds=1, runs_dir=tmp_path_factory.mktemp("runs"))


@pytest.mark.slow
def test_ticket_controls_and_fine_tuning_have_the_filters_of_the_training_split(found):
    data = load_dataset(found.recipe.data)
    train, _ = training_split(data, found.recipe.data, 0)
    chosen = train.x[whitening_samples(train.y, 0)]
    expected = whitening_filters(chosen, data.mean, data.std)
    made = tickets(found)
    assert set(made) == {
        "ticket",
        "ticket_finetuned",
        "dense",
        "random_trained",
        "random_frozen",
        "shuffled",
        "quantised_ann",
    }
    for ticket in made.values():
        assert np.array_equal(ticket.tensors[KEY], expected)
        assert not any(layer.name.startswith("input_encoder") for layer in ticket.layers)
        assert ticket.metadata["network"]["args"]["model"]["encoder"] == "whiten"


def test_the_file_gives_the_accuracy_it_states(found):
    assert evaluate_ticket(found.tickets[0]).test_accuracy == pytest.approx(
        Ticket.load(found.tickets[0]).metadata["accuracy"]["test"]
    )


def filters_of(made, data, place):
    """Those of the net that the ticket is searched in."""
    experiment = Experiment(recipe=made, dataset=data, device=torch.device("cpu"), precision="fp32")
    batches, _ = experiment.split(0)
    scene = scene_of(experiment, stage_of(made, "ticket"), 0, SeedFolder(place), batches)
    return scene.model.input_encoder.filters


def test_a_validation_or_test_image_changes_no_filter_and_a_training_image_does(tmp_path):
    data = load_dataset(recipe().data)
    train, held_out = training_split(data, recipe().data, 0)
    trained = {image.tobytes() for image in train.x}
    others = {image.tobytes() for image in held_out.x} - trained

    def changed(which):
        x = data.train.x.copy()
        picked = [i for i, image in enumerate(x) if image.tobytes() in which]
        x[picked] = 16 - x[picked].clip(0, 16)
        assert picked
        return replace(data, train=Samples(x, data.train.y))

    before = filters_of(recipe(), data, tmp_path)
    assert torch.equal(filters_of(recipe(), changed(others), tmp_path), before)
    assert not torch.equal(filters_of(recipe(), changed(trained), tmp_path), before)
    test = replace(data, test=Samples(255 - data.test.x, data.test.y))
    assert torch.equal(filters_of(recipe(), test, tmp_path), before)


class _Killed(Exception):
    pass


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_bytes(tmp_path, monkeypatch):
    made = recipe(
        model={"encoder": "whiten-lif"},
        train={"checkpoint_steps": 2},
        controls={"dense": False, "random_trained": False, "random_frozen": False},
    )
    whole = find(made, seeds=1, runs_dir=tmp_path / "whole")
    steps, step = [], loop._Run.step

    def dies(self, x, y):
        steps.append(1)
        if len(steps) == 4:
            raise _Killed
        step(self, x, y)

    monkeypatch.setattr(loop._Run, "step", dies)
    with pytest.raises(_Killed):
        find(made, seeds=1, runs_dir=tmp_path / "killed")
    monkeypatch.setattr(loop._Run, "step", step)
    again = find(made, seeds=1, runs_dir=tmp_path / "killed")
    assert again.tickets[0].read_bytes() == whole.tickets[0].read_bytes()


@pytest.mark.slow
def test_recordings_are_whitened_frame_by_frame(tmp_path):
    made = recipe(
        data={"name": "digits_events", "steps": 2, "train_limit": 150},
        controls={"dense": False, "random_trained": False, "random_frozen": False},
        train={"epochs": 2, "timestep_ramp": [[1, 1]]},
    )
    ticket = tickets(find(made, seeds=1, runs_dir=tmp_path))["ticket"]
    assert ticket.tensors[KEY].shape == (8, 2, 2, 2)


def test_too_few_samples_are_refused(tmp_path):
    with pytest.raises(UserError, match="100 training samples"):
        find(recipe(data={"train_limit": 99}), seeds=1, runs_dir=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_recipe_without_an_encoder_is_written_and_keyed_as_before(tmp_path):
    plain, named = recipe(model={"encoder": "none"}), recipe()
    assert "encoder" not in to_toml(plain)
    assert 'encoder = "whiten"' in to_toml(named)
    assert plain.hash != named.hash
    assert "encoder" not in plain.model_dump(mode="json")["model"]
    file = tmp_path / "recipe.toml"
    file.write_text(to_toml(named))
    assert load_recipe(file) == named
    keys = [stage_keys(made, 0, "cpu", {})["dense"] for made in (plain, named)]
    assert keys[0] != keys[1]
    with pytest.raises(UserError, match="encoder"):
        parse_recipe({**BASE, "model": {**BASE["model"], "encoder": "zca"}})


def test_files_whose_encoder_does_not_fit_are_refused(found):
    ticket = tickets(found)["ticket"]
    lost = {k: v for k, v in ticket.tensors.items() if k != KEY}
    hostile = [
        lost,
        {**lost, KEY: ticket.tensors[KEY][:2]},
        {**lost, KEY: ticket.tensors[KEY][:, :, :1]},
        {**lost, KEY: np.full_like(ticket.tensors[KEY], np.nan)},
    ]
    for tensors in hostile:
        with pytest.raises(TicketError):
            from_ticket(Ticket(ticket.layers, tensors, ticket.metadata))
    metadata = json.loads(json.dumps(dict(ticket.metadata)))
    for kind in ("none", "whiten-lif", "zca", 3, None):
        metadata["network"]["args"]["model"]["encoder"] = kind
        if kind == "whiten-lif":
            assert from_ticket(Ticket(ticket.layers, ticket.tensors, metadata))
            continue
        with pytest.raises(TicketError):
            from_ticket(Ticket(ticket.layers, ticket.tensors, metadata))


def test_the_loaded_net_has_it_frozen(found):
    ticket = tickets(found)["ticket"]
    net = from_ticket(ticket)
    assert np.array_equal(net.input_encoder.filters.numpy(), ticket.tensors[KEY])
    assert not any(name.startswith("input_encoder") for name, _ in net.named_parameters())


NETWORK = """
from torch import nn

def make(shape, width):
    return nn.Sequential(
        nn.Conv2d(shape.channels, width, 3), nn.BatchNorm2d(width), nn.ReLU(), nn.Flatten(),
        nn.Linear(width * 36, shape.classes),
    )
"""


@pytest.mark.slow
def test_a_custom_network_is_built_for_what_the_encoder_gives(tmp_path, monkeypatch):
    (tmp_path / "whitened_net.py").write_text(NETWORK)
    monkeypatch.syspath_prepend(tmp_path)
    model = {"name": "whitened_net:make", "timesteps": 1, "options": {"width": 4}}
    tables = {**BASE, "model": {**model, "encoder": "whiten"}, "neuron": {"name": "custom"}}
    own = {"network": "whitened_net:make", "options": {"width": 4}}
    result = find(parse_recipe(tables), seeds=1, runs_dir=tmp_path / "runs", **own)
    ticket = Ticket.load(result.tickets[0])
    assert {layer.name: layer.shape for layer in ticket.layers}["network.0"] == (4, 8, 3, 3)
    assert ticket.tensors[KEY].any()
    assert evaluate_ticket(result.tickets[0], **own).test_count == 360
    spiking = parse_recipe({**tables, "model": {**model, "encoder": "whiten-lif"}})
    with pytest.raises(UserError, match="brings its own neurons"):
        find(spiking, seeds=1, runs_dir=tmp_path / "runs", **own)


METHODS = {
    "channels": {"name": "channels", "density": 0.5},
    "snip": {"name": "snip", "density": 0.5, "samples": 40},
    "early time": {"name": "early_time", "density": 0.5},
    "imp": {"name": "imp", "density": 0.4, "rounds": 1},
}


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_methods_search_behind_it(tmp_path, method):
    made = {**BASE, "ticket": METHODS[method]}
    made["train"] = {**made["train"], "precision": "bf16" if method == "snip" else "fp32"}
    made["controls"] = {"dense": False, "random_trained": False, "random_frozen": False}
    made["model"] = {**made["model"], "timesteps": 3}
    result = find(parse_recipe(made), seeds=1, runs_dir=tmp_path)
    first, *rest = [ticket.tensors[KEY] for ticket in tickets(result).values()]
    assert all(np.array_equal(first, other) for other in rest)
    assert evaluate_ticket(result.tickets[0]).test_count == 360


@pytest.mark.slow
def test_a_ladder_has_it_on_every_rung(tmp_path):
    net = {"name": "spikformer", "dim": 16, "depth": 1, "heads": 2, "pools": 1, "timesteps": 2}
    tables = {
        **BASE,
        "model": {**net, "encoder": "whiten-lif"},
        "ticket": {"name": "multisp", "density": 0.5, "keep": 0.5, "fine_tune_epochs": 1},
        "train": {"epochs": 1, "batch_size": 64, "tune": "off"},
    }
    result = find(parse_recipe(tables), seeds=1, runs_dir=tmp_path)
    first, *rest = [ticket.tensors[KEY] for ticket in tickets(result).values()]
    assert rest
    assert all(np.array_equal(first, other) for other in rest)
