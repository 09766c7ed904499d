"""The simulated camera against a slow program of its own, pixel by pixel."""

import math
from itertools import pairwise

import numpy as np
import pytest

from spiketicket.errors import UserError
from spiketicket.events import simulate
from spiketicket.events.simulate import Camera, record
from spiketicket.streams import Stream

QUIET = Camera(noise_hz=0.0, saccade_us=4_000, samples=8, amplitude=2.0, refractory_us=300)


def picture(seed=0, side=6):
    return np.random.default_rng(seed).integers(0, 256, (side, side), dtype=np.uint8)


def streams(count):
    return [Stream(7, "noise", i) for i in range(count)]


def brightness(image, row, column):
    """Light at a place between pixels, by the areas it overlaps; dark outside."""
    total = 0.0
    for y in (math.floor(row), math.floor(row) + 1):
        for x in (math.floor(column), math.floor(column) + 1):
            inside = 0 <= y < len(image) and 0 <= x < len(image)
            share = (1 - abs(row - y)) * (1 - abs(column - x))
            total += share * (float(image[y, x]) if inside else 0.0)
    return total


def slow(image, camera):
    """Every event, one pixel after the other; logarithms are rounded to a 4096th."""
    threshold = round(4096 * camera.threshold)
    corners = [(camera.amplitude * x, camera.amplitude * y) for x, y in simulate._CORNERS]
    shifts = [(0.0, 0.0)]
    for a, b in pairwise(corners):
        for k in range(1, camera.samples + 1):
            at = [p + (q - p) * k / camera.samples for p, q in zip(a, b, strict=True)]
            shifts.append(tuple(math.floor(v * 16) / 16 for v in at))
    step = camera.saccade_us // camera.samples
    found = []
    for y in range(len(image)):
        for x in range(len(image)):
            seen = [brightness(image, y - r, x - c) for c, r in shifts]
            light = [round(4096 * math.log1p(value / camera.dark)) for value in seen]
            level, last = light[0], -(10**9)
            for k, now in enumerate(light[1:]):
                count = abs(now - level) // threshold
                on = now > level
                for number in range(count):
                    time = k * step + (number + 1) * step // (count + 1)
                    if time - last >= camera.refractory_us:
                        found.append((time, x, y, int(on)))
                        last = time
                level += count * threshold if on else -count * threshold
    return sorted(found, key=lambda e: (e[0], e[2], e[1], e[3]))


@pytest.mark.parametrize("seed", range(3))
def test_events_are_those_of_a_slow_simulation(seed):
    image = picture(seed)
    (found,) = record(image[np.newaxis], QUIET, streams(1))
    wanted = slow(image, QUIET)
    assert len(wanted) > 100
    assert [tuple(int(v) for v in e) for e in found.data] == wanted


def test_a_uniform_dark_image_gives_noise_alone_at_its_rate():
    camera = Camera(noise_hz=50.0, saccade_us=100_000)
    found = record(np.zeros((4, 10, 20), np.uint8), camera, streams(4))
    expected = 50.0 * 200 * 0.3
    assert all(abs(len(e) - expected) <= 1 for e in found)
    assert {(e.width, e.height) for e in found} == {(20, 10)}
    first = found[0]
    assert 0.4 < first.p.mean() < 0.6
    assert first.data["t"].max() < 300_000
    assert len({(int(x), int(y)) for x, y in zip(first.x, first.y, strict=True)}) > 150
    assert not np.array_equal(found[0].data, found[1].data)


def test_a_recording_depends_on_its_own_image_and_stream_alone():
    images = np.stack([picture(i) for i in range(70)])
    camera = Camera(saccade_us=4_000, samples=4)
    together = record(images, camera, streams(70))
    for index in (0, 63, 64, 69):
        (alone,) = record(images[index : index + 1], camera, streams(70)[index : index + 1])
        assert np.array_equal(alone.data, together[index].data)


def test_refractory_time_keeps_events_of_a_pixel_apart():
    (found,) = record(picture()[np.newaxis], QUIET, streams(1))
    for place in {(int(x), int(y)) for x, y in zip(found.x, found.y, strict=True)}:
        times = found.t[(found.x == place[0]) & (found.y == place[1])]
        assert np.diff(times).min(initial=10**9) >= QUIET.refractory_us


def test_a_higher_threshold_gives_fewer_events():
    counts = [
        len(record(picture()[np.newaxis], Camera(threshold=c, noise_hz=0.0), streams(1))[0])
        for c in (0.1, 0.3, 0.9)
    ]
    assert counts[0] > counts[1] > counts[2] > 0


@pytest.mark.parametrize(
    "change", [{"threshold": 0.0}, {"dark": 0.0}, {"noise_hz": -1.0}, {"samples": 0}]
)
def test_a_camera_that_cannot_be_is_refused(change):
    with pytest.raises(UserError):
        Camera(**change)


def test_what_is_not_a_stack_of_images_is_refused():
    with pytest.raises(UserError, match="one stream each"):
        record(np.zeros((2, 4, 4), np.uint8), Camera(), streams(1))
    with pytest.raises(UserError, match="uint8"):
        record(np.zeros((1, 4, 4)), Camera(), streams(1))
