"""`recipe explain`: every key has a meaning, and what is said is what types and docstrings say."""

import ast
import inspect
import json
from pathlib import Path

import pytest
from command import spiketicket
from pydantic import ValidationError

from spiketicket.errors import UserError
from spiketicket.recipe import registry
from spiketicket.recipe.described import described
from spiketicket.recipe.explain import Key, Part, explain
from spiketicket.recipe.sections import CHOICES, Recipe
from spiketicket.recipe.training import TrainConfig

NAMED = [(section, name) for section in CHOICES for name in registry.names(CHOICES[section][0])]


def only_key(path: str) -> Key:
    (found,) = explain(path)
    assert isinstance(found, Key)
    return found


@pytest.mark.parametrize("section", [*Recipe.model_fields])
def test_every_key_of_a_section_has_a_meaning(section: str) -> None:
    for found in explain(section):
        for key in found.keys if isinstance(found, Part) else [found]:
            assert key.meaning, key.path
            assert key.kind, key.path
            assert key.default or key.example, f"{key.path} is required and shows no example"


@pytest.mark.parametrize(("section", "name"), NAMED)
def test_every_key_of_a_choice_has_a_meaning(section: str, name: str) -> None:
    (part,) = explain(f"{section}.{name}")
    assert isinstance(part, Part)
    config = registry.load(CHOICES[section][0], name).Config
    assert {key.path.split(".")[1] for key in part.keys} == {*config.model_fields}
    for key in part.keys:
        assert key.meaning, f"{name}: {key.path}"
        assert key.default or key.example, f"{name}: {key.path}"


def test_a_key_is_as_its_type_and_docstring_have_it() -> None:
    key = only_key("train.warmup")
    assert (key.kind, key.range, key.default) == ("number", "from 0 to 1", "0.1")
    body = ast.parse(inspect.getsource(TrainConfig)).body[0].body
    at = next(i for i, n in enumerate(body) if ast.unparse(n).startswith("warmup:"))
    written = ast.literal_eval(ast.unparse(body[at + 1]))
    assert key.meaning == " ".join(written.split()).replace("``", "")


def test_narrowed_limits_and_other_defaults_are_those_of_the_choice() -> None:
    common, *others = explain("ticket.density")
    assert common.range == "> 0 and <= 1"
    ranges = {name: key.range for key in others for name in key.choices}
    assert ranges["imp"] == "> 0 and < 1"
    assert "edge_popup" not in ranges  # as all have it
    steps = {name: key.default for key in explain("data.steps") for name in key.choices}
    assert (steps["nmnist"], steps["event_folder"]) == ("4", "16")


@pytest.mark.parametrize(
    ("path", "kind", "limits"),
    [
        ("train.precision", '"auto", "fp32" or "bf16"', ""),
        ("train.batch_size", "whole number", "from 1 to 1,048,576"),
        ("train.scores.betas", "list of 2 numbers", "each >= 0 and < 1"),
        ("controls.dense", "true or false", ""),
        ("model.vgg9.channels", "list of whole numbers", "8 entries, each from 1 to 65,536"),
        ("neuron.lif.v_reset", 'number or "soft"', ""),
    ],
)
def test_types_in_words(path: str, kind: str, limits: str) -> None:
    key = only_key(path)
    assert (key.kind, key.range) == (kind, limits)


def test_stated_ends_of_ranges_are_those_that_pydantic_takes() -> None:
    checked = 0
    for key, field in TrainConfig.model_fields.items():
        kind, limits = described(field.annotation, tuple(field.metadata))
        if kind not in ("number", "whole number") or not limits.startswith("from "):
            continue
        low, high = (float(end.replace(",", "")) for end in limits[5:].split(" to "))
        ends = [int(end) if kind == "whole number" else end for end in (low, high)]
        for end, beyond in zip(ends, (-1, 1), strict=True):
            given = {"epochs": 1, "batch_size": 1, key: end}
            TrainConfig.model_validate(given)
            with pytest.raises(ValidationError):
                TrainConfig.model_validate({**given, key: end + beyond})
        checked += 1
    assert checked >= 4


def test_a_key_alone_is_found_in_its_sections() -> None:
    assert [key.path for key in explain("lr")] == ["train.scores.lr", "train.weights.lr"]
    assert [key.path for key in explain("hidden")] == ["model.hidden"]


@pytest.mark.parametrize(
    ("target", "remedy"),
    [
        ("train.lr", "Did you mean train.scores.lr or train.weights.lr?"),
        ("model.density", "Did you mean ticket.density?"),
        ("foo.density", "Did you mean ticket.density?"),
        ("ticket.keap", "Did you mean keep?"),
        ("trian", "Did you mean train"),
        ("train.epochs.x", ""),
    ],
)
def test_what_is_no_key_is_answered_with_what_was_meant(target: str, remedy: str) -> None:
    with pytest.raises(UserError) as caught:
        explain(target)
    assert caught.value.remedy.startswith(remedy)


def test_the_command(tmp_path: Path) -> None:
    shown = spiketicket("recipe", "explain", "train.epochs")
    assert shown.exit_code == 0
    assert "required, for example epochs = 20" in shown.stdout
    told = json.loads(spiketicket("recipe", "explain", "model", "--json").stdout)
    assert "vgg9" in told[0]["names"]
    assert spiketicket("recipe", "explain", "nothing").exit_code == 2
