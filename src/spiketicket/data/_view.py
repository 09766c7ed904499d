"""One recording to look at: from a file, or a sample of a dataset."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from spiketicket import registry
from spiketicket.data._recordings import RecordingConfig, frame_config
from spiketicket.errors import UserError
from spiketicket.events import Events, read_events
from spiketicket.events.frames import FrameConfig, to_frames
from spiketicket.recipe import parse_data


def recording_of(
    target: str, part: str, root: str = "", settings: Sequence[str] = ()
) -> tuple[str, NDArray[Any], Events]:
    """Title, frames [T, C, H, W] and events of ``FILE`` or ``DATASET:INDEX``.

    ``settings`` are ``data.key=value`` texts: those of the dataset, or of the framing of a file.

    Raises:
        UserError: no such file, dataset or sample, or a dataset that is not of recordings.
    """
    name, colon, index = target.rpartition(":")
    if colon and name in registry.names("data"):
        return _sample(name, index, part, root, settings)
    if not Path(target).is_file():
        known = ", ".join(registry.names("data"))
        remedy = f"Give a recording, or DATASET:INDEX with one of {known}"
        raise UserError("is no file and no sample of a dataset", value=target, remedy=remedy)
    for option, given in (("--root", root), ("--part", part if part != "train" else "")):
        if given:
            raise UserError(
                "is for samples of a dataset, not for a file", where=option, value=given
            )
    # The framing of a file is set as that of event_folder is.
    config = parse_data("event_folder", "", settings)
    if getattr(config, "window_us", None) is not None:
        raise UserError("is for a dataset: a file is shown whole", where="data.window_us")
    sensor = getattr(config, "sensor", None)
    events = read_events(target, sensor=sensor)
    return _shown(Path(target).name, events, config)


def _sample(
    name: str, index: str, part: str, root: str, settings: Sequence[str]
) -> tuple[str, NDArray[Any], Events]:
    config = parse_data(name, root, settings)
    choice: Any = registry.load("data", name)
    if not hasattr(choice, "recording"):
        what = "has no recordings of events to view"
        raise UserError(what, where=name, remedy="Give a dataset of recordings")
    if not index.isdigit():
        raise UserError("must be a whole number", where=f"{name}:INDEX", value=index)
    events, file = choice.recording(config, int(index), part)
    return _shown(f"{name}: {file}", events, config)


def _shown(title: str, events: Events, config: Any) -> tuple[str, NDArray[Any], Events]:
    framing = frame_config(config) if isinstance(config, RecordingConfig) else FrameConfig()
    frames = to_frames(events, framing)
    width, height = events.sensor
    facts = f"{len(events):,} events in {events.duration_us / 1000:,.1f} ms, {width}x{height}"
    return "\n".join([f"{title}: {facts}", *events.notes]), frames, events
