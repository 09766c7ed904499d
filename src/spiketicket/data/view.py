"""One recording to look at: from a file, or a sample of a dataset."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from spiketicket.data.recordings import Reading, RecordingConfig, frame_config
from spiketicket.errors import UserError, argument
from spiketicket.events import Events
from spiketicket.events.frames import FrameConfig, to_frames
from spiketicket.recipe import parse_data, registry

Shown = tuple[str, NDArray[Any], Events]
"""Title, frames [T, C, H, W] and events of a recording."""


def recordings_of(
    target: str, part: str, root: str = "", settings: Sequence[str] = ()
) -> list[Shown]:
    """``FILE`` or ``DATASET:INDEX``; a file may be several recordings with ``split_at_reset``.

    ``settings`` are ``data.key=value`` texts: those of the dataset, or of the framing of a file.

    Raises:
        UserError: no such file, dataset or sample, or a dataset that is not of recordings.
    """
    name, colon, index = target.rpartition(":")
    if colon and name in registry.names("data"):
        return [_sample(name, index, part, root, settings)]
    if not Path(target).is_file():
        known = ", ".join(registry.names("data"))
        remedy = f"Give a recording, or DATASET:INDEX with one of {known}"
        raise UserError("is no file and no sample of a dataset", value=target, remedy=remedy)
    for name, given in (("root", root), ("part", part if part != "train" else "")):
        if given:
            raise UserError(
                "is for samples of a dataset, not for a file", where=argument(name), value=given
            )
    # A file is read and framed as one of event_folder is.
    config: Any = parse_data("event_folder", "", settings)
    if config.window_us is not None:
        raise UserError("is for a dataset: a file is shown whole", where="data.window_us")
    reading, path = Reading(config.sensor, config.time_unit), Path(target)
    if not config.split_at_reset:
        return [_shown(path.name, reading.whole(path), config)]
    found = reading.stretches(path)
    return [
        _shown(f"{path.name}, part {number} of {len(found)}", events, config)
        for number, events in enumerate(found, 1)
    ]


def _sample(name: str, index: str, part: str, root: str, settings: Sequence[str]) -> Shown:
    config = parse_data(name, root, settings)
    choice: Any = registry.load("data", name)
    if not hasattr(choice, "recording"):
        what = "has no recordings of events to view"
        raise UserError(what, where=name, remedy="Give a dataset of recordings")
    if not index.isdigit():
        raise UserError("must be a whole number", where=f"{name}:INDEX", value=index)
    events, file = choice.recording(config, int(index), part)
    return _shown(f"{name}: {file}", events, config)


def _shown(title: str, events: Events, config: Any) -> Shown:
    framing = frame_config(config) if isinstance(config, RecordingConfig) else FrameConfig()
    frames = to_frames(events, framing)
    width, height = events.sensor
    facts = f"{len(events):,} events in {events.duration_us / 1000:,.1f} ms, {width}x{height}"
    return "\n".join([f"{title}: {facts}", *events.notes]), frames, events
