"""Parts of a recipe from end to end: they resume, are shared by controls, and are refused early."""

import json

import numpy as np
import pytest
import torch
from recipes import varied

from spiketicket.cli.print_result import print_find
from spiketicket.data import load_dataset
from spiketicket.data.batches import ordered_batches
from spiketicket.errors import UserError
from spiketicket.experiment.evaluate import evaluate_ticket
from spiketicket.experiment.find import find
from spiketicket.experiment.keys import rate_inputs, stage_keys
from spiketicket.experiment.setup import Context, prepare_experiment
from spiketicket.machine import processor
from spiketicket.methods.stages import stage_of
from spiketicket.models.of_ticket import from_ticket
from spiketicket.progress import NullReporter
from spiketicket.recipe import as_written, parse_recipe, to_dict
from spiketicket.ticket import Ticket
from spiketicket.training.precision import resolved, widest

BASE = {
    "name": "parts",
    "data": {
        "name": "digits",
        "train_limit": 120,
        "pad_crop": 1,
        "pad_mode": "reflect",
        "flip": "alternate",
        "cutout": 2,
        "test_flip": True,
    },
    "model": {"name": "convnet", "width": 0.125, "timesteps": 2},
    "neuron": {"name": "lif"},
    "ticket": {"name": "edge_popup", "density": 0.4},
    "train": {
        "epochs": 2,
        "batch_size": 20,
        "tune": "off",
        "precision": "fp32",
        "checkpoint_steps": 1,
        "average": 0.8,
        "bn_momentum": 0.3,
        "bn_statistics": "fresh",
        "schedule": "linear",
        "label_smoothing": 0.2,
        "scores": {"betas": [0.9, 0.99]},
    },
}


class Stop(Exception):
    pass


class Stopping(NullReporter):
    """Ends the process's work at a step of every stage that trains."""

    def __init__(self, at):
        self.at, self.stopped = at, set()

    def stage_started(self, title, *args):
        self.title = title

    def step(self, epoch, step, *args):
        if (epoch, step) == self.at and self.title not in self.stopped:
            self.stopped.add(self.title)
            raise Stop


def files(folder):
    kept = ("result.json", "predictions.npy")
    paths = sorted(p for p in folder.rglob("*") if p.name in kept or p.suffix == ".ticket")
    return {str(p.relative_to(folder)): p.read_bytes() for p in paths}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return find(parse_recipe(BASE), runs_dir=tmp_path_factory.mktemp("runs"))


def test_a_run_with_every_part_is_stopped_in_each_stage_and_ends_with_the_same_bytes(
    found, tmp_path
):
    stopping = Stopping((1, 2))
    for _ in range(3):  # ticket, dense, trained random mask
        with pytest.raises(Stop):
            find(parse_recipe(BASE), runs_dir=tmp_path, reporter=stopping)
    again = find(parse_recipe(BASE), runs_dir=tmp_path, reporter=stopping)
    assert len(stopping.stopped) == 3
    whole = files(found.folder)
    assert len(whole) >= 13
    assert files(again.folder) == whole


def test_test_time_flip_is_a_row_of_its_own_and_no_part_of_the_verdict(found, capsys):
    result = json.loads(json.dumps(found.to_dict()))
    data = load_dataset(found.recipe.data)
    x, y = (torch.from_numpy(part) for part in (data.test.x, data.test.y))
    for row in result["stages"]:
        place = found.folder / "seed-0" / row["stage"]
        model = from_ticket(Ticket.load(place / "model.ticket")).eval()
        with torch.no_grad():
            logits = [
                (model(images), model(images.flip(3)))
                for images, _ in ordered_batches(x, y, data.mean, data.std, 20)
            ]
        mean = torch.cat([(a + b) / 2 for a, b in logits]).argmax(1)
        right = 100 * (mean == y).double().mean().item()
        assert row["test_accuracy_flip"] == [pytest.approx(right)]
        plain = torch.cat([a for a, _ in logits]).argmax(1)
        np.testing.assert_array_equal(np.load(place / "predictions.npy"), plain.numpy())
    ticket = result["stages"][0]
    compared = result["verdict"]["comparisons"]["dense"]
    assert compared["ticket_accuracy"] == pytest.approx(ticket["test_accuracy"][0])
    print_find(result)
    assert "ticket, test-time flip" in capsys.readouterr().out
    both = evaluate_ticket(found.tickets[0], flip=True).to_dict()
    assert both["test_accuracy_flip"] == pytest.approx(ticket["test_accuracy_flip"][0], abs=0.6)
    assert both["stated_accuracy"] == pytest.approx(ticket["test_accuracy"][0])
    assert "test_accuracy_flip" not in evaluate_ticket(found.tickets[0]).to_dict()


def test_parts_that_are_not_used_are_written_nowhere(found):
    plain = varied(BASE, train={"average": 0.0}, data={"cutout": 0})
    written = to_dict(plain)
    assert "average" not in written["train"]
    assert "cutout" not in written["data"]
    assert {"average", "bn_momentum", "schedule"} <= set(to_dict(found.recipe)["train"])
    for recipe in (plain, found.recipe):
        assert parse_recipe(as_written(to_dict(recipe))) == recipe
    assert plain.hash != found.recipe.hash
    keys = [stage_keys(recipe, 0, "cpu", {"a": "1"}) for recipe in (plain, found.recipe)]
    assert set(keys[0].values()).isdisjoint(keys[1].values())


WIDE = {"name": "convnet", "width": 0.5, "timesteps": 1}
AUTO = varied(BASE, model=WIDE, train={"precision": "auto", "epochs": 1}, data={"test_flip": False})


def has(monkeypatch, flags):
    monkeypatch.setattr(processor, "features", lambda: flags)


@pytest.mark.parametrize(
    ("flags", "width", "expected"),
    [
        ("avx512f avx512_bf16", 0.5, "bf16"),
        ("avx512f amx_bf16", 0.5, "bf16"),
        ("avx512f avx512_bf16", 0.25, "fp32"),
        ("avx2", 0.5, "fp32"),
        ("", 8.0, "fp32"),
    ],
)
def test_auto_is_bf16_on_processors_that_multiply_it_in_wide_networks(
    flags, width, expected, monkeypatch
):
    has(monkeypatch, flags)
    recipe = varied(BASE, model={**WIDE, "width": width}, train={"precision": "auto"})
    assert widest(recipe) == round(128 * width)
    assert resolved(recipe, "cpu") == expected
    assert prepare_experiment(recipe, Context()).precision == expected
    for asked in ("fp32", "bf16"):
        assert resolved(varied(BASE, train={"precision": asked}), "cpu") == asked


def test_stages_are_shared_with_the_precision_that_auto_comes_to(monkeypatch):
    def keys(precision):
        recipe = varied(BASE, model=WIDE, train={"precision": precision, "tune": "rates"})
        dense = stage_of(recipe, "dense")
        return stage_keys(recipe, 0, "cpu", {}), rate_inputs(recipe, dense, "cpu", {})

    for flags, same, other in (("avx512_bf16", "bf16", "fp32"), ("avx2", "fp32", "bf16")):
        has(monkeypatch, flags)
        assert keys("auto") == keys(same)
        assert keys("auto")[0] != keys(other)[0]
        assert keys("auto")[1] != keys(other)[1]


def test_a_run_is_in_one_precision_which_its_files_say(tmp_path, monkeypatch):
    has(monkeypatch, "avx512_bf16")
    found = find(AUTO, runs_dir=tmp_path)
    assert {row["precision"] for row in found.to_dict()["stages"]} == {"bf16"}
    assert Ticket.load(found.tickets[0]).metadata["precision"] == "bf16"
    has(monkeypatch, "avx2")
    assert find(AUTO, runs_dir=tmp_path).to_dict() == found.to_dict()  # nothing is left to train
    with pytest.raises(UserError, match=r"was begun in bf16, and train.precision = \"auto\" is"):
        find(AUTO, seeds=2, runs_dir=tmp_path)
    assert not list((tmp_path / AUTO.folder_name / "seed-1").glob("*/log.jsonl"))
    assert not any("in different precision" in note for note in found.notes)


def test_a_checkpoint_of_another_precision_is_not_gone_on_with(tmp_path, monkeypatch):
    has(monkeypatch, "avx512_bf16")
    with pytest.raises(Stop):
        find(AUTO, runs_dir=tmp_path, reporter=Stopping((0, 3)))
    begun = tmp_path / AUTO.folder_name / "data.json"
    begun.write_text(begun.read_text().replace("bf16", "fp32"))
    has(monkeypatch, "avx2")
    with pytest.raises(UserError, match="checkpoint belongs to another training"):
        find(AUTO, runs_dir=tmp_path)


RAMP = {"size_ramp": [[1, 6]]}


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({}, r"train.size_ramp: convnet takes pictures of one size only"),
        (
            {"data": {"name": "digits_events", "steps": 2}},
            r"train.size_ramp: frames count events",
        ),
        ({"train": {"size_ramp": [[1, 8]]}}, r"must be less than the pictures' 8 pixels \(got 8\)"),
    ],
)
def test_ramps_of_sizes_are_refused_before_anything_is_trained(sections, said, tmp_path):
    tables = {key: dict(value) if isinstance(value, dict) else value for key, value in BASE.items()}
    tables["data"] = {"name": "digits"}
    tables["train"] = {**BASE["train"], **RAMP, **sections.get("train", {})}
    tables["data"] = sections.get("data", tables["data"])
    with pytest.raises(UserError, match=said):
        find(parse_recipe(tables), runs_dir=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_network_with_global_pooling_takes_smaller_pictures():
    recipe = varied(BASE, model={"name": "resnet19", "width": 0.03, "timesteps": 1}, train=RAMP)
    assert prepare_experiment(recipe, Context()).recipe.train.size_ramp == ((1, 6),)


def test_vgg9_takes_one_size(tmp_path):
    from spiketicket.methods.sizes import check_sizes
    from spiketicket.models.blocks import DataShape

    shape = DataShape(channels=3, height=32, width=32, classes=10)
    recipe = varied(BASE, model={"name": "vgg9", "width": 0.05}, train={"size_ramp": [[1, 24]]})
    with pytest.raises(UserError, match="vgg9 takes pictures of one size only"):
        check_sizes(recipe, shape, pictures=True)
