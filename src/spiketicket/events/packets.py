"""Messages of a ROS 2 camera as they arrive: :class:`PacketDecoder`.

decode = PacketDecoder()
def on_message(message):          # event_camera_msgs/EventPacket
    events = decode(message)      # Events, which may be none
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from spiketicket.errors import UserError
from spiketicket.events.formats import _ros
from spiketicket.events.formats._ros import MalformedError
from spiketicket.events.types import EVENT, Events

__all__ = ["PacketDecoder", "PacketMessage"]


class PacketMessage(Protocol):
    """An ``event_camera_msgs/EventPacket`` as rclpy gives it."""

    width: int
    height: int
    encoding: str
    time_base: int
    is_bigendian: bool
    events: Any
    """Bytes, or an array of uint8."""


class PacketDecoder:
    """Turns one message of a topic after the other into events.

    The messages' clock goes on from one to the next, so that a topic needs a decoder of its own.
    Events outside the sensor are left out.
    """

    def __init__(self) -> None:
        self._kind: tuple[str, int, int] | None = None
        self._decode: _ros.Events = _ros.ENCODINGS["mono"]()

    def __call__(self, message: PacketMessage | bytes) -> Events:
        """The events of the next message, in order of time; a message may hold none.

        ``message`` is one that ROS has read, or its bytes in CDR.

        Raises:
            UserError: it is none, or of an encoding that is not read, or of another sensor or
                encoding than the one before it.
        """
        packet = self._packet(message)
        kind = (packet.encoding, *packet.sensor)
        if self._kind is None:
            known = [name for name in _ros.ENCODINGS if name != "dvs"]
            if packet.encoding not in known:
                what = f"is of an encoding that is not read; known are {', '.join(known)}"
                raise UserError(what, where="EventPacket", value=packet.encoding)
            self._decode = _ros.ENCODINGS[packet.encoding]()
        elif kind != self._kind:
            what = "changes from one sensor or encoding to another"
            raise UserError(what, where="EventPacket", value=[list(self._kind), list(kind)])
        width, height = packet.sensor
        parts = [np.empty(0, EVENT)]
        for block in self._decode(packet):
            part = np.empty(len(block.t), EVENT)
            for name, column in zip(block._fields, block, strict=True):
                part[name] = column
            parts.append(part[(part["x"] < width) & (part["y"] < height)])
        data = np.concatenate(parts)
        if (data["t"][1:] < data["t"][:-1]).any():
            data = data[np.argsort(data["t"], kind="stable")]
        events = Events(data, width, height)
        self._kind = kind
        return events

    def _packet(self, message: PacketMessage | bytes) -> _ros.Packet:
        if isinstance(message, bytes):
            try:
                return _ros.event_packet(message)
            except MalformedError as error:
                raise UserError(f"is no message: it {error}", where="EventPacket") from error
        return _ros.Packet(
            sensor=(int(message.width), int(message.height)),
            seq=0,
            encoding=str(message.encoding),
            time_base=int(message.time_base),
            order=">" if message.is_bigendian else "<",
            events=bytes(message.events),
        )
