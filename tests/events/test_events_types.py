"""What a recording is, and how events that came late are put in order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spiketicket.errors import UserError
from spiketicket.events import EVENT, Events
from spiketicket.events.reading import Unwrap
from spiketicket.events.stores import sort_by_time


def make(*rows: tuple[int, int, int, int]) -> np.ndarray:
    return np.array(list(rows), EVENT)


def test_an_event_is_13_bytes_of_stated_fields() -> None:
    assert EVENT.itemsize == 13
    assert EVENT.names == ("t", "x", "y", "p")
    assert [EVENT[name].str for name in "txyp"] == ["<i8", "<u2", "<u2", "|u1"]


def test_columns_length_and_duration() -> None:
    events = Events(make((5, 1, 2, 0), (5, 3, 4, 1), (9, 0, 0, 1)), 4, 5, ("told",))
    assert (len(events), events.duration_us, events.sensor, events.notes) == (
        3,
        4,
        (4, 5),
        ("told",),
    )
    assert events.t.tolist() == [5, 5, 9]
    assert events.x.tolist() == [1, 3, 0]
    assert events.y.tolist() == [2, 4, 0]
    assert events.p.tolist() == [0, 1, 1]
    assert Events(make(), 1, 1).duration_us == 0


def test_a_span_holds_its_start_and_not_its_stop() -> None:
    events = Events(make((5, 0, 0, 0), (5, 1, 0, 0), (7, 0, 0, 0), (9, 0, 0, 1)), 2, 1)
    assert events.span(5, 9).t.tolist() == [5, 5, 7]
    assert events.span(6, 7).t.tolist() == []
    assert events.span(0, 100).t.tolist() == [5, 5, 7, 9]
    assert len(events.span(9, 5)) == 0


@pytest.mark.parametrize(
    ("data", "size", "message"),
    [
        (np.zeros(2, "<i8"), (4, 4), "Events.data: must be an array of"),
        (np.zeros((2, 2), EVENT), (4, 4), "Events.data: must be an array of"),
        (make((0, 0, 0, 0), (1, 4, 0, 0)), (4, 9), r"Events.data\[1\].x: must be < 4, .*got 4"),
        (make((0, 0, 0, 0), (1, 4, 9, 0)), (5, 9), r"Events.data\[1\].y: must be < 9, .*got 9"),
        (make((0, 0, 0, 2)), (4, 4), r"Events.data\[0\].p: must be 0 or 1 \(got 2\)"),
        (make((7, 0, 0, 0), (6, 0, 0, 0)), (1, 1), r"Events.data\[1\].t: runs backwards.*got 6"),
        (make(), (0, 4), "Events: the sensor's width must be a whole number from 1 .*got 0"),
        (make(), (4, 65537), "Events: the sensor's height must be"),
        (make(), (4, 4.0), "Events: the sensor's height must be"),
        (make(), (True, 4), "Events: the sensor's width must be"),
    ],
)
def test_what_is_no_recording(data: Any, size: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Events(data, *size)


def test_mistakes_are_found_in_every_block() -> None:
    for index in (65535, 65536, 150_000):
        data = np.zeros(200_000, EVENT)
        data["t"] = np.arange(200_000)
        data["t"][index] = 3
        with pytest.raises(UserError, match=rf"Events.data\[{index}\].t"):
            Events(data, 1, 1)
        data["t"][index] = index
        data["y"][index] = 1
        with pytest.raises(UserError, match=rf"Events.data\[{index}\].y"):
            Events(data, 1, 1)


@pytest.mark.slow
@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.sampled_from([10, 1000, 10**6]), st.sampled_from([1, 200_000]))
def test_sorting_is_stable(seed: int, late: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    data = np.zeros(size, EVENT)
    data["t"] = np.arange(size) // 3 + rng.integers(0, late, size)
    data["x"], data["y"] = np.arange(size) % 65536, np.arange(size) // 65536
    data["p"] = rng.integers(0, 2, size)
    expected = data[np.argsort(data["t"], kind="stable")]
    sort_by_time(data)
    assert np.array_equal(data, expected)


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 127), min_size=1, max_size=200),
    st.integers(0, 10_000),
    st.lists(st.integers(1, 50), min_size=1, max_size=10),
)
def test_a_clock_that_wraps_is_followed_over_blocks(
    steps: list[int], first: int, sizes: list[int]
) -> None:
    truth = first % 256 + np.cumsum([0, *steps])
    unwrap, got, at = Unwrap(8), [], 0
    while at < len(truth):
        size = sizes[len(got) % len(sizes)]
        got.append(unwrap(truth[at : at + size] % 256))
        at += size
    assert np.array_equal(np.concatenate(got), truth)


def test_a_small_step_back_is_no_wrap() -> None:
    assert Unwrap(8)(np.array([200, 73, 199])).tolist() == [200, 73, 199]
    assert Unwrap(8)(np.array([200, 71, 73])).tolist() == [200, 327, 329]
