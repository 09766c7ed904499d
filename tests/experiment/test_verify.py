"""What a ticket says of itself, and whether it is so."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from spiketicket.experiment import verify as verify_module
from spiketicket.experiment.find import find
from spiketicket.experiment.stated import density_check, recipe_check, weights_check, words_check
from spiketicket.experiment.verify import Place, verify_ticket
from spiketicket.recipe import parse_recipe
from spiketicket.ticket import Ticket
from spiketicket.ticket.zoo import find_ticket

BASE = {
    "name": "tiny",
    "data": {"name": "digits", "train_limit": 200},
    "model": {"name": "convnet", "width": 0.25, "timesteps": 1},
    "neuron": {"name": "lif"},
    "ticket": {"name": "edge_popup", "density": 0.3},
    "train": {"epochs": 1, "batch_size": 64, "tune": "off", "kernel": "eager"},
    "controls": {"dense": False, "random_trained": False, "random_frozen": True},
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """The folder of a finished run and its ticket."""
    found = find(parse_recipe(BASE), runs_dir=tmp_path_factory.mktemp("runs"))
    return found.folder, found.tickets[0]


@pytest.fixture
def zoo():
    return Ticket.load(find_ticket("digits-binw").path)


def changed(ticket, layers=None, **meta):
    """The same ticket with other words or layers, and a digest that fits them."""
    kept = {k: v for k, v in ticket.metadata.items() if k not in ("format_version", *meta)}
    kept |= {key: value for key, value in meta.items() if value is not None}
    return Ticket(layers or ticket.layers, ticket.tensors, kept)


def states(found):
    return {check.name: check.state for check in found.checks}


def test_a_sound_ticket_fits_in_all(tiny):
    found = verify_ticket(tiny[1], rerun=True)
    assert set(states(found).values()) == {"fits"}
    assert list(states(found)) == [
        "digest",
        "recipe hash",
        "recipe",
        "density",
        "weights",
        "accuracy",
        "search again",
    ]
    assert found.fits
    assert Ticket.load(tiny[1]).digest() in found.checks[-1].text


def test_random_masks_are_drawn_by_the_seed(tiny, tmp_path):
    path = tiny[0] / "seed-0" / "random_frozen" / "model.ticket"
    assert states(verify_ticket(path))["masks"] == "fits"
    changed(Ticket.load(path), seed=1).save(tmp_path / "x.ticket")
    found = states(verify_ticket(tmp_path / "x.ticket"))
    assert (found["masks"], found["weights"]) == ("does not fit", "does not fit")


def test_a_repeated_search_is_kept_apart_and_goes_on(tiny, tmp_path, monkeypatch):
    first = verify_ticket(tiny[1], Place(runs=tmp_path), rerun=True)
    assert first.fits
    assert [p.name for p in tmp_path.iterdir()] == [f"verify-{tiny[0].name}"]
    again = verify_ticket(tiny[1], Place(runs=tmp_path), rerun=True)
    assert again.checks == first.checks


def test_another_ticket_is_told_by_what_differs(tiny, tmp_path, monkeypatch):
    whole = Ticket.load(tiny[1])
    layer = whole.layers[1]
    mask, signs = layer.mask.copy(), layer.signs.copy()
    kept, pruned = np.argwhere(mask)[0], np.argwhere(~mask)[0]
    signs[tuple(pruned)] = 1
    signs[tuple(kept)], mask[tuple(kept)], mask[tuple(pruned)] = 0, False, True
    layers = (whole.layers[0], replace(layer, mask=mask, signs=signs), *whole.layers[2:])
    changed(whole, layers, versions={"torch": "1.0"}).save(tmp_path / "x.ticket")
    check = verify_ticket(tmp_path / "x.ticket", rerun=True).checks[-1]
    assert check.state == "does not fit"
    assert f"the mask of {layer.name}, at 2 of {layer.size} places" in check.text
    assert "made with torch 1.0, here" in check.text


def test_other_versions_with_the_same_weights_are_named(tiny, tmp_path):
    changed(Ticket.load(tiny[1]), versions={"torch": "1.0"}).save(tmp_path / "x.ticket")
    check = verify_ticket(tmp_path / "x.ticket", rerun=True).checks[-1]
    assert check.state == "fits"
    assert "the same masks, weights and statistics; made with torch 1.0" in check.text


def test_a_search_that_cannot_be_repeated_says_why(tiny, tmp_path):
    whole = Ticket.load(tiny[1])
    for meta, told in (
        ({"recipe": None}, "names no recipe and seed"),
        ({"seed": None}, "names no recipe and seed"),
        ({"stage": "other"}, "has no such stage"),
        ({"data": {**whole.metadata["data"], "checksum": "0"}}, "not the data the ticket"),
    ):
        changed(whole, **meta).save(tmp_path / "x.ticket")
        check = verify_ticket(tmp_path / "x.ticket", rerun=True).checks[-1]
        assert (check.state, told in check.text) == ("not checked", True), check


@pytest.mark.parametrize(
    ("meta", "state"),
    [
        ({"recipe_hash": "0000000000"}, "does not fit"),
        ({"recipe_hash": 3}, "does not fit"),
        ({"recipe_hash": None}, "does not fit"),
        ({"recipe": None}, "not checked"),
        ({"recipe": {"name": "x"}}, "does not fit"),
        ({"recipe": "x"}, "not checked"),
    ],
)
def test_the_hash_is_that_of_the_recipe_inside(zoo, meta, state):
    assert recipe_check(zoo).state == "fits"
    assert recipe_check(changed(zoo, **meta)).state == state


def test_a_recipe_of_a_network_of_ones_own_is_hashed_without_importing_it(zoo):
    recipe = json.loads(json.dumps(zoo.metadata["recipe"]))
    recipe["model"] = {"name": "nowhere_at_all:build"}
    check = recipe_check(changed(zoo, recipe=recipe))
    assert check.text.startswith("stated is 4258ba7a66, that of the recipe ")
    assert "nowhere_at_all" not in sys.modules


@pytest.mark.parametrize("section", ["data", "model", "neuron"])
def test_a_recipe_of_another_experiment_is_noticed(zoo, section):
    assert words_check(zoo).state == "fits"
    recipe = json.loads(json.dumps(zoo.metadata["recipe"]))
    recipe[section]["name"] = "other"
    assert words_check(changed(zoo, recipe=recipe)).state == "does not fit"


@pytest.mark.parametrize("density", [0.4999, 0.6, "x", -1, 0, None, 10**30, [1], True])
def test_a_density_that_is_not_that_of_the_masks_does_not_fit(zoo, density):
    assert density_check(zoo).state == "fits"
    recipe = json.loads(json.dumps(zoo.metadata["recipe"]))
    recipe["ticket"]["density"] = density
    assert density_check(changed(zoo, recipe=recipe)).state == "does not fit"


def test_weights_of_another_seed_sign_or_scale_do_not_fit(zoo):
    assert weights_check(zoo).state == "fits"
    assert "signs" in weights_check(changed(zoo, seed=1)).text
    first, *rest = zoo.layers
    flipped = first.signs.copy()
    flipped[first.mask] *= -1
    assert "signs" in weights_check(changed(zoo, (replace(first, signs=flipped), *rest))).text
    assert "scale" in weights_check(changed(zoo, (replace(first, alpha=0.5), *rest))).text
    for seed in (None, -1, "0", 2**64, True):
        assert weights_check(changed(zoo, seed=seed)).state == "not checked"


@pytest.mark.parametrize("ticket", [{}, {"scale_fan": True}, {"scale_fan": 1, "density": []}])
def test_settings_that_make_no_sense_are_no_traceback(zoo, ticket):
    recipe = json.loads(json.dumps(zoo.metadata["recipe"]))
    recipe["ticket"] = {"name": "edge_popup", **ticket}
    made = changed(zoo, recipe=recipe)
    assert weights_check(made).state in ("fits", "does not fit")
    assert density_check(made).state == "does not fit"


def test_trained_weights_are_said_to_be_trained(zoo):
    assert "trained, not drawn" in weights_check(changed(zoo, stage="dense")).text


def test_an_accuracy_that_is_not_reached_does_not_fit(zoo, tmp_path):
    path = tmp_path / "x.ticket"
    for accuracy, state in (
        ({"test": 100.0, "test_count": 360}, "does not fit"),
        ({"test": 98.9, "test_count": 361}, "does not fit"),
        ({"test": 99.0, "test_count": 360}, "fits"),
        (None, "not checked"),
    ):
        changed(zoo, accuracy=accuracy).save(path)
        assert states(verify_ticket(path))["accuracy"] == state, accuracy


def test_data_that_is_not_here_is_not_checked():
    found = verify_ticket(find_ticket("nmnist1k-vgg").path, Place(root="/nonexistent"))
    assert states(found)["accuracy"] == "not checked"
    assert found.fits


def test_a_network_of_its_makers_is_not_imported(zoo, tmp_path):
    network = json.loads(json.dumps(zoo.metadata["network"]))
    network["name"] = network["args"]["model"]["name"] = "nowhere_at_all:build"
    changed(zoo, network=network).save(tmp_path / "x.ticket")
    found = verify_ticket(tmp_path / "x.ticket", rerun=True)
    assert states(found)["accuracy"] == states(found)["search again"] == "not checked"
    assert "nowhere_at_all" not in sys.modules


def test_without_torch_what_needs_none_is_checked(tmp_path):
    code = """
import sys
sys.modules["torch"] = None
from spiketicket.experiment.verify import verify_ticket
from spiketicket.ticket.zoo import find_ticket
for check in verify_ticket(find_ticket("digits-binw").path, rerun=True).checks:
    print(check.name, "=", check.state)
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.splitlines() == [
        "digest = fits",
        "recipe hash = not checked",
        "recipe = fits",
        "density = fits",
        "weights = fits",
        "accuracy = not checked",
        "search again = not checked",
    ], done.stderr


def test_the_module_is_torch_free_until_it_needs_it():
    assert "torch" not in vars(verify_module)
