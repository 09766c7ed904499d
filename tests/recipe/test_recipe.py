"""Recipes: exact types, every mistake at once, a hash that lasts."""

import json
import pickle
import subprocess
import sys
import tomllib
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from spiketicket.errors import RecipeError, UserError
from spiketicket.recipe import load_recipe, parse_recipe, registry, sections, to_dict, to_toml

PACKAGED = sorted((Path(sections.__file__).parent / "shipped").glob("*.toml"))


class Data(sections.DataConfig):
    name: Literal["points"] = "points"
    sizes: tuple[int, ...] = (8,)


class Model(sections.ModelConfig):
    name: Literal["net"] = "net"
    depth: int = 3


class Neuron(sections.NeuronConfig):
    name: Literal["lif", "relu"] = "lif"
    decay: float = 0.5


class Method(sections.MethodConfig):
    name: Literal["search"] = "search"
    regrow: bool = True


CONFIGS = {"data": Data, "models": Model, "neurons": Neuron, "methods": Method}
NAMES = {"data": "points", "models": "net", "neurons": "lif relu", "methods": "search"}


@pytest.fixture(autouse=True, scope="module")
def small_registry() -> Iterator[None]:
    """Choices of this file's own, so that its recipes stay what they are."""

    def load(family: str, name: str) -> Any:
        if name not in NAMES[family].split():
            raise UserError("unknown name", value=name, remedy=f"Known: {NAMES[family]}")
        return types.SimpleNamespace(Config=CONFIGS[family])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "load", load)
        yield


def tables() -> dict[str, Any]:
    return {
        "name": "small",
        "data": {"name": "points"},
        "model": {"name": "net"},
        "neuron": {"name": "lif"},
        "ticket": {"name": "search", "density": 0.5},
        "train": {"epochs": 3, "batch_size": 64},
    }


def problems(data: dict[str, Any], *overrides: str) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        parse_recipe(data, "r.toml", overrides)
    return list(caught.value.problems)


def test_defaults() -> None:
    made = parse_recipe(tables())
    assert (made.seed, made.data.validation, made.model.timesteps) == (0, 0.1, 4)
    assert (made.model.weights, made.model.bn_affine) == ("binary", False)
    assert (made.train.scores.name, made.train.scores.lr) == ("adam", 0.02)
    assert (made.train.weights.name, made.train.weights.lr) == ("adamw", 2e-3)
    assert (made.verdict.margin, made.verdict.confidence) == (1.0, 0.95)
    assert isinstance(made.neuron, Neuron)
    assert made.neuron.decay == 0.5


def test_frozen() -> None:
    with pytest.raises(ValidationError):
        parse_recipe(tables()).seed = 3


def test_hash_is_pinned() -> None:
    # If this fails, every run folder that people have is orphaned.
    made = parse_recipe(tables())
    assert made.hash == "d87c291509"
    plain = parse_recipe(tables(), overrides=["train.precision=fp32"])
    assert plain.hash == "80d5fedf88"  # as before the precision was chosen by the processor
    untuned = parse_recipe(tables(), overrides=["train.precision=fp32", "train.tune=off"])
    assert untuned.hash == "769227a2fd"  # as before rates were tuned
    assert made.folder_name == f"small-{made.hash}"


def test_hash_ignores_key_order_and_spelled_out_defaults() -> None:
    plain = parse_recipe(tables())
    turned = {key: tables()[key] for key in reversed(tables())}
    assert parse_recipe(turned).hash == plain.hash
    spelled = tomllib.loads(to_toml(plain))
    assert spelled["controls"]["dense"] is True
    assert parse_recipe(spelled).hash == plain.hash
    assert parse_recipe(tables(), overrides=["ticket.density=5e-1"]).hash == plain.hash


def test_a_new_field_with_a_default_keeps_the_hash() -> None:
    class Newer(Neuron):
        threshold: float = 1.0

    before = parse_recipe(tables()).hash
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(CONFIGS, "neurons", Newer)
        assert isinstance(parse_recipe(tables()).neuron, Newer)
        assert parse_recipe(tables()).hash == before
        changed = parse_recipe(tables(), overrides=["neuron.threshold=2"])
        assert changed.hash != before


def test_the_data_folder_is_not_hashed() -> None:
    moved = parse_recipe(tables(), overrides=["data.root=/somewhere/else"])
    assert moved.data.root == "/somewhere/else"
    assert moved.hash == parse_recipe(tables()).hash


def test_a_choice_is_hashed_though_its_name_is_a_default() -> None:
    assert (
        parse_recipe(tables(), overrides=["neuron.name=relu"]).hash != parse_recipe(tables()).hash
    )


CHANGES = [
    "name=other",
    "seed=1",
    "data.validation=0.2",
    "data.flip=true",
    "data.train_limit=10",
    "data.sizes=[8, 9]",
    "model.timesteps=5",
    "model.weights=float",
    "model.bn_affine=true",
    "neuron.decay=0.25",
    "ticket.density=0.25",
    "ticket.regrow=false",
    "train.epochs=4",
    "train.batch_size=65",
    "data.flip=alternate",
    "data.cutout=2",
    "data.test_flip=true",
    "train.precision=bf16",
    "train.precision=fp32",
    "train.schedule=linear",
    "train.average=0.9",
    "train.bn_momentum=0.2",
    "train.bn_statistics=fresh",
    "train.size_ramp=[[1, 8]]",
    "train.scores.betas=[0.9, 0.99]",
    "train.scores.lr=0.1",
    "train.weights.name=sgd",
    "train.timestep_ramp=[[1, 2]]",
    "controls.dense=false",
    "controls.bn_affine=false",
    "verdict.margin=2",
]


def test_every_other_change_changes_the_hash() -> None:
    hashes = {parse_recipe(tables(), overrides=[change]).hash for change in CHANGES}
    assert len(hashes) == len(CHANGES)
    assert parse_recipe(tables()).hash not in hashes


def test_part_of_a_table_keeps_the_rest_of_its_defaults() -> None:
    made = parse_recipe(tables(), overrides=["train.weights.lr=0.5"])
    assert (made.train.weights.name, made.train.weights.weight_decay) == ("adamw", 0.01)


def test_all_errors_at_once() -> None:
    bad = tables()
    bad |= {"seed": -1, "foo": 3}
    bad["data"] = {"name": "point"}
    bad["model"] = {"name": "net", "timesteps": 0, "deph": 2}
    bad["ticket"]["density"] = 1.5
    bad["train"] = {"epochs": "three", "precision": "fp8", "scores": {"lrr": 1}}
    assert sorted(problems(bad)) == [
        "r.toml: data.name: unknown name (got 'point'). Known: points",
        "r.toml: foo: unknown key. Known: controls, data, model, name, neuron, seed, ticket, "
        "train, verdict",
        "r.toml: model.deph: unknown key. Did you mean depth?",
        "r.toml: model.timesteps: must be >= 1 (got 0)",
        "r.toml: seed: must be >= 0 (got -1)",
        "r.toml: ticket.density: must be <= 1 (got 1.5)",
        "r.toml: train.batch_size: is missing. For example batch_size = 64",
        "r.toml: train.epochs: must be a whole number (got 'three')",
        "r.toml: train.precision: must be 'auto', 'fp32' or 'bf16' (got 'fp8')",
        "r.toml: train.scores.lrr: unknown key. Did you mean lr?",
    ]


@pytest.mark.parametrize(
    ("override", "text"),
    [
        ("ticket.density=0", "must be > 0 (got 0)"),
        ("ticket.density=nan", "must be a finite number (got nan)"),
        ("ticket.density=0.5.5", "must be a number (got '0.5.5')"),
        ("ticket.density=true", "must be a number (got True)"),
        ("model.timesteps=0", "must be >= 1 (got 0)"),
        ("model.timesteps=65", "must be <= 64 (got 65)"),
        ("model.timesteps=4.0", "must be a whole number (got 4.0)"),
        ("data.validation=1", "must be < 1 (got 1)"),
        ("data.flip=1", "must be true, false or 'alternate' (got 1)"),
        ("train.schedule=step", "must be 'cosine', 'linear' or 'constant' (got 'step')"),
        ("train.average=1", "must be < 1 (got 1)"),
        ("train.bn_momentum=0", "must be > 0 (got 0)"),
        ("train.bn_statistics=old", "must be 'running' or 'fresh' (got 'old')"),
        ("data.pad_crop=33", "must be <= 32 (got 33)"),
        ("data.sizes=8", "must be a list (got 8)"),
        ("train.kernel=fast", "must be 'auto', 'native', 'compile' or 'eager' (got 'fast')"),
        ("train.scores=3", "must be a table (got 3)"),
        ("train.batch_size=[1", "must be a whole number (got '[1')"),
        ("name=a/b", "must match ^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$ (got 'a/b')"),
        ("name=", "must match ^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$ (got '')"),
        ("neuron=5", "must be a table (got 5)"),
        ("neuron.name=lyf", "unknown name (got 'lyf'). Known: lif relu"),
        ("verdict.confidence=1", "must be < 1 (got 1)"),
        ("ticket.dense=1", "unknown key. Did you mean controls.dense or density?"),
        ("seed.x=1", "seed is not a table"),
    ],
)
def test_a_bad_override_is_named_as_such(override: str, text: str) -> None:
    data = {**tables(), "seed": 0}
    assert problems(data, override) == [f"`overrides` {override.split('=')[0]}: {text}"]


def test_overrides_that_contradict_each_other() -> None:
    assert problems(tables(), "seed=1", "seed=1") == ["`overrides` seed: is given twice"]
    assert problems(tables(), "train.scores.lr=1", "train.scores={lr = 2}") == [
        "`overrides` train.scores: overlaps with `overrides` train.scores.lr"
    ]
    assert problems(tables(), "seed") == [
        "`overrides`: must have the form section.key=value (got 'seed')"
    ]
    assert problems(tables(), ".seed=1", "a.b=1") == [
        "`overrides`: must have the form section.key=value (got '.seed=1')",
        "`overrides` a: unknown key. Known: controls, data, model, name, neuron, seed, ticket, "
        "train, verdict",
    ]


@pytest.mark.parametrize(
    ("text", "value"),
    [("fp32", "fp32"), ('"fp32"', "fp32"), (" bf16 ", "bf16"), ("'bf16'", "bf16")],
)
def test_an_override_is_a_toml_value_or_a_bare_word(text: str, value: str) -> None:
    assert parse_recipe(tables(), overrides=[f"train.precision={text}"]).train.precision == value


def test_an_override_cannot_bring_a_second_key() -> None:
    made = parse_recipe(tables(), overrides=["data.root=1\nx = 2"])
    assert made.data.root == "1\nx = 2"


def test_missing_sections() -> None:
    assert problems({"name": "x"}) == [
        'r.toml: data: is missing. Add [data] with name = "image_folder"',
        'r.toml: model: is missing. Add [model] with name = "vgg9"',
        'r.toml: neuron: is missing. Add [neuron] with name = "lif"',
        'r.toml: ticket: is missing. Add [ticket] with name = "edge_popup" and density = 0.2',
        "r.toml: train: is missing. Add [train] with epochs = 20 and batch_size = 64",
    ]
    assert problems({**tables(), "data": {}}) == [
        'r.toml: data.name: is missing. For example name = "image_folder"'
    ]
    assert problems({**tables(), "ticket": {"name": "search"}}) == [
        "r.toml: ticket.density: is missing. For example density = 0.2"
    ]


@pytest.mark.parametrize(
    ("override", "meant"),
    [
        ("train.lr=1", "train.scores.lr or train.weights.lr"),
        ("density=0.5", "ticket.density"),
        ("train.density=0.5", "ticket.density"),
        ("model.epochs=3", "train.epochs"),
        ("train.momentum=0.5", "train.scores.momentum or train.weights.momentum or bn_momentum"),
        ("verdict.regrow=true", None),  # of this file's own method, which no other section knows
    ],
)
def test_a_key_of_another_section_is_named(override: str, meant: str | None) -> None:
    (line,) = problems(tables(), override)
    asked = f"Did you mean {meant}?" if meant else "Known: "
    assert line.startswith(f"`overrides` {override.partition('=')[0]}: unknown key. {asked}")


def test_a_ramp_leaves_epochs_for_the_full_net() -> None:
    data = tables()
    data["train"]["timestep_ramp"] = [[1, 2], [2, 3]]
    (line,) = problems(data)
    assert line.startswith("r.toml: train: timestep_ramp takes 3 of 3 epochs")
    data["train"]["timestep_ramp"] = [[1, 2], [1, 3]]
    assert parse_recipe(data).train.timestep_ramp == ((1, 2), (1, 3))
    data["train"]["timestep_ramp"] = [[1, 2, 3]]
    assert problems(data)


def test_the_given_tables_are_left_alone() -> None:
    data = tables()
    parse_recipe(data, overrides=["ticket.density=0.1", "controls.dense=false"])
    assert data == tables()


def test_load_recipe_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text(to_toml(parse_recipe(tables())))
    assert load_recipe(path) == parse_recipe(tables())
    assert load_recipe(str(path), ["seed=3"]).seed == 3


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"name = ", "is not valid TOML"),
        (b"a = 1\na = 2", "is not valid TOML"),
        (b"\xff\xfea", "is not a text file in UTF-8, or in UTF-16 with a byte order mark"),
        (b"a=" + b"[" * 100_000, "is not valid TOML"),
        (None, "no such recipe file"),
    ],
)
def test_files_that_are_no_recipe(tmp_path: Path, content: bytes | None, text: str) -> None:
    path = tmp_path / "x.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        load_recipe(path)
    assert str(caught.value).startswith(f"{path}: {text}")


def optimizers() -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {},
        optional={
            "name": st.sampled_from(["sgd", "adam", "adamw"]),
            "lr": st.floats(1e-30, 1e6),
            "weight_decay": st.floats(0, 1e6),
        },
    )


@st.composite
def recipes(draw: st.DrawFn) -> dict[str, Any]:
    data = tables()
    data["name"] = draw(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", fullmatch=True))
    data["seed"] = draw(st.integers(0, 2**63 - 1))
    data["data"] |= draw(
        st.fixed_dictionaries(
            {},
            optional={
                "root": st.text(st.characters(codec="utf-8", exclude_characters="\0")),
                "validation": st.floats(0, 1, exclude_min=True, exclude_max=True),
                "train_limit": st.integers(1, 10**9),
                "sizes": st.lists(st.integers(-5, 5)),
            },
        )
    )
    data["ticket"]["density"] = draw(st.floats(0, 1, exclude_min=True) | st.just(1))
    data["train"] |= {"epochs": draw(st.integers(10, 10**6)), "scores": draw(optimizers())}
    data["train"]["timestep_ramp"] = draw(
        st.lists(st.tuples(st.integers(1, 3), st.integers(1, 64)).map(list), max_size=3)
    )
    data["train"] |= draw(
        st.fixed_dictionaries(
            {},
            optional={
                "average": st.floats(0, 1, exclude_max=True),
                "schedule": st.sampled_from(["cosine", "linear"]),
                "precision": st.sampled_from(["auto", "fp32", "bf16"]),
            },
        )
    )
    data["controls"] = draw(
        st.fixed_dictionaries({}, optional={"dense": st.booleans(), "bn_affine": st.booleans()})
    )
    return data


@pytest.mark.slow
@given(recipes())
def test_round_trips(data: dict[str, Any]) -> None:
    made = parse_recipe(data)
    for copy in (
        parse_recipe(tomllib.loads(to_toml(made))),
        parse_recipe(json.loads(json.dumps(to_dict(made)))),
        pickle.loads(pickle.dumps(made)),
    ):
        assert copy == made
        assert copy.hash == made.hash
        assert to_toml(copy) == to_toml(made)


@pytest.mark.slow
@given(recipes(), recipes())
def test_equal_hashes_mean_equal_recipes(a: dict[str, Any], b: dict[str, Any]) -> None:
    for data in (a, b):
        data["data"].pop("root", None)
    one, two = parse_recipe(a), parse_recipe(b)
    assert (one.hash == two.hash) == (one == two)


@pytest.mark.slow
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ),
    st.sampled_from([*tables(), "controls", "verdict", "other"]),
)
def test_anything_else_is_an_error_and_never_a_crash(value: Any, key: str) -> None:
    try:
        parse_recipe({**tables(), key: value})
    except RecipeError as error:
        assert all(line.startswith(f"recipe: {key}") for line in error.problems)


@given(st.text())
def test_any_override_is_an_error_or_a_value(text: str) -> None:
    try:
        parse_recipe(tables(), overrides=[text, f"train.{text}", f"train.epochs={text}"])
    except RecipeError as error:
        assert error.problems


@pytest.mark.slow
def test_packaged_recipes_load() -> None:
    # In a process of its own, which has the real choices.
    code = "import sys; from spiketicket.recipe import load_recipe\n"
    code += "for path in sys.argv[1:]: print(load_recipe(path).name)"
    done = subprocess.run(
        [sys.executable, "-c", code, *PACKAGED],
        check=True,
        timeout=120,
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == [path.stem for path in PACKAGED]


def test_no_torch_for_recipes() -> None:
    code = "import sys, spiketicket.recipe; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_a_recipe_in_any_encoding_that_says_which_it_is(tmp_path: Path, encoding: str) -> None:
    text = to_toml(parse_recipe(tables())) + "\n# Müller\n"
    mark = "\ufeff" if encoding in ("utf-16-le", "utf-16-be") else ""
    (tmp_path / "r.toml").write_bytes((mark + text).encode(encoding))
    assert load_recipe(tmp_path / "r.toml") == parse_recipe(tables())


def test_what_is_no_recipe_is_told_with_what_to_give(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "recipe.toml").write_text("")
    (tmp_path / "a.ticket").write_bytes(b"SPKT")
    with pytest.raises(UserError, match=r"is a folder, and a recipe is needed.*spiketicket init"):
        load_recipe(tmp_path)
    with pytest.raises(UserError, match=r"is a folder.*Its recipe is .*run/recipe\.toml"):
        load_recipe(tmp_path / "run")
    with pytest.raises(UserError, match="is a ticket, and a recipe is needed"):
        load_recipe(tmp_path / "a.ticket")
    with pytest.raises(UserError, match="no such recipe file") as told:
        load_recipe("nonexist")
    assert "Did you mean" not in str(told.value)
