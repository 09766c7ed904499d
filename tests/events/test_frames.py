"""Frames against a slow, obvious count."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spiketicket.errors import UserError
from spiketicket.events.frames import FrameConfig, narrow, to_frames
from spiketicket.events.types import EVENT, Events


def recording(rows: list[tuple[int, int, int, int]], width: int = 4, height: int = 3) -> Events:
    return Events(np.array(rows, EVENT), width, height)


@st.composite
def recordings(draw: st.DrawFn, least: int = 1) -> Events:
    """Few or many events, at times that are close, equal, huge or negative."""
    width, height = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    count = draw(st.integers(least, 60))
    start = draw(st.sampled_from([0, 1, -5, 10**6, 2**62]))
    longest = draw(st.sampled_from([0, 1, 7, 1000, 10**15]))
    row = st.tuples(
        st.integers(start, start + longest),
        st.integers(0, width - 1),
        st.integers(0, height - 1),
        st.integers(0, 1),
    )
    rows = sorted(draw(st.lists(row, min_size=count, max_size=count)), key=lambda r: r[0])
    return recording(rows, width, height)


@st.composite
def configs(draw: st.DrawFn, events: Events) -> FrameConfig:
    return FrameConfig(
        steps=draw(st.integers(1, 20)),
        by=draw(st.sampled_from(["time", "count"])),
        values=draw(st.sampled_from(["sum", "binary"])),
        height=draw(st.none() | st.integers(1, events.height)),
        width=draw(st.none() | st.integers(1, events.width)),
        merge_polarity=draw(st.booleans()),
    )


def slow_frames(events: Events, config: FrameConfig, span: tuple[int, int] | None) -> Any:
    """The definition, one event after the other, in Python's numbers."""
    height, width = config.height or events.height, config.width or events.width
    frames = np.zeros((config.steps, config.channels, height, width), int)
    rows = events.data.tolist()
    start, stop = span or (rows[0][0], rows[-1][0] + 1)
    for index, (t, x, y, p) in enumerate(rows):
        if config.by == "time":
            step = (t - start) * config.steps // (stop - start)
        else:
            step = index * config.steps // len(rows)
        channel = 0 if config.merge_polarity else p
        frames[step, channel, y * height // events.height, x * width // events.width] += 1
    return frames if config.values == "sum" else (frames > 0).astype(int)


@pytest.mark.slow
@settings(deadline=None)
@given(st.data())
def test_frames_are_those_of_the_definition(data: st.DataObject) -> None:
    events = data.draw(recordings())
    config = data.draw(configs(events))
    frames = to_frames(events, config)
    assert frames.dtype == (np.uint16 if config.values == "sum" else np.uint8)
    assert frames.flags.c_contiguous
    assert np.array_equal(frames, slow_frames(events, config, None))


@pytest.mark.slow
@settings(deadline=None)
@given(recordings(), st.integers(1, 40), st.sampled_from(["time", "count"]))
def test_every_event_is_in_exactly_one_frame(events: Events, steps: int, by: Any) -> None:
    frames = to_frames(events, FrameConfig(steps=steps, by=by))
    total = np.zeros((2, events.height, events.width), int)
    np.add.at(total, (events.p, events.y, events.x), 1)
    assert np.array_equal(frames.sum(0), total)


@pytest.mark.slow
@settings(deadline=None)
@given(st.data())
def test_a_span_sets_the_steps(data: st.DataObject) -> None:
    events = data.draw(recordings(least=0))
    config = data.draw(configs(events))
    first, last = (int(events.t[0]), int(events.t[-1])) if len(events) else (3, 3)
    span = (first - data.draw(st.integers(0, 50)), last + data.draw(st.integers(1, 50)))
    assert np.array_equal(to_frames(events, config, span), slow_frames(events, config, span))


def test_equal_time_by_hand() -> None:
    events = recording([(10, 0, 0, 0), (12, 1, 0, 1), (13, 1, 0, 1), (19, 3, 2, 1)])
    frames = to_frames(events, FrameConfig(steps=3))
    # 10 to 19 is ten microseconds: steps begin at 10, 14 (the first t with 3 * (t - 10) >= 10), 17.
    assert frames.sum((1, 2, 3)).tolist() == [3, 0, 1]
    assert frames[0, 0, 0].tolist() == [1, 0, 0, 0]
    assert frames[0, 1, 0].tolist() == [0, 2, 0, 0]
    assert frames[2, 1, 2].tolist() == [0, 0, 0, 1]


def test_equal_count_by_hand() -> None:
    events = recording([(t, t % 4, 0, 0) for t in range(7)])
    frames = to_frames(events, FrameConfig(steps=3, by="count"))
    assert frames.sum((1, 2, 3)).tolist() == [3, 2, 2]


def test_one_event_and_more_frames_than_events() -> None:
    frames = to_frames(recording([(5, 1, 1, 1)]), FrameConfig(steps=4))
    assert frames.sum((1, 2, 3)).tolist() == [1, 0, 0, 0]


def test_counts_beyond_a_byte_and_beyond_two() -> None:
    data = np.zeros(65536, EVENT)
    config = FrameConfig(steps=1)
    assert to_frames(Events(data[:-1], 2, 2), config).max() == 65535
    with pytest.raises(UserError, match=r"more than 65535 events in frame 0 \(got 65536\)\. Use"):
        to_frames(Events(data, 2, 2), config)
    assert to_frames(Events(data, 2, 2), FrameConfig(steps=2, by="count")).max() == 32768
    assert to_frames(Events(data, 2, 2), FrameConfig(steps=1, values="binary")).sum() == 1


def test_narrow_keeps_every_count() -> None:
    small, large = np.array([[255]], np.uint16), np.array([[256]], np.uint16)
    assert narrow(small).dtype == np.uint8
    assert narrow(small).tolist() == [[255]]
    assert narrow(large) is large


def test_the_filters_come_first() -> None:
    noise, signal = [(0, 0, 0, 0)], [(1000 + t, 2, 1, 1) for t in range(10)]
    frames = to_frames(recording(noise + signal), FrameConfig(steps=2, denoise_us=5))
    # The first kept event is the second on the pixel: nine, over nine microseconds.
    assert frames.sum((1, 2, 3)).tolist() == [5, 4]
    hot = recording([(t, 0, 0, 0) for t in range(9)] + [(9, 1, 0, 0), (9, 2, 0, 0)])
    assert to_frames(hot, FrameConfig(steps=1, hot_pixel=2)).sum() == 2


def test_no_event() -> None:
    empty = recording([])
    with pytest.raises(UserError, match=r"^frames: the recording has no events\. Leave"):
        to_frames(empty, FrameConfig())
    for by in ("time", "count"):
        frames = to_frames(empty, FrameConfig(steps=5, by=by), (0, 100))
        assert frames.shape == (5, 2, 3, 4)
        assert not frames.any()


def test_no_event_after_the_filters() -> None:
    alone = recording([(0, 0, 0, 0), (1000, 3, 2, 0)])
    config = FrameConfig(steps=2, denoise_us=10)
    with pytest.raises(UserError, match="the filters leave none of 2 events"):
        to_frames(alone, config)
    assert not to_frames(alone, config, (0, 2000)).any()


@pytest.mark.parametrize(
    ("fields", "span", "message"),
    [
        ({"width": 5}, None, "frames.width: must be at most 4, the sensor's"),
        ({"height": 4}, None, "frames.height: must be at most 3, the sensor's"),
        ({}, (5, 20), "leaves out events, which go from 0 to 9 (got (5, 20)). Cut the events"),
        ({}, (0, 9), "leaves out events, which go from 0 to 9"),
        ({}, (9, 9), "frames.span_us: must stop after its start (got (9, 9))"),
    ],
)
def test_what_cannot_be_framed(fields: Any, span: Any, message: str) -> None:
    with pytest.raises(UserError) as caught:
        to_frames(recording([(0, 0, 0, 0), (9, 3, 2, 1)]), FrameConfig(**fields), span)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "fields",
    [
        {"steps": 0},
        {"by": "events"},
        {"values": "mean"},
        {"width": 0},
        {"hot_pixel": 0.5},
        {"denoise_us": -1},
        {"side": 3},
    ],
)
def test_ranges(fields: Any) -> None:
    with pytest.raises(ValueError, match="validation error"):
        FrameConfig(**fields)
