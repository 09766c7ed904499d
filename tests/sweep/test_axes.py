"""Axes: exact decimals, inclusive ends, every mistake at once."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spiketicket.errors import RecipeError, UserError
from spiketicket.sweep.axes import Axis, count, make_runs, parse_axes

BASE = {
    "name": "tiny",
    "data": {"name": "digits"},
    "model": {"name": "convnet", "timesteps": 2},
    "neuron": {"name": "lif"},
    "ticket": {"name": "edge_popup", "density": 0.3},
    "train": {"epochs": 2, "batch_size": 64},
}


def values(text):
    (axis,) = parse_axes([text])
    return axis.values


def test_the_forms_of_an_axis():
    assert values("a.b=0.2:0.8:0.1") == ("0.2", "0.3", "0.4", "0.5", "0.6", "0.7", "0.8")
    assert values("a.b=1,2,4") == ("1", "2", "4")
    assert values("a.b=0:2") == ("0", "1", "2")
    assert values("a.b=3:1:-1") == ("3", "2", "1")
    assert values("a.b=1:2:0.5") == ("1.0", "1.5", "2.0")
    assert values("a.b=1e-3:3e-3:1e-3") == ("0.001", "0.002", "0.003")
    assert values("a.b=lif,relu") == ("lif", "relu")
    assert values("a.b=[],[[2, 1], [1, 2]],'x,y'") == ("[]", "[[2, 1], [1, 2]]", "'x,y'")
    assert values(" a . b = 5") == ("5",)


@settings(deadline=None)
@given(st.integers(-999, 999), st.integers(1, 60), st.integers(1, 400), st.integers(0, 6))
def test_ranges_are_exact_and_have_both_ends(start, steps, by, digits):
    scale = 10**digits
    texts = [f"{Decimal(n) / scale:f}" for n in (start, start + steps * by, by)]
    found = values(f"a.b={':'.join(texts)}")
    # the obvious count, in whole numbers
    assert [Decimal(v) * scale for v in found] == list(range(start, start + (steps + 1) * by, by))
    whole = all("." not in t for t in texts)
    assert all(("." not in v) == whole for v in found)


@settings(deadline=None)
@given(st.integers(0, 200), st.integers(2, 99), st.integers(1, 98))
def test_a_range_that_misses_its_end_is_refused(start, by, extra):
    if extra % by:
        with pytest.raises(UserError, match="not a whole number of steps"):
            values(f"a.b={start}:{start + by * 3 + extra % by}:{by}")


@settings(deadline=None)
@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=3, unique=True),
    st.lists(st.integers(1, 9), min_size=1, max_size=3, unique=True),
)
def test_products_and_zips(ones, others):
    axes = parse_axes(
        [
            f"model.timesteps={','.join(map(str, ones))}",
            f"train.epochs={','.join(map(str, others))}",
            "seed=4:5",
        ]
    )
    runs = make_runs(BASE, axes)
    assert [(r.recipe.model.timesteps, r.recipe.train.epochs) for r in runs] == [
        (a, b) for a in ones for b in others
    ]
    assert {(r.recipe.seed, r.seeds) for r in runs} == {(4, (4, 5))}
    if len(ones) == len(others):
        runs = make_runs(BASE, axes, zipped=True)
        assert [(r.recipe.model.timesteps, r.recipe.train.epochs) for r in runs] == list(
            zip(ones, others, strict=True)
        )
    else:
        with pytest.raises(UserError, match="as many values"):
            make_runs(BASE, axes, zipped=True)


def test_a_run_is_the_folder_that_find_makes():
    from spiketicket.recipe import parse_recipe

    (run, _) = make_runs(BASE, parse_axes(["ticket.density=0.1,0.2", "seed=0:2"]))
    assert run.folder == parse_recipe(BASE, overrides=["ticket.density=0.1"]).folder_name
    assert run.seeds == (0, 1, 2)
    (alone,) = make_runs({**BASE, "seed": 7}, [])
    assert (alone.seeds, alone.recipe.seed) == ((7,), 7)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("density", "must have the form"),
        ("=1,2", "must have the form"),
        ("a..b=1", "must have the form"),
        ("a.b=", "empty value"),
        ("a.b=1,,2", "empty value"),
        ("a.b=1,2,1", "twice"),
        ("a.b=0.1:0.5", "needs a step"),
        ("a.b=1:5:0", "never gets"),
        ("a.b=5:1", "never gets"),
        ("a.b=0:1:1e-999", "more than 1,000,000 values"),
        ("a.b=0.2:0.8:0.25", r"step 0.25.*end it at 0.70 or 0.95"),
        ("a.b=0:1e9:1", "more than"),
        ("name=x,y", "no axis"),
    ],
)
def test_what_is_no_axis(text, says):
    with pytest.raises(RecipeError, match=says):
        parse_axes([text])


@pytest.mark.parametrize("text", ["seed=-1,2", "seed=0.5,1", "seed=x"])
def test_what_is_no_seed(text):
    with pytest.raises(UserError, match=r"`axes` seed: must be a whole number"):
        make_runs(BASE, parse_axes([text]))


def test_axes_and_overrides_that_collide():
    with pytest.raises(RecipeError) as caught:
        parse_axes(
            ["ticket.density=0.1,0.2", "ticket.density=0.3", "train=1,2", "seed=0:1"],
            ["train.epochs=3", "seed=4"],
        )
    assert [line.split(".")[0] for line in caught.value.problems] == [
        "`axes` ticket",
        "`axes` train: collides with `overrides` train",
        "`axes` seed: collides with `overrides` seed",
    ]


def test_all_mistakes_of_all_combinations_at_once():
    axes = parse_axes(["ticket.densty=0.1,0.2", "model.timesteps=1,0,99", "neuron.name=lif,lief"])
    with pytest.raises(RecipeError) as caught:
        make_runs(BASE, axes)
    told = "\n".join(caught.value.problems)
    assert "`axes` ticket.densty: unknown key. Did you mean density?" in told
    assert "`axes` model.timesteps: must be >= 1 (got 0)" in told
    assert "`axes` model.timesteps: must be <= 64 (got 99)" in told
    assert "lief" in told
    assert len(caught.value.problems) == 4


def test_values_that_mean_the_same_are_named():
    with pytest.raises(RecipeError, match=r"ticket.density=0.5 and ticket.density=0.50 give the"):
        make_runs(BASE, parse_axes(["ticket.density=0.5,0.50"]))


def test_counting_builds_nothing():
    axes = [Axis(f"a.{k}", tuple(map(str, range(100)))) for k in range(3)]
    assert count([*axes[:2], Axis("seed", ("0", "1"))], zipped=False) == (10_000, 2)
    with pytest.raises(UserError, match=r"makes 100,000,000 runs"):
        count([*axes, Axis("a.4", axes[0].values)], zipped=False)


@pytest.mark.parametrize("text", ["0:1e9999999999999999999999:1", f"0:{'9' * 500}:1"])
def test_what_is_no_number_of_this_world_is_a_text(text):
    (axis,) = parse_axes([f"a.b={text}"])
    assert axis.values == (text,)
