"""The shipped digits as a simulated event camera sees them: an event data set without any file.

SIMULATED. Every digit of ``digits``, enlarged, is looked at by the camera of
``spiketicket.events.simulate`` through three saccades of 100 ms; noise is drawn from the
sample's own number, so that all runs see the same recordings.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Gt, Interval
from numpy.typing import NDArray

from spiketicket.data import digits
from spiketicket.data.recordings import MEAN, STD, RecordingConfig, frame_config
from spiketicket.data.types import Dataset, DatasetInfo, Samples
from spiketicket.errors import UserError
from spiketicket.events import Events
from spiketicket.events.cache import cached
from spiketicket.events.frames import narrow, to_frames
from spiketicket.events.simulate import Camera, record
from spiketicket.recipe import Microseconds
from spiketicket.streams import Stream

SIDE = 32
"""Pixels of the simulated sensor, each way; the digits fill half of it."""

INFO = DatasetInfo(
    name="digits_events",
    title="The digits under a SIMULATED event camera: 1,437 + 360 recordings, 32x32 events",
    licence="CC BY 4.0 (the digits); recordings simulated by this package",
    citation=digits.INFO.citation,
    homepage=digits.INFO.homepage,
    obtain="It comes with this package",
    shipped=True,
)


class Config(RecordingConfig):
    """The camera; ``root`` is not read."""

    camera = (SIDE, SIDE)

    name: Literal["digits_events"] = "digits_events"
    steps: Annotated[int, Interval(ge=1, le=4096)] = 4
    threshold: Annotated[float, Ge(0.05), Interval(le=10)] = 0.35
    """Change of the logarithm of the light that makes an event."""
    refractory_us: Microseconds = 1_000
    """Time after an event in which a pixel has none."""
    noise_hz: Annotated[float, Ge(0), Interval(le=1000)] = 1.0
    """Events a pixel and second that nothing has caused."""
    amplitude: Annotated[float, Gt(0), Interval(le=8)] = 5.0
    """Pixels that a saccade moves the image by."""


def load(config: Config) -> Dataset:
    """Frames of the simulated recordings."""
    camera = _camera(config)
    framing = frame_config(config)
    stills = digits.load(digits.Config(size=16))

    def build() -> dict[str, NDArray[np.generic]]:
        found = {}
        for part, samples in (("train", stills.train), ("test", stills.test)):
            recordings = _recorded(samples, part, camera)
            found[part] = np.stack([to_frames(events, framing) for events in recordings])
        together = narrow(np.concatenate([found["train"], found["test"]]))
        cut = len(stills.train)
        return {"train": together[:cut], "test": together[cut:]}

    key = {
        "dataset": INFO.name,
        "source": stills.checksum,
        "camera": asdict(camera),
        "framing": framing.model_dump(mode="json"),
    }
    frames = cached(key, build)
    channels = config.channels
    return Dataset(
        name=INFO.name,
        train=Samples(frames.arrays["train"], stills.train.y),
        test=Samples(frames.arrays["test"], stills.test.y),
        classes=digits.CLASSES,
        mean=(MEAN,) * channels,
        std=(STD,) * channels,
        licence=INFO.licence,
        citation=INFO.citation,
        notes=("simulated recordings, not those of a real event camera", *frames.notes),
    )


def recording(config: Config, index: int, part: str = "train") -> tuple[Events, str]:
    """The events of one sample, and what it is called.

    Raises:
        UserError: there are not as many samples.
    """
    stills = digits.load(digits.Config(size=16))
    samples = stills.train if part == "train" else stills.test
    if not 0 <= index < len(samples):
        what = f"must be from 0 to {len(samples) - 1}, the {part} samples"
        raise UserError(what, where="index", value=index)
    one = samples.take(np.array([index]))
    return _recorded(one, part, _camera(config), first=index)[0], f"{part} {index}, simulated"


def _camera(config: Config) -> Camera:
    return Camera(
        threshold=config.threshold,
        refractory_us=config.refractory_us,
        noise_hz=config.noise_hz,
        amplitude=config.amplitude,
    )


def _recorded(samples: Samples, part: str, camera: Camera, first: int = 0) -> list[Events]:
    images = samples.x[:, 0].astype(np.uint8)
    # The saccades go right and down: a digit begins above and left of the middle.
    before = (SIDE - images.shape[-1]) // 2 - int(camera.amplitude) // 2
    after = SIDE - images.shape[-1] - before
    placed = np.pad(images, ((0, 0), (before, after), (before, after)))
    streams = [Stream(0, INFO.name, part, first + i) for i in range(len(images))]
    return record(placed, camera, streams)
