"""Errors say where, what, which value and what to do."""

import pickle

import pytest

from spiketicket.errors import RecipeError, SpikeTicketError, UserError


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (UserError("is missing"), "is missing"),
        (
            UserError("must be <= 1", where="x.toml: a.b", value=1.5),
            "x.toml: a.b: must be <= 1 (got 1.5)",
        ),
        (UserError("is empty", value=None), "is empty (got None)"),
        (
            UserError("unknown", where="a", value="b", remedy="Known: c"),
            "a: unknown (got 'b'). Known: c",
        ),
    ],
)
def test_text(error: UserError, text: str) -> None:
    assert str(error) == text
    assert isinstance(error, SpikeTicketError)


def test_long_values_are_cut() -> None:
    text = str(UserError("is long", value="x" * 10_000))
    assert len(text) < 120
    assert "..." in text


@pytest.mark.parametrize("error", [UserError("w", where="a", value=1), RecipeError(["a", "b"])])
def test_errors_travel_between_processes(error: UserError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)


def test_a_recipe_error_has_a_line_for_every_problem() -> None:
    assert RecipeError(["a", "b"]).problems == ("a", "b")
    assert str(RecipeError(["a", "b"])) == "a\nb"


def test_a_value_that_python_does_not_show_is_no_reason_to_fail() -> None:
    nested: list[object] = []
    for _ in range(100_000):
        nested = [nested]
    for value, told in ((1 << 100_000, "a int too large"), (nested, "a list too large")):
        assert f"(got {told} to be shown)" in str(UserError("is wrong", value=value))
