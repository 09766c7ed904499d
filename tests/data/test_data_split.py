"""Stratified draws: validation, the training limit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from spiketicket.data import Dataset, Samples, carve, load_dataset, make_config, training_split
from spiketicket.data.split import limit, quotas
from spiketicket.errors import UserError

SIZES = st.lists(st.integers(1, 60), min_size=1, max_size=12).map(np.array)


def samples(sizes: list[int], order: int = 0) -> Samples:
    """Samples whose pixel is their own number, classes mixed."""
    y = np.repeat(np.arange(len(sizes)), sizes)
    y = np.random.default_rng(order).permutation(y).astype(np.int64)
    number = np.arange(len(y), dtype="<u2").view(np.uint8).reshape(-1, 2, 1, 1)
    return Samples(number, y)


def numbers(part: Samples) -> list[int]:
    return np.ascontiguousarray(part.x.reshape(-1, 2)).view("<u2").reshape(-1).tolist()


@settings(deadline=None)
@given(SIZES, st.data())
def test_quotas_are_whole_fair_and_add_up(sizes: np.ndarray, data: st.DataObject) -> None:
    count = data.draw(st.integers(0, int(sizes.sum())))
    shares = quotas(sizes, count)
    exact = sizes * count / sizes.sum()
    assert shares.sum() == count
    assert (shares <= sizes).all()
    assert (np.abs(shares - exact) < 1).all()


def test_quotas_give_what_is_left_to_the_largest_remainders() -> None:
    assert quotas(np.array([50, 30, 15, 5]), 10).tolist() == [5, 3, 2, 0]
    assert quotas(np.array([7, 7, 7]), 2).tolist() == [1, 1, 0]


@settings(deadline=None)
@given(
    st.lists(st.integers(2, 40), min_size=2, max_size=6),
    st.floats(0.05, 0.95),
    st.integers(0, 2**63 - 1),
)
def test_carve_parts_the_samples(sizes: list[int], fraction: float, seed: int) -> None:
    whole = samples(sizes)
    try:
        rest, part = carve(whole, fraction, seed)
    except UserError:
        assume(False)
    assert sorted(numbers(rest) + numbers(part)) == list(range(sum(sizes)))
    for one in (rest, part):
        assert numbers(one) == sorted(numbers(one)), "the order is kept"
        assert np.array_equal(one.y, whole.y[numbers(one)])
        assert set(one.y.tolist()) == set(range(len(sizes)))
    assert abs(len(part) - fraction * sum(sizes)) <= 0.5 + 1e-9


def test_carve_is_a_function_of_the_seed() -> None:
    whole = samples([40, 40])
    first, again, other = (numbers(carve(whole, 0.5, seed)[1]) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert numbers(carve(whole, 0.5, 1, part="test")[1]) != first


def test_half_a_sample_is_rounded_up_as_it_is_written() -> None:
    # As floats 0.29 * 50 is just below 14.5.
    assert len(carve(samples([25, 25]), 0.29, 0)[1]) == 15
    assert len(carve(samples([25, 25]), 0.27, 0)[1]) == 14


def test_draws_are_fixed_for_ever() -> None:
    pixels = np.arange(12, dtype=np.uint8).reshape(-1, 1, 1, 1)
    whole = Samples(pixels, np.arange(12, dtype=np.int64) % 2)
    assert carve(whole, 0.5, 7)[1].x.reshape(-1).tolist() == CARVED
    assert limit(whole, 4, 7).x.reshape(-1).tolist() == LIMITED


CARVED = [0, 1, 2, 7, 10, 11]
LIMITED = [0, 3, 4, 7]


@pytest.mark.parametrize(
    ("sizes", "fraction", "message"),
    [
        ([20, 20], 0.02, "leaves class dog (20 samples) no sample for validation (got 0.02)"),
        ([20, 20], 0.98, "leaves class cat (20 samples) nothing but validation"),
        ([20, 1], 0.5, "A class needs at least 2 samples to be split"),
        ([200, 10], 0.04, "class dog (10 samples) no sample for validation"),
    ],
)
def test_a_fraction_that_leaves_nothing(sizes: list[int], fraction: float, message: str) -> None:
    with pytest.raises(UserError) as caught:
        carve(samples(sizes), fraction, 0, classes=("cat", "dog"))
    assert message in str(caught.value)
    assert str(caught.value).startswith("data.validation: ")


@settings(deadline=None)
@given(st.lists(st.integers(2, 50), min_size=2, max_size=8))
def test_the_fractions_of_the_remedy_work(sizes: list[int]) -> None:
    with pytest.raises(UserError) as caught:
        carve(samples(sizes), 1e-9, 0)
    low, high = str(caught.value).split(" from ")[1].split(" to ")
    for fraction in (float(low), float(high)):
        rest, part = carve(samples(sizes), fraction, 0)
        assert len(set(rest.y)) == len(set(part.y)) == len(sizes)


def test_limit_draws_evenly_and_grows_by_adding() -> None:
    whole = samples([30, 20, 10])
    parts = {count: limit(whole, count, 3) for count in (6, 12, 30, 60)}
    assert {count: part.counts(3).tolist() for count, part in parts.items()} == {
        6: [3, 2, 1],
        12: [6, 4, 2],
        30: [15, 10, 5],
        60: [30, 20, 10],
    }
    assert set(numbers(parts[6])) < set(numbers(parts[12])) < set(numbers(parts[30]))


@pytest.mark.parametrize(
    ("count", "message"),
    [(61, "only 60 training samples are left"), (3, "leaves a class"), (0, "leaves a class")],
)
def test_limit_that_cannot_be_kept(count: int, message: str) -> None:
    with pytest.raises(UserError, match=rf"data.train_limit: {message}.*got {count}"):
        limit(samples([40, 15, 5]), count, 0)


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_dataset(make_config("digits"))


def test_validation_does_not_depend_on_the_limit(digits: Dataset) -> None:
    full, validation = training_split(digits, make_config("digits"), 5)
    part, same = training_split(digits, make_config("digits", train_limit=100), 5)
    assert (len(full), len(validation), len(part)) == (1293, 144, 100)
    assert np.array_equal(validation.x, same.x)
    inside = {image.tobytes() for image in full.x}
    assert all(image.tobytes() in inside for image in part.x)


def test_digits_validation_that_leaves_nothing(digits: Dataset) -> None:
    with pytest.raises(UserError, match=r"data.validation: leaves class \d .*Use a validation"):
        training_split(digits, make_config("digits", validation=0.001), 0)
