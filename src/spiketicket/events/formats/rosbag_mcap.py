"""Bags of ROS 2 in MCAP (.mcap), read by the package ``mcap``, an extra: spiketicket[events].

One topic with events is read, see ``_ros``. It is read in a process of its own, as a file may ask
for any memory. Of one that was cut off, what is there is read.

Source: "MCAP File Format Specification", mcap.dev/spec.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from spiketicket.events.apart import Apart
from spiketicket.events.formats._bag import Topic, choose, recording_of
from spiketicket.events.reading import Recording
from spiketicket.machine.bounded import max_memory

TITLE: Final = "ROS 2 bag (MCAP)"
SUFFIXES: Final = (".mcap",)
MAGIC: Final = b"\x89MCAP0\r\n"


def open_topic(path: Path, sensor: tuple[int, int] | None, topic: str | None) -> Recording:
    """Open a bag.

    Raises:
        UserError: the package ``mcap`` is missing, no bag, no such topic, a message that is not
            of its type, or another sensor than ``sensor``.
    """
    notes: list[str] = []
    chosen, messages = open_messages(path, topic, notes)
    return recording_of(messages, chosen, path, sensor, notes)


def open_messages(path: Path, topic: str | None, notes: list[str]) -> tuple[Topic, Iterator[bytes]]:
    """The topic that is read, and its messages in the order of the bag."""
    file = Apart("mcap", TITLE, path, {"topic": topic, "most": max_memory()})
    with file.checked() as told:
        topics = [Topic(str(t["name"]), str(t["kind"]), str(t["encoding"])) for t in told]
        chosen = choose(topics, topic, str(path))
    file.notes = notes
    return chosen, file.parts
