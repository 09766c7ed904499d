"""Event augmentation: what each does, and that it is a function of its stream."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spiketicket.errors import UserError
from spiketicket.events.augment import EventAugmentConfig, augment, drop, jitter, mirror, shift
from spiketicket.events.types import EVENT, Events
from spiketicket.streams import Stream

ALL = EventAugmentConfig(shift=3, flip=True, drop=0.25, jitter_us=500)


def recording(count: int, seed: int = 0, width: int = 20, height: int = 12) -> Events:
    rng = np.random.default_rng(seed)
    data = np.zeros(count, EVENT)
    data["t"] = np.sort(rng.integers(0, 10_000, count))
    data["x"], data["y"] = rng.integers(0, width, count), rng.integers(0, height, count)
    data["p"] = rng.integers(0, 2, count)
    return Events(data, width, height, ("a note",))


def same(a: Events, b: Events) -> bool:
    return np.array_equal(a.data, b.data) and a.sensor == b.sensor and a.notes == b.notes


@settings(deadline=None)
@given(st.integers(0, 80), st.integers(-25, 25), st.integers(-25, 25))
def test_shift(count: int, dx: int, dy: int) -> None:
    events = recording(count)
    expected = [
        (t, x + dx, y + dy, p)
        for t, x, y, p in events.data.tolist()
        if 0 <= x + dx < 20 and 0 <= y + dy < 12
    ]
    assert shift(events, dx, dy).data.tolist() == expected


def test_mirror_twice_is_nothing() -> None:
    events = recording(50)
    assert mirror(events).data.tolist() == [
        (t, 19 - x, y, p) for t, x, y, p in events.data.tolist()
    ]
    assert same(mirror(mirror(events)), events)


@settings(deadline=None)
@given(st.integers(0, 300), st.integers(0, 2000), st.integers(0, 2**63))
def test_jitter(count: int, most: int, seed: int) -> None:
    events = recording(count)
    result = jitter(events, most, Stream(seed))
    assert len(result) == count
    assert sorted(result.data[["x", "y", "p"]].tolist()) == sorted(
        events.data[["x", "y", "p"]].tolist()
    )
    assert (np.diff(result.t) >= 0).all()
    assert (result.t >= 0).all()
    draws = Stream(seed).integers(count, 2 * most + 1) - most
    assert sorted(result.t.tolist()) == sorted(np.maximum(events.t + draws, 0).tolist())


def test_jitter_reaches_both_ends_and_keeps_equal_times_in_order() -> None:
    data = np.zeros(3000, EVENT)
    data["t"], data["x"] = 100, np.arange(3000) % 7
    result = jitter(Events(data, 7, 1), 2, Stream(1))
    assert np.unique(result.t).tolist() == [98, 99, 100, 101, 102]
    assert np.array_equal(jitter(Events(data, 7, 1), 0, Stream(1)).data, data)


def test_drop_keeps_its_share_in_order() -> None:
    events = recording(20_000)
    kept = drop(events, 0.25, Stream(3))
    assert abs(len(kept) / 20_000 - 0.75) < 0.015
    # Each event of the result is found in the recording, further on than the one before.
    rest = iter(events.data.tolist())
    assert all(row in rest for row in kept.data.tolist())
    more = drop(events, 0.5, Stream(3))
    assert len(more) < len(kept), "the same draws, a higher threshold"


def test_a_function_of_seed_epoch_and_index() -> None:
    events = recording(400)
    results = {
        path: augment(events, ALL, Stream(7, "augment", *path)) for path in [(0, 0), (0, 1), (1, 0)]
    }
    for path, result in results.items():
        assert same(augment(events, ALL, Stream(7, "augment", *path)), result)
    assert len({result.data.tobytes() for result in results.values()}) == 3
    before = events.data.copy()
    augment(events, ALL, Stream(0))
    assert np.array_equal(events.data, before), "the recording itself is left alone"


def test_draws_are_fixed_for_ever() -> None:
    rows = [(1000 * index, 2 + index, 3 + index, index % 2) for index in range(6)]
    result = augment(Events(np.array(rows, EVENT), 20, 12), ALL, Stream(5, "augment", 0, 0))
    assert result.data.tolist() == FIXED


FIXED = [(0, 19, 4, 0), (1337, 18, 5, 1), (3149, 16, 7, 1), (4373, 15, 8, 0), (4875, 14, 9, 1)]


def test_each_draws_for_itself() -> None:
    events, stream = recording(300), Stream(11)
    alone = augment(events, EventAugmentConfig(flip=True), stream)
    shifted = augment(events, EventAugmentConfig(flip=True, shift=2), stream)
    assert same(alone, mirror(events)) == (
        not same(shifted, augment(events, EventAugmentConfig(shift=2), stream))
    )


def test_all_shifts_and_both_sides_occur() -> None:
    middle = Events(np.array([(0, 10, 6, 1)], EVENT), 20, 12)
    config = EventAugmentConfig(shift=1, flip=True)
    seen = {
        tuple(augment(middle, config, Stream(0, index)).data[["x", "y"]].tolist()[0])
        for index in range(300)
    }
    # Mirrored, column 10 of 20 is 9.
    assert seen == {(x, y) for x in (8, 9, 10, 11) for y in (5, 6, 7)}


def test_nothing_by_default() -> None:
    events = recording(10)
    assert augment(events, EventAugmentConfig(), Stream(0)) is events


def test_no_events_stay_none() -> None:
    assert len(augment(recording(0), ALL, Stream(0))) == 0


def test_bad_input() -> None:
    with pytest.raises(UserError, match=r"^augment.shift: must be less than 12, the sensor's"):
        augment(recording(3), EventAugmentConfig(shift=12), Stream(0))
    early = Events(np.array([(-1, 0, 0, 0)], EVENT), 1, 1)
    with pytest.raises(UserError, match=r"must not be negative \(got -1\)"):
        jitter(early, 5, Stream(0))
    for fields in ({"drop": 1.0}, {"shift": -1}, {"jitter_us": -1}):
        with pytest.raises(ValueError, match="validation error"):
            EventAugmentConfig(**fields)
