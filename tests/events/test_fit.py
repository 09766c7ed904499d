"""A region of a recording, its size scaled, and its statistics."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spiketicket.errors import UserError
from spiketicket.events import EVENT, Events
from spiketicket.events.fit import Fit, mismatch, parse_fit, reduced_counts
from spiketicket.events.frames import PlainFraming, to_frames
from spiketicket.events.statistics import Statistics


def recording(rows, sensor=(64, 48)):
    return Events(np.array(rows, EVENT), *sensor)


def drawn(count=400, sensor=(64, 48), seed=0):
    rng = np.random.default_rng(seed)
    t = np.cumsum(rng.integers(0, 3000, count))
    x, y = rng.integers(0, sensor[0], count), rng.integers(0, sensor[1], count)
    return recording(list(zip(t, x, y, rng.integers(0, 2, count), strict=True)), sensor)


def test_a_region_and_a_scale_by_hand():
    events = recording(
        [(1, 10, 8, 1), (2, 29, 27, 0), (3, 30, 10, 1), (4, 9, 10, 0), (5, 20, 18, 1)]
    )
    got = Fit(roi=(10, 8, 20, 20), scale=(4, 2))(events)
    assert got.data.tolist() == [(1, 0, 0, 1), (2, 3, 1, 0), (5, 2, 1, 1)]
    assert got.sensor == (4, 2)
    assert Fit()(events) is events
    assert len(Fit(roi=(0, 0, 1, 1))(events)) == 0


@pytest.mark.slow
@settings(deadline=None, max_examples=50)
@given(st.data())
def test_a_fit_is_a_cut_and_the_frames_own_scaling(data):
    events = drawn()
    left, top = data.draw(st.integers(0, 63)), data.draw(st.integers(0, 47))
    wide, high = data.draw(st.integers(1, 64 - left)), data.draw(st.integers(1, 48 - top))
    scale = data.draw(st.integers(1, wide)), data.draw(st.integers(1, high))
    fit = Fit(roi=(left, top, wide, high), scale=scale)
    assert fit.size((64, 48)) == scale
    span = (0, int(events.t[-1]) + 1)
    got = to_frames(fit(events), PlainFraming(steps=2), span)
    cut = to_frames(events, PlainFraming(steps=2), span)[:, :, top : top + high, left : left + wide]
    columns = np.arange(wide) * scale[0] // wide
    rows = np.arange(high) * scale[1] // high
    wanted = np.zeros((2, 2, scale[1], scale[0]), np.int64)
    for y, x in np.ndindex(high, wide):
        wanted[:, :, rows[y], columns[x]] += cut[:, :, y, x]
    assert np.array_equal(got, wanted)


@pytest.mark.parametrize(
    ("roi", "scale", "message"),
    [
        ("1,2,3", None, "`roi`: must be LEFT,TOP,WIDTH,HEIGHT"),
        (None, "34", "`scale`: must be WIDTHxHEIGHT"),
        ("0,0,0,5", None, "width must be a whole number from 1"),
        ("60,0,5,5", None, "must lie in the sensor of 64x48"),
        ("0,0,8,8", "9x8", "must be at most 8x8"),
        (None, "65x2", "must be at most 64x48"),
    ],
)
def test_fits_with_faults(roi, scale, message):
    with pytest.raises(UserError, match=message):
        parse_fit(roi, scale)(drawn())


def test_parse_fit():
    assert parse_fit(None, None) is None
    assert parse_fit("1,2,3,4", "5x6") == Fit(roi=(1, 2, 3, 4), scale=(5, 6))


@pytest.mark.parametrize(
    ("sensor", "wanted"),
    [((640, 480), (34, 34)), ((346, 260), (128, 128)), ((1280, 720), (34, 60))],
)
def test_what_a_mismatch_says_to_give_works(sensor, wanted):
    message = str(mismatch(sensor, wanted, "a.raw"))
    roi = re.search(r"`roi='([\d,]+)'`", message)[1]
    scale = re.search(r"`scale='([\dx]+)'`", message)[1]
    fit = parse_fit(roi, scale)
    assert fit.size(sensor) == wanted
    left, top, wide, high = fit.roi
    assert abs(wide / high - wanted[0] / wanted[1]) < 0.02
    assert (wide == sensor[0]) or (high == sensor[1])
    assert abs(2 * left + wide - sensor[0]) <= 1
    assert abs(2 * top + high - sensor[1]) <= 1


def test_a_mismatch_that_nothing_helps():
    assert "can only be made smaller" in str(mismatch((20, 20), (34, 34), "a.raw"))
    assert "roi" not in str(mismatch((68, 68), (34, 34), "a.raw"))


@pytest.mark.parametrize("chunk", [1, 7, 400])
def test_statistics_by_chunks_are_those_of_the_whole(chunk):
    events = drawn(sensor=(8, 6))
    numbers = Statistics(sensor=(8, 6))
    for start in range(0, 400, chunk):
        numbers.add(Events(events.data[start : start + chunk], 8, 6))
    facts = numbers.facts()
    t = events.t
    gaps = np.diff(t)
    peaks = np.bincount((t - t[0]) // 10_000)
    assert facts["events"] == 400
    assert facts["duration_s"] == (int(t[-1]) - int(t[0])) / 1e6
    assert facts["peak_rate_per_s"] == peaks.max() * 100
    assert facts["longest_gap_ms"] == gaps.max() / 1000
    assert facts["longest_gap_at_ms"] == (t[gaps.argmax()] - t[0]) / 1000
    assert facts["on_percent"] == 100 * events.p.mean()
    assert facts["resets"] == 0
    whole = to_frames(events, PlainFraming(steps=1))[0]
    assert np.array_equal(numbers.counts, whole)


def test_statistics_of_hot_pixels_gaps_and_resets():
    rows = [(1000 * i, i % 50, i // 50, 1) for i in range(100)]
    rows += [(100_000 + i, 7, 9, 0) for i in range(300)]
    rows += [(400_000, 1, 1, 1), (600_000, 1, 1, 1)]
    numbers = Statistics(sensor=(64, 48))
    numbers.add(recording(rows))
    numbers.add(recording([(5, 1, 1, 1), (105, 1, 1, 1)]))
    facts = numbers.facts()
    assert facts["hot_pixels"] == 1
    assert facts["hottest"] == [{"x": 7, "y": 9, "events": 300}]
    assert (facts["gaps"], facts["resets"]) == (2, 1)
    assert facts["duration_s"] == 0.6001


def test_reduced_counts_keep_the_sum():
    counts = np.arange(2 * 5 * 7).reshape(2, 5, 7)
    small = reduced_counts(counts, 3)
    assert small.shape == (2, 2, 3)
    assert small.sum() == counts.sum()
    assert small[0, 0, 0] == counts[0, :3, :3].sum()
