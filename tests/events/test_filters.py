"""The filters against slow, obvious ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spiketicket.errors import UserError
from spiketicket.events import filters
from spiketicket.events.filters import denoise, filtered, remove_hot_pixels
from spiketicket.events.types import EVENT, Events

Rows = list[tuple[int, int, int, int]]


def recording(rows: Rows, width: int = 5, height: int = 4) -> Events:
    return Events(np.array(rows, EVENT), width, height, ("a note",))


@st.composite
def recordings(draw: st.DrawFn) -> Events:
    width, height = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    row = st.tuples(
        st.integers(-20, 100),
        st.integers(0, width - 1),
        st.integers(0, height - 1),
        st.integers(0, 1),
    )
    rows = sorted(draw(st.lists(row, max_size=60)), key=lambda r: r[0])
    return recording(rows, width, height)


def slow_denoise(events: Events, dt: int) -> Rows:
    rows = events.data.tolist()
    return [
        (t, x, y, p)
        for index, (t, x, y, p) in enumerate(rows)
        if any(
            abs(x - other_x) <= 1 and abs(y - other_y) <= 1 and t - other_t <= dt
            for other_t, other_x, other_y, _ in rows[:index]
        )
    ]


def slow_hot(events: Events, factor: float) -> Rows:
    rows = events.data.tolist()
    counts: dict[tuple[int, int], int] = {}
    for _, x, y, _ in rows:
        counts[x, y] = counts.get((x, y), 0) + 1
    sizes = sorted(counts.values())
    twice_median = sizes[(len(sizes) - 1) // 2] + sizes[len(sizes) // 2] if sizes else 0
    return [row for row in rows if 2 * counts[row[1], row[2]] <= factor * twice_median]


@settings(deadline=None)
@given(recordings(), st.sampled_from([0, 1, 5, 30, 200, 2**62]), st.sampled_from([1, 4, 1000]))
def test_denoise_is_that_of_the_definition(events: Events, dt: int, block: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(filters, "_BLOCK", block)
        assert denoise(events, dt).data.tolist() == slow_denoise(events, dt)


def test_denoise_of_many_events_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    data = np.zeros(20_000, EVENT)
    data["t"] = np.sort(rng.integers(0, 200_000, len(data)))
    data["x"], data["y"] = rng.integers(0, 40, (2, len(data)))
    events = Events(data, 40, 40)
    latest = np.full((42, 42), -(10**9))
    expected = []
    for t, x, y, _ in data.tolist():
        expected.append((latest[y : y + 3, x : x + 3] >= t - 1000).any())
        latest[y + 1, x + 1] = t
    monkeypatch.setattr(filters, "_BLOCK", 700)
    kept = denoise(events, 1000)
    assert np.array_equal(kept.data, data[np.array(expected)])
    assert 0.3 < len(kept) / len(data) < 0.7
    assert kept.notes == (f"noise removed: {20_000 - len(kept)} of 20000 events",)


@pytest.mark.parametrize("block", [1, 2, 100])
def test_exactly_dt_earlier_is_near_enough(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filters, "_BLOCK", block)
    events = recording([(10 * index, index % 2, 0, 0) for index in range(6)])
    assert len(denoise(events, 10)) == 5
    assert len(denoise(events, 9)) == 0


def test_the_edges_of_the_sensor_are_no_neighbours() -> None:
    assert len(denoise(recording([(0, 4, 1, 0), (1, 0, 2, 0)]), 100)) == 0
    assert len(denoise(recording([(0, 0, 0, 0), (1, 4, 3, 0)]), 100)) == 0


def test_denoise_with_times_as_far_apart_as_they_can_be() -> None:
    low, high = -(2**63), 2**63 - 1
    events = recording([(low, 0, 0, 0), (high - 1, 0, 0, 0), (high, 0, 0, 0)])
    assert denoise(events, 1).data.tolist() == [(high, 0, 0, 0)]


@settings(deadline=None)
@given(recordings(), st.sampled_from([1, 1.5, 2, 3.25]))
def test_hot_pixels_are_those_of_the_definition(events: Events, factor: float) -> None:
    kept = remove_hot_pixels(events, factor)
    assert kept.data.tolist() == slow_hot(events, factor)
    assert bool(len(kept)) == bool(len(events))


def test_what_is_removed_is_noted() -> None:
    rows = [(t, 1, 1, 0) for t in range(10)] + [(20, 2, 1, 0), (30, 3, 1, 0)]
    events = recording(rows)
    assert remove_hot_pixels(events, 5).notes == (
        "a note",
        "1 hot pixel removed: 10 of 12 events",
    )
    assert filtered(events, 5, 15).notes[2] == "noise removed: 1 of 2 events"
    assert filtered(events, None, None) is events
    assert remove_hot_pixels(events, 10) is events


def test_both_take_no_events() -> None:
    assert len(filtered(recording([]), 2, 10)) == 0


def test_ranges() -> None:
    for factor in (0.5, float("nan")):
        with pytest.raises(UserError, match=r"^hot_pixel: must be at least 1"):
            remove_hot_pixels(recording([]), factor)
    with pytest.raises(UserError, match=r"^denoise_us: must not be negative \(got -1\)"):
        denoise(recording([]), -1)
