"""Recipes by name, path, tables and object, with overrides of every form."""

from pathlib import Path

import numpy as np
import pytest

import spiketicket
from spiketicket.compare import make_entries
from spiketicket.errors import RecipeError, UserError
from spiketicket.recipe import load_recipe, parse_recipe, to_dict
from spiketicket.recipe.named import packaged_recipes, recipe_path
from spiketicket.sweep.axes import make_runs, parse_axes

PATH = packaged_recipes()["digits-binw"]
TEXTS = ["train.epochs=3", "ticket.density=0.25", "seed=7", 'data.root="3"']
GIVEN = {"train": {"epochs": 3}, "ticket.density": 0.25, "seed": np.int64(7), "data.root": "3"}


def test_a_recipe_is_the_same_by_name_path_tables_and_object(tmp_path, monkeypatch):
    recipe = load_recipe(PATH)
    for given in ("digits-binw", str(PATH), to_dict(recipe), recipe):
        assert load_recipe(given) == recipe
        assert load_recipe(given).hash == recipe.hash
    monkeypatch.chdir(tmp_path)
    Path("digits-binw").mkdir()  # a folder is no recipe
    assert recipe_path("digits-binw") == PATH
    Path("demo").write_text(PATH.read_text())  # a file is preferred
    assert load_recipe("demo") == recipe


def test_overrides_as_a_mapping_and_as_keywords_are_those_of_the_command_line():
    wanted = load_recipe(PATH, TEXTS)
    assert wanted.data.root == "3"
    assert load_recipe("digits-binw", GIVEN) == wanted
    rest = {k: v for k, v in GIVEN.items() if k != "train"}
    assert load_recipe("digits-binw", rest, train={"epochs": 3}) == wanted
    assert load_recipe(load_recipe("digits-binw"), GIVEN) == wanted
    assert parse_recipe(to_dict(load_recipe(PATH)), overrides=GIVEN) == wanted


def test_another_network_takes_its_own_defaults():
    made = load_recipe(load_recipe("digits-binw"), model={"name": "vgg9"}, data={"name": "cifar10"})
    assert made.model.name == "vgg9"
    assert made == load_recipe(PATH, ["model.name=vgg9", "data.name=cifar10"])


@pytest.mark.parametrize(
    "value",
    [
        'a "quoted" \\ line\nand \x7f \U0001f600',
        1e-07,
        [[1, 0.5], []],
        True,
        "null",
        [{"b": "c d"}],
        {},
    ],
)
def test_a_value_comes_through_as_it_is(value):
    made = load_recipe(
        "digits-binw",
        model={"name": "x:y", "options": {"value": value}},
        neuron={"name": "custom"},
    )
    assert repr(made.model.options) == repr({"value": value})  # 1 is not true


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: load_recipe("digits-bin"), "Did you mean digits-binw?"),
        (lambda: load_recipe("nowhere/x.toml"), "no such recipe file"),
        (lambda: load_recipe("digits-binw", train={"epochs": 0}), "train.epochs: must be >= 1"),
        (lambda: load_recipe("digits-binw", {"train.epochs": "3"}), "must be a whole number"),
        (lambda: load_recipe("digits-binw", {"train.epoch": 3}), "Did you mean epochs?"),
        (lambda: load_recipe("digits-binw", ["seed=1"], seed=2), "seed: is given twice"),
        (lambda: load_recipe("digits-binw", {"name = 1\nseed": 2}), "`overrides`"),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises((RecipeError, UserError)) as error:
        call()
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: load_recipe(3), "must be a Recipe or a mapping or a text or a path, not an int"),
        (lambda: spiketicket.find(3), "`recipe`: must be a Recipe or a mapping or a text or a"),
        (lambda: load_recipe("digits-binw", epochs=3), "Did you mean train={'epochs': ...}?"),
        (lambda: load_recipe("digits-binw", modle={}), "Did you mean model?"),
        (lambda: load_recipe("digits-binw", seed=object()), "seed: must be a truth value, a num"),
        (lambda: load_recipe("digits-binw", seed=None), "Leave it out for its default"),
        (lambda: load_recipe("digits-binw", "seed=3"), "must be a list of texts or a mapping"),
    ],
)
def test_wrong_types_say_what_is_taken(call, message):
    with pytest.raises(TypeError) as error:
        call()
    assert message in str(error.value)


def test_axes_and_comparisons_take_mappings_too():
    tables = to_dict(load_recipe("digits-binw"))
    texts = parse_axes(["ticket.density=0.5,0.25", "seed=0:2"])
    assert parse_axes({"ticket.density": [0.5, 0.25], "seed": range(3)}) == texts
    assert parse_axes({"ticket.density": "0.5,0.25", "seed": "0:2"}) == texts
    plain = make_runs(tables, texts, ["train.epochs=2"])
    assert make_runs(tables, texts, {"train": {"epochs": 2}}) == plain
    entries = make_entries(tables, ["imp"], [0.5], 1, method_options=["imp.rounds=2"])
    assert make_entries(tables, ["imp"], [0.5], 1, method_options={"imp": {"rounds": 2}}) == entries
    with pytest.raises(TypeError, match="axes seed"):
        parse_axes({"seed": 3})
