"""A stranger's recipe: whatever is in it, one line and no hours."""

from pathlib import Path
from typing import Any

import pytest

from spiketicket.errors import RecipeError, UserError
from spiketicket.methods.stages import stages_of
from spiketicket.recipe import load_recipe, parse_recipe, read_tables, registry
from spiketicket.report.load import read_run


def problems(*overrides: str) -> list[str]:
    data = {
        "name": "x",
        "data": {"name": "digits"},
        "model": {"name": "convnet"},
        "neuron": {"name": "lif"},
        "ticket": {"name": "edge_popup", "density": 0.5},
        "train": {"epochs": 1, "batch_size": 1},
    }
    with pytest.raises(RecipeError) as found:
        parse_recipe(data, "x.toml", overrides)
    return list(found.value.problems)


def test_a_byte_order_mark_is_no_part_of_a_recipe(tmp_path: Path) -> None:
    path = tmp_path / "bom.toml"
    path.write_bytes(b"\xef\xbb\xbfname = 'x'\n")
    assert read_tables(path) == {"name": "x"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a = " + "9" * 5000, "thousands of digits"),
        ("a = 0x" + "f" * 5000, "more than 1000 bits"),
        ("a = " + "9" * 400, "more than 1000 bits"),
        ("".join(f"k{i} = 1\n" for i in range(1001)), "more than 1000 keys"),
        ("".join(f"[k{i}]\na.b = 1\n" for i in range(400)), "more than 1000 keys"),
        (".".join("a" * 5000) + " = 1", "more than 1000 dots"),
        (".".join("a" * 500) + " = 1", "nested more than 64 deep"),
        ("a = " + "[" * 5000 + "]" * 5000, "nested"),
        ("a = " + "[" * 100 + "]" * 100, "nested more than 64 deep"),
        ("#" * 300_000, "larger than 262144 bytes"),
        ("name = 'x'\nname = 'y'", "not valid TOML"),
    ],
    ids=lambda value: value[:12],
)
def test_what_is_beyond_every_recipe_is_one_line(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "x.toml"
    path.write_text(text)
    with pytest.raises(UserError) as found:
        load_recipe(path)
    assert told in str(found.value)
    assert len(str(found.value).splitlines()) == 1


@pytest.mark.parametrize(
    "override",
    [
        "train.epochs=" + "9" * 5000,
        ".".join("a" * 5000) + "=1",
        "seed=" + "9" * 400,
        "name=" + "[" * 5000 + "]" * 5000,
    ],
    ids=lambda value: value[:12],
)
def test_an_override_is_bounded_as_a_recipe_is(override: str) -> None:
    (line,) = problems(override)
    assert line.startswith("`overrides`")
    assert len(line) < 300


def test_a_ramp_has_bounds() -> None:
    (line,) = problems("train.timestep_ramp=[" + "[1, 1]," * 101 + "]", "train.epochs=1000")
    assert line.startswith("`overrides` train.timestep_ramp: must have at most 100 entries")
    assert len(line) < 300


@pytest.mark.parametrize(
    "override",
    [
        f"train.epochs={10**30}",
        f"train.batch_size={10**30}",
        f"train.checkpoint_steps={10**30}",
        "train.scores.lr=1e300",
        "train.weights.weight_decay=1e300",
        f"data.train_limit={10**30}",
        f"ticket.ramp_epochs={10**30}",
        f"ticket.fine_tune_epochs={10**30}",
    ],
)
def test_numbers_that_nobody_can_wait_for_are_refused(override: str) -> None:
    (line,) = problems(override)
    assert line.startswith(f"`overrides` {override.split('=')[0]}: must be <= ")


@pytest.mark.parametrize("family", ["methods", "data"])
def test_every_whole_number_of_a_method_and_a_data_set_is_bounded(family: str) -> None:
    unbounded = []
    for name in registry.names(family):
        schema = registry.load(family, name).Config.model_json_schema()
        for part in (schema, *schema.get("$defs", {}).values()):
            for key, field in part.get("properties", {}).items():
                unbounded += [
                    f"{name}.{key}"
                    for kind in kinds(field)
                    if kind.get("type") == "integer"
                    and not kind.keys() & {"maximum", "exclusiveMaximum", "enum", "const"}
                ]
    assert not unbounded


def kinds(field: dict[str, Any]) -> list[dict[str, Any]]:
    """A field's schema and all schemas in it."""
    inner = [*field.get("anyOf", ()), *field.get("prefixItems", ())]
    if isinstance(field.get("items"), dict):
        inner.append(field["items"])
    return [field, *(kind for part in inner for kind in kinds(part))]


@pytest.mark.parametrize("method", ["imp", "random_reinit", "early_time"])
def test_a_search_of_more_rounds_than_anybody_trains_is_refused(method: str) -> None:
    recipe = parse_recipe(
        {
            "name": "tiny",
            "data": {"name": "digits"},
            "model": {"name": "convnet"},
            "neuron": {"name": "lif"},
            "ticket": {"name": method, "density": 1e-300},
            "train": {"epochs": 1, "batch_size": 20},
        }
    )
    with pytest.raises(UserError, match=r"ticket\.share: a share this small"):
        stages_of(recipe)


@pytest.mark.parametrize(
    "ticket",
    [
        "name = 'imp'\nrounds = 1000000000000",
        "name = 'imp'\nshare = 1e-300",
        "name = 'imp'\ndensity = 'x'",
        "name = 'imp'\ndensity = 0",
        "name = 'imp'\nrounds = [1]",
        "name = 'multisp'\nrungs = 5",
        "name = 'multisp'\nrungs = [[1]]\npatch_controls = 7",
        "name = 'multisp'\npatch_controls = [{a = 1}]",
        "name = [1]",
        "name = 3",
        "fine_tune_epochs = []",
    ],
)
def test_a_report_of_a_strangers_recipe_ends(tmp_path: Path, ticket: str) -> None:
    (tmp_path / "recipe.toml").write_text(f"name = 'x'\n[ticket]\n{ticket}\n")
    run = read_run(tmp_path)
    assert len(run.expected) < 20
    assert run.outcome == "unfinished"
