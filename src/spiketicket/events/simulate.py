"""A simulated event camera that looks at a still image while it moves: saccades over pictures.

The sensor sees the image shifted along a triangle of three saccades, as the recordings of N-MNIST
were made (Orchard et al. 2015). A pixel remembers the logarithm of the light at its last event
and fires as often as the logarithm has moved on by the contrast threshold since (Lichtsteiner et
al. 2008; Rebecq et al., "ESIM", CoRL 2018):

    L = ln(1 + light / dark),   ON events while L - L_ref >= C,   OFF while L_ref - L >= C

Not simulated: mismatch between pixels, leak events, motion blur, the bandwidth of the sensor.
All arithmetic is of whole numbers, so the same events come out on every machine.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from spiketicket.errors import UserError
from spiketicket.events.types import EVENT, EventArray, Events
from spiketicket.streams import Stream

_UNIT: Final = 1 << 12
"""Whole numbers that a step of 1 in the natural logarithm is."""
_PARTS: Final = 16
"""Parts of a pixel by which the image can be shifted."""
_CORNERS: Final = ((0.0, 0.0), (1.0, 0.5), (0.0, 1.0), (0.0, 0.0))
"""Where the saccades begin and end (column, row), as shares of their amplitude."""


@dataclass(frozen=True, kw_only=True)
class Camera:
    """The camera and its movement.

    ``threshold`` is C, ``dark`` the light (0 to 255) that counts as much as the pixel's own
    darkness, ``refractory_us`` the time after an event in which a pixel's events are lost,
    ``noise_hz`` events a pixel and second that nothing has caused, ``amplitude`` the pixels that
    a saccade moves the image by, ``saccade_us`` the time of each of the three, in ``samples``
    steps.
    """

    threshold: float = 0.35
    dark: float = 40.0
    refractory_us: int = 1_000
    noise_hz: float = 1.0
    amplitude: float = 5.0
    saccade_us: int = 100_000
    samples: int = 40

    def __post_init__(self) -> None:
        for name, low in (("threshold", 0.01), ("dark", 1.0), ("amplitude", 0.1)):
            if not low <= getattr(self, name) <= 1e4:
                raise UserError(f"must be >= {low}", where=name, value=getattr(self, name))
        if min(self.refractory_us, self.noise_hz) < 0 or min(self.saccade_us, self.samples) < 1:
            raise UserError("times, rates and numbers must not be negative", where="Camera")

    @property
    def duration_us(self) -> int:
        """Microseconds of a recording."""
        return (len(_CORNERS) - 1) * self.saccade_us


def record(images: NDArray[np.uint8], camera: Camera, streams: Sequence[Stream]) -> list[Events]:
    """What the camera sees of each image.

    ``images`` are uint8 [N, H, W] with darkness 0 around them; ``streams`` has one stream for
    each, for its noise. The sensor has the images' size.

    Raises:
        UserError: another type or shape, or not as many streams as images.
    """
    if images.dtype != np.uint8 or images.ndim != 3 or len(images) != len(streams):
        got = f"{images.dtype} {list(images.shape)}, {len(streams)} streams"
        raise UserError("must be uint8 [N, H, W], one stream each", where="images", value=got)
    found: list[Events] = []
    for start in range(0, len(images), 64):
        part = images[start : start + 64]
        seen = _seen(part, camera)
        for index, stream in enumerate(streams[start : start + 64]):
            caused = [events[sample == index] for sample, events in seen]
            found.append(_whole([*caused, _noise(part.shape[1:], camera, stream)], part.shape[1:]))
    return found


def _seen(images: NDArray[np.uint8], camera: Camera) -> list[tuple[NDArray[np.int64], EventArray]]:
    """Events of a movement's every step and the images they belong to."""
    light = np.pad(
        images.astype(np.int64), ((0, 0), (_margin(camera),) * 2, (_margin(camera),) * 2)
    )
    logs = _logarithms(camera)
    step_us = camera.saccade_us // camera.samples
    threshold = max(1, round(_UNIT * camera.threshold))
    reference = logs[_shifted(light, 0, 0, camera, images.shape)]
    last = np.full(images.shape, -(1 << 60), np.int64)
    found = []
    for index, (column, row) in enumerate(_path(camera)):
        now = logs[_shifted(light, column, row, camera, images.shape)]
        change = now - reference
        count = np.abs(change) // threshold
        reference += np.sign(change) * count * threshold
        begin = index * step_us
        for number in range(int(count.max())):
            # as if the light had moved on evenly in the step
            time = begin + (number + 1) * step_us // (count + 1)
            fires = (number < count) & (time - last >= camera.refractory_us)
            last[fires] = time[fires]
            sample, y, x = np.nonzero(fires)
            found.append((sample, _events(time[fires], x, y, change[fires] > 0)))
    return found


def _path(camera: Camera) -> list[tuple[int, int]]:
    """Columns and rows that the image is shifted by at every step, in parts of a pixel."""
    corners = [[round(camera.amplitude * _PARTS * c) for c in corner] for corner in _CORNERS]
    n = camera.samples
    return [
        (a[0] + (b[0] - a[0]) * k // n, a[1] + (b[1] - a[1]) * k // n)
        for a, b in pairwise(corners)
        for k in range(1, n + 1)
    ]


def _margin(camera: Camera) -> int:
    return math.ceil(camera.amplitude) + 1


def _shifted(
    light: NDArray[np.int64], column: int, row: int, camera: Camera, shape: tuple[int, ...]
) -> NDArray[np.int64]:
    """Light times _PARTS**2 that the sensor sees, between pixels in proportion."""
    margin, (_, height, width) = _margin(camera), shape
    (whole_x, x), (whole_y, y) = divmod(column, _PARTS), divmod(row, _PARTS)
    top, left = margin - whole_y, margin - whole_x
    total = np.zeros(shape, np.int64)
    for dy, dx, weight in (
        (0, 0, (_PARTS - y) * (_PARTS - x)),
        (0, 1, (_PARTS - y) * x),
        (1, 0, y * (_PARTS - x)),
        (1, 1, y * x),
    ):
        at = light[:, top - dy : top - dy + height, left - dx : left - dx + width]
        total += weight * at
    return total


def _logarithms(camera: Camera) -> NDArray[np.int64]:
    """Logarithm of every light that there can be; far from a tie, so rounded alike everywhere."""
    levels = range(255 * _PARTS**2 + 1)
    dark = camera.dark * _PARTS**2
    return np.array([round(_UNIT * math.log1p(level / dark)) for level in levels], np.int64)


def _noise(shape: tuple[int, ...], camera: Camera, stream: Stream) -> EventArray:
    pixels = math.prod(shape)
    expected = camera.noise_hz * pixels * camera.duration_us / 1e6
    count = math.floor(expected + float(stream.child("count").uniform(1)[0]))
    place = stream.child("place").integers(count, pixels)
    time = stream.child("time").integers(count, camera.duration_us)
    on = stream.child("polarity").signs(count) > 0
    return _events(time, place % shape[1], place // shape[1], on)


def _events(
    t: NDArray[np.int64], x: NDArray[np.int64], y: NDArray[np.int64], on: NDArray[np.bool_]
) -> EventArray:
    made = np.empty(len(t), EVENT)
    made["t"], made["x"], made["y"], made["p"] = t, x, y, on
    return made


def _whole(parts: list[EventArray], shape: tuple[int, ...]) -> Events:
    events = np.concatenate(parts)
    order = np.lexsort((events["p"], events["x"], events["y"], events["t"]))
    return Events(events[order], width=int(shape[1]), height=int(shape[0]))
