"""A stage's key holds every setting of its method but those it says it ignores."""

import pytest
from pydantic import create_model

from spiketicket.experiment.keys import read_settings, stage_keys
from spiketicket.methods.stages import ALL, stages_of
from spiketicket.recipe import parse_recipe, registry

LADDERS = ("patches", "multisp")


def recipe_of(method, **options):
    density = {"density": 1.0} if method == "patches" else {"density": 0.5}
    network = {"name": "spikformer", "dim": 16, "depth": 1, "heads": 2, "pools": 1}
    return parse_recipe(
        {
            "name": "tiny",
            "data": {"name": "digits"},
            "model": network if method in LADDERS else {"name": "convnet"},
            "neuron": {"name": "lif"},
            "ticket": {"name": method, **density, **options},
            "train": {"epochs": 4, "batch_size": 20, "tune": "off"},
        }
    )


def tuned(method):
    config = registry.load("methods", method).Config
    return {"fine_tune_epochs": 1} if "fine_tune_epochs" in config.model_fields else {}


@pytest.mark.parametrize("method", registry.names("methods"))
def test_a_new_setting_changes_the_key_of_every_stage_that_is_given_the_settings(method):
    recipe = recipe_of(method, **tuned(method))
    own = type(recipe.ticket)
    grown = create_model("Grown", __base__=own, brand_new=(int, 0))
    keys = []
    for value in (0, 1):
        ticket = grown.model_validate({**recipe.ticket.model_dump(), "brand_new": value})
        changed = recipe.model_copy(update={"ticket": ticket})
        keys.append(stage_keys(changed, 0, "cpu", {"spiketicket": "1"}))
    apart = {stage.name for stage in stages_of(recipe) if stage.ignores != ALL}
    assert apart
    below = dependent(recipe, apart)
    assert {name for name in keys[0] if keys[0][name] != keys[1][name]} == below


def dependent(recipe, names):
    """The stages with these names and those that stand on them."""
    found = set(names)
    for stage in stages_of(recipe):
        if found & set(stage.needs):
            found.add(stage.name)
    return found


@pytest.mark.parametrize("method", registry.names("methods"))
def test_what_a_stage_ignores_are_settings_of_its_method(method):
    """A name that is misspelt would silently split what sweeps share."""
    fields = {name for config in configs(method) for name in paths(config)}
    for stage in stages_of(recipe_of(method, **tuned(method))):
        if stage.ignores != ALL:
            assert set(stage.ignores) <= fields, stage.name


def configs(method):
    modules = LADDERS if method in LADDERS else (method,)
    return [registry.load("methods", name).Config for name in modules]


def paths(config):
    for name, field in config.model_fields.items():
        yield name
        inner = getattr(field.annotation, "model_fields", {})
        yield from (f"{name}.{key}" for key in inner)


def test_the_controls_are_given_no_setting_of_the_method():
    recipe = recipe_of("edge_popup")
    assert read_settings(recipe.ticket, ALL) == {}
    ignoring = {stage.name for stage in stages_of(recipe) if stage.ignores == ALL}
    assert ignoring == {"dense", "random_trained", "random_frozen"}


def test_a_setting_inside_a_section_is_ignored_by_its_path():
    config = recipe_of("early_time", imp={"share": 0.3}).ticket
    whole, less = read_settings(config, ()), read_settings(config, ("imp.share", "threshold"))
    assert whole["imp"].pop("share") == 0.3
    assert whole.pop("threshold")
    assert less == whole
