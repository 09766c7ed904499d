"""Samples that a network cannot take are told with all other mistakes, and before data are read."""

from typing import Any

import pytest
import torch

from spiketicket.errors import RecipeError, UserError
from spiketicket.methods.building import build_network
from spiketicket.models.blocks import DataShape
from spiketicket.recipe import parse_recipe
from spiketicket.recipe.fits import misfit


def tables(data: dict[str, Any], model: str = "vgg9", **settings: Any) -> dict[str, Any]:
    return {
        "name": "x",
        "data": data,
        "model": {"name": model, **settings},
        "neuron": {"name": "lif"},
        "ticket": {"name": "edge_popup", "density": 0.5},
        "train": {"epochs": 1, "batch_size": 4},
    }


def problems(made: dict[str, Any]) -> tuple[str, ...]:
    with pytest.raises(RecipeError) as caught:
        parse_recipe(made, "r.toml")
    return caught.value.problems


def test_sides_that_do_not_fit_name_the_keys_that_set_them() -> None:
    (line,) = problems(tables({"name": "nmnist", "root": "/nowhere"}))
    assert line == (
        "r.toml: data.height and data.width: vgg9 pools 3 times: image height and width must be"
        " multiples of 8 (got '34x34'). The nearest that fit model.name=vgg9 are 32x32 or 40x40"
    )
    (line,) = problems(tables({"name": "image_folder", "size": 30}))
    assert line.startswith("r.toml: data.size: ")
    assert line.endswith("are 24x24 or 32x32")
    (line,) = problems(tables({"name": "mnist"}))
    assert line.startswith("r.toml: model.name: ")


def test_a_side_of_two() -> None:
    data = {"name": "event_folder", "steps": 4, "height": 32, "width": 50}
    (line,) = problems(tables(data))
    assert line.endswith("are 32x48 or 32x56")


def test_all_mistakes_at_once() -> None:
    made = tables({"name": "nmnist", "steps": 5, "flap": True}, timesteps=4)
    made["train"] |= {"epochs": 0, "lr": 1}
    del made["data"]["flap"]
    lines = problems(made)
    places = [line.split(": ")[1] for line in lines]
    assert sorted(places) == [
        "data.height and data.width",
        "model.timesteps",
        "train.epochs",
        "train.lr",
    ]


def test_what_fits_is_taken() -> None:
    data = {"name": "nmnist", "steps": 4, "height": 32, "width": 32}
    assert parse_recipe(tables(data)).model.name == "vgg9"
    assert parse_recipe(tables({"name": "event_folder", "steps": 4}))  # the sensor is not known


@pytest.mark.parametrize("name", ["convnet", "vgg9", "resconv6", "resnet19", "spikformer"])
@pytest.mark.parametrize(("height", "width"), [(16, 16), (20, 20), (24, 40), (30, 34)])
def test_it_refuses_what_building_refuses(name: str, height: int, width: int) -> None:
    made = parse_recipe(tables({"name": "event_folder", "steps": 4}, name))
    shape = DataShape(channels=2, height=height, width=width, classes=3, frames=4)
    with torch.device("meta"):
        try:
            build_network(made, shape)
            refused = False
        except UserError:
            refused = True
    assert (misfit(made.model, shape, ("height", "width")) is not None) == refused
