"""How a density is spread over layers, against an obvious reference and by its properties."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from spiketicket.errors import UserError
from spiketicket.experiment.find import find
from spiketicket.experiment.stated import density_check
from spiketicket.methods.densities import kept_counts
from spiketicket.methods.edge_popup import Config
from spiketicket.recipe import parse_recipe
from spiketicket.ticket import Ticket

VGG = {
    "a": (64, 3, 3, 3),
    "b": (64, 64, 3, 3),
    "c": (128, 64, 3, 3),
    "d": (256, 4096),
    "e": (10, 256),
}
SHAPES = st.lists(
    st.one_of(
        st.tuples(*[st.integers(1, 40)] * 2),
        st.tuples(*[st.integers(1, 20)] * 2, st.just(3), st.just(3)),
    ),
    min_size=1,
    max_size=6,
)


def reference(shapes, density):
    """Evci et al. 2020: density of a layer = epsilon (n + m + k + k) / (n m k k), at most 1."""
    sizes = np.array([math.prod(s) for s in shapes], float)
    raw = np.array([sum(s) / math.prod(s) for s in shapes])
    low, high = 0.0, 1e9
    for _ in range(200):  # the epsilon that keeps as many as asked
        middle = (low + high) / 2
        kept = (np.minimum(1, middle * raw) * sizes).sum()
        low, high = (middle, high) if kept < density * sizes.sum() else (low, middle)
    return np.minimum(1, low * raw) * sizes


@pytest.mark.parametrize("density", [0.02, 0.1, 0.3, 0.5, 0.9])
def test_erk_is_that_of_the_paper_to_the_weight(density):
    kept = kept_counts(VGG, density, "erk")
    np.testing.assert_allclose(list(kept.values()), reference(VGG.values(), density), atol=1)
    assert sum(kept.values()) == math.floor(density * sum(map(math.prod, VGG.values())) + 0.5)


@settings(max_examples=200, derandomize=True, deadline=None, database=None)
@given(SHAPES, st.sampled_from([0.01, 0.1, 0.25, 0.5, 0.77, 0.999, 1.0]))
def test_erk_keeps_the_whole_density_and_some_of_every_layer(shapes, density):
    layers = {str(i): shape for i, shape in enumerate(shapes)}
    sizes = {name: math.prod(shape) for name, shape in layers.items()}
    total = math.floor(density * sum(sizes.values()) + 0.5)
    if total < len(sizes):
        with pytest.raises(UserError, match="keeps"):
            kept_counts(layers, density, "erk")
        return
    kept = kept_counts(layers, density, "erk")
    assert sum(kept.values()) == total
    assert all(1 <= kept[name] <= sizes[name] for name in layers)
    assert kept == kept_counts(dict(reversed(layers.items())), density, "erk")


def test_uniform_rounds_half_up_in_each_layer():
    assert kept_counts({"a": (5, 1), "b": (1, 3)}, 0.5, "uniform") == {"a": 3, "b": 2}
    with pytest.raises(UserError, match="no weight of the 5 of layer a"):
        kept_counts({"a": (5, 1)}, 0.01, "uniform")


@pytest.mark.parametrize("wrong", [{"scope": "global"}, {"scale_fan": True}])
def test_erk_needs_a_density_of_each_layer(wrong):
    with pytest.raises(ValidationError, match="needs scope="):
        Config(density=0.1, distribution="erk", **wrong)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["edge_popup", "signed_supermask"])
def test_a_ticket_keeps_what_erk_asks_for_and_says_so(tmp_path, method):
    recipe = parse_recipe(
        {
            "name": "tiny",
            "data": {"name": "digits", "train_limit": 100},
            "model": {"name": "convnet", "width": 0.25, "timesteps": 1},
            "neuron": {"name": "lif"},
            "ticket": {"name": method, "density": 0.1, "distribution": "erk", "ramp_epochs": 1},
            "train": {"epochs": 2, "batch_size": 50, "tune": "off", "kernel": "eager"},
            "controls": {"dense": False, "random_trained": False},
        }
    )
    found = find(recipe, runs_dir=tmp_path, threads=1)
    for stage in ("ticket", "random_frozen"):
        ticket = Ticket.load(found.folder / "seed-0" / stage / "model.ticket")
        shapes = {layer.name: layer.shape for layer in ticket.layers}
        kept = {layer.name: layer.kept for layer in ticket.layers}
        assert kept == kept_counts(shapes, 0.1, "erk")
        assert kept != kept_counts(shapes, 0.1, "uniform")
        assert density_check(ticket).state == "fits"
        plain = {**ticket.metadata["recipe"], "ticket": {"name": method, "density": 0.1}}
        other = {k: v for k, v in ticket.metadata.items() if k != "format_version"}
        changed = Ticket(ticket.layers, ticket.tensors, {**other, "recipe": plain})
        assert density_check(changed).state == "does not fit"


@pytest.mark.parametrize("method", ["edge_popup", "signed_supermask"])
def test_recipes_that_do_not_use_it_are_written_as_before(method):
    plain = {"name": method, "density": 0.1}
    base = {"name": "x", "data": {"name": "digits"}, "model": {"name": "convnet"}}
    base |= {"neuron": {"name": "lif"}, "train": {"epochs": 1, "batch_size": 1}}
    one = parse_recipe({**base, "ticket": plain})
    same = parse_recipe({**base, "ticket": {**plain, "distribution": "uniform"}})
    other = parse_recipe({**base, "ticket": {**plain, "distribution": "erk"}})
    assert one.hash == same.hash != other.hash
    assert "distribution" not in one.ticket.model_dump()
    assert other.ticket.model_dump()["distribution"] == "erk"
