"""AEDAT 4: the streams as JSON, then the events of each packet, as in ``types.EVENT``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import aedat
import numpy as np

from spiketicket.events.types import EVENT


def parts(path: str, asked: dict[str, Any]) -> Iterator[bytes]:  # noqa: ARG001
    """The parts of the first stream of events."""
    decoder = aedat.Decoder(path)
    streams = decoder.id_to_stream()
    yield json.dumps(streams).encode()
    first = next((key for key, value in streams.items() if value["type"] == "events"), None)
    for packet in decoder:
        if packet["stream_id"] == first and len(packet.get("events", ())):
            events = np.empty(len(packet["events"]), EVENT)
            for name, other in zip("txyp", ("t", "x", "y", "on"), strict=True):
                events[name] = packet["events"][other]
            yield events.tobytes()
