"""``spiketicket.live`` on recordings: which windows, which answers."""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from live_events import SENSOR, drawn

import spiketicket
from spiketicket import Engine
from spiketicket.errors import UserError
from spiketicket.events.fit import Fit

MAX = math.inf


def test_answers_are_those_of_the_same_windows_alone_to_the_bit(
    engine: Engine, recording: Callable[..., Path], frames_of: Callable[..., Any]
) -> None:
    data = drawn(3000, 205_000)
    path = recording(data)
    with spiketicket.live(engine, path, window_ms=50, hop_ms=20, speed=MAX) as running:
        found = list(running)
    starts = [d.start_us for d in found]
    assert starts == [1000 + 20_000 * k for k in range(8)]  # the last one ends at 191 ms
    for decision in found:
        start, stop = decision.start_us, decision.stop_us
        inside = data[(data["t"] >= start) & (data["t"] < stop)]
        expected = engine.run(frames_of(data, start, stop)[None])[0]
        assert decision.logits == tuple(map(float, expected))
        assert decision.best == int(expected.argmax())
        assert decision.events == len(inside)
        assert decision.last_us == inside["t"][-1]
        assert stop - start == 50_000
    assert running.summary()["events"] == 3000
    assert running.summary()["dropped_windows"] == 0


def test_carried_state_gives_the_answer_of_all_steps_at_once(
    engine: Engine, recording: Callable[..., Path], frames_of: Callable[..., Any]
) -> None:
    data = drawn(4000, 100_000, seed=1)
    found = list(spiketicket.live(engine, recording(data), window_ms=40, state="carry", speed=MAX))
    assert [d.stop_us - d.start_us for d in found] == [10_000] * 10
    whole = engine.run(frames_of(data, 1000, 41_000)[None])[0]
    np.testing.assert_allclose(found[3].logits, whole, rtol=1e-5, atol=1e-5)
    # Membranes go on behind the first T steps: the answer there is not that from rest.
    state, steps = engine.state(), []
    for frame in frames_of(data, 1000, 101_000, steps=10):
        state.restart_mean()
        steps.append(engine.step(state, frame[None])[0])
    np.testing.assert_allclose(found[9].logits, np.mean(steps[6:], 0), rtol=1e-5, atol=1e-5)
    rest = engine.run(frames_of(data, 61_000, 101_000)[None])[0]
    assert not np.allclose(found[9].logits, rest)


def test_windows_by_number_of_events(engine: Engine, recording: Callable[..., Path]) -> None:
    data = drawn(1050, 50_000)
    path = recording(data)
    found = list(spiketicket.live(engine, path, window_events=400, hop_events=100, speed=MAX))
    assert [d.events for d in found] == [400] * 7
    assert [d.last_us for d in found] == [data["t"][399 + 100 * k] for k in range(7)]


def test_a_folder_is_one_recording_after_the_other(
    engine: Engine, recording: Callable[..., Path]
) -> None:
    for number in range(2):
        path = recording(drawn(500, 35_000, seed=number, start_us=9), f"{number}.npy")
    found = list(spiketicket.live(engine, path.parent, window_ms=10, speed=MAX))
    assert [d.start_us for d in found] == [9, 10_009, 20_009] * 2


def test_at_its_own_speed_a_recording_takes_its_time(
    engine: Engine, recording: Callable[..., Path]
) -> None:
    path = recording(drawn(2000, 200_000))
    began = time.perf_counter()
    found = list(spiketicket.live(engine, path, window_ms=50, speed=1))
    assert time.perf_counter() - began >= 0.2
    assert [d.start_us for d in found] == [1000 + 50_000 * k for k in range(4)]
    assert all(0 <= d.wait_us <= d.latency_us for d in found)


def test_loop_plays_again(engine: Engine, recording: Callable[..., Path]) -> None:
    path = recording(drawn(500, 20_000))
    running = spiketicket.live(engine, path, window_ms=10, speed=MAX, loop=True)
    found = [d.start_us for d, _ in zip(running, range(6), strict=False)]
    running.close()
    assert found == [1000, 11_000] * 3


def test_a_recording_that_breaks_off_keeps_its_decisions(
    engine: Engine, tmp_path: Path, recording: Callable[..., Path]
) -> None:
    recording(drawn(500, 20_000), "a.npy")
    (tmp_path / "b.npy").write_bytes(b"\x93NUMPY but not really")
    running = spiketicket.live(engine, tmp_path, window_ms=10, speed=MAX)
    found = []
    with pytest.raises(UserError, match=r"b\.npy"):
        found.extend(running)
    assert len(found) == running.summary()["decisions"] == 2


def test_another_sensor_is_told_what_to_crop_or_scale(
    engine: Engine, recording: Callable[..., Path]
) -> None:
    data = drawn(900, 20_000)
    data["x"] += 100
    path = recording(data)
    asked: dict[str, Any] = {"window_ms": 20, "speed": MAX, "sensor": (640, 480)}
    with pytest.raises(UserError, match=r"640x480.*34x34.*scale.*34x34.*roi.*80,0,480,480"):
        spiketicket.live(engine, path, **asked)
    (cropped,) = spiketicket.live(engine, path, **asked, fit=Fit(roi=(100, 0, *SENSOR)))
    data["x"] -= 100
    (plain,) = spiketicket.live(engine, recording(data), window_ms=20, speed=MAX)
    assert cropped.logits == plain.logits
    (scaled,) = spiketicket.live(engine, path, **asked, fit=Fit(scale=SENSOR))
    assert scaled.events == 900


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({}, "how long a window is"),
        ({"window_ms": 0}, "must be from 1"),
        ({"window_ms": math.nan}, "must be a number"),
        ({"window_ms": 1, "window_events": 5}, "not by both"),
        ({"window_ms": 1, "speed": 0.0}, "above 0"),
        ({"window_ms": 1, "queue": 0}, "from 1 to"),
        ({"window_ms": 1, "fit": Fit(roi=(30, 0, 34, 34))}, "must lie in the sensor"),
        ({"window_ms": 1, "fit": Fit(roi=(0, 0, 10, 10))}, "can only be made smaller"),
    ],
)
def test_what_cannot_be_is_refused(
    engine: Engine, recording: Callable[..., Path], asked: dict[str, Any], words: str
) -> None:
    with pytest.raises(UserError, match=words):
        spiketicket.live(engine, recording(drawn(100, 5000)), **asked)


def test_a_ticket_for_pictures_is_refused(recording: Callable[..., Path]) -> None:
    with pytest.raises(UserError, match="classifies pictures"):
        spiketicket.live("digits-binw", recording(drawn(100, 5000)), window_ms=1)
