"""One recording to look at: from a file, or a sample of a dataset."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from spiketicket.errors import UserError, argument
from spiketicket.events import Events, read_events, read_stretches
from spiketicket.events.frames import Framing, PlainFraming, to_frames
from spiketicket.recipe import registry

Shown = tuple[str, NDArray[Any], Events]
"""Title, frames [T, C, H, W] and events of a recording."""


def recordings_of(
    target: str,
    part: str,
    root: str = "",
    settings: Sequence[str] = (),
    topic: str | None = None,
) -> list[Shown]:
    """``FILE`` or ``DATASET:INDEX``; a file may be several recordings with ``split_at_reset``.

    ``settings`` are ``data.key=value`` texts: those of the dataset, or of the framing of a file.
    ``topic`` is the one of a bag or HDF5 file that is read.

    Raises:
        UserError: no such file, dataset or sample, or a dataset that is not of recordings.
    """
    name, colon, index = target.rpartition(":")
    if colon and name in registry.names("data"):
        if topic is not None:
            what = "is for a file, not for a sample of a dataset"
            raise UserError(what, where=argument("topic"), value=topic)
        return [_sample(name, index, part, root, settings)]
    if not Path(target).exists():
        known = ", ".join(registry.names("data"))
        remedy = f"Give a recording, or DATASET:INDEX with one of {known}"
        raise UserError("is no file and no sample of a dataset", value=target, remedy=remedy)
    for name, given in (("root", root), ("part", part if part != "train" else "")):
        if given:
            raise UserError(
                "is for samples of a dataset, not for a file", where=argument(name), value=given
            )
    return _file(Path(target), settings, topic)


def _file(path: Path, settings: Sequence[str], topic: str | None) -> list[Shown]:
    """The recordings in a file, read and framed as one of event_folder is."""
    if not settings:  # what recipes are read with need not be installed
        return [titled(path.name, read_events(path, topic=topic), PlainFraming())]
    from spiketicket.data.recordings import frame_config
    from spiketicket.recipe import parse_data

    config: Any = parse_data("event_folder", "", settings)
    if config.window_us is not None:
        raise UserError("is for a dataset: a file is shown whole", where="data.window_us")
    framing = frame_config(config)
    how = {"sensor": config.sensor, "time_unit": config.time_unit, "topic": topic}
    if not config.split_at_reset:
        return [titled(path.name, read_events(path, **how), framing)]
    found = read_stretches(path, **how)
    return [
        titled(f"{path.name}, part {number} of {len(found)}", events, framing)
        for number, events in enumerate(found, 1)
    ]


def _sample(name: str, index: str, part: str, root: str, settings: Sequence[str]) -> Shown:
    from spiketicket.data.recordings import RecordingConfig, frame_config
    from spiketicket.recipe import parse_data

    config = parse_data(name, root, settings)
    choice: Any = registry.load("data", name)
    if not hasattr(choice, "recording"):
        what = "has no recordings of events to view"
        raise UserError(what, where=name, remedy="Give a dataset of recordings")
    if not index.isdigit():
        raise UserError("must be a whole number", where=f"{name}:INDEX", value=index)
    events, file = choice.recording(config, int(index), part)
    framing = frame_config(config) if isinstance(config, RecordingConfig) else PlainFraming()
    return titled(f"{name}: {file}", events, framing)


def titled(title: str, events: Events, framing: Framing) -> Shown:
    """A recording with its frames, its title with what is to be said about it."""
    frames = to_frames(events, framing)
    width, height = events.sensor
    facts = f"{len(events):,} events in {events.duration_us / 1000:,.1f} ms, {width}x{height}"
    return "\n".join([f"{title}: {facts}", *events.notes]), frames, events
