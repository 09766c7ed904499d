"""What bags of ROS 2 share: topics, one of which is read, and its messages as a recording.

Packets have numbers: those that lie out of order in the bag by a few places are put in order, and
missing ones are told.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Final, NamedTuple

from spiketicket.errors import UserError, argument
from spiketicket.events.formats import _ros
from spiketicket.events.formats._header import agreed_sensor
from spiketicket.events.reading import Recording
from spiketicket.events.stores import Columns

MOST_TOPICS: Final = 1000
_MOST_SHOWN: Final = 20
_APART: Final = 16
"""Places by which a packet may come late."""


class Topic(NamedTuple):
    """A topic of a bag."""

    name: str
    kind: str
    encoding: str


def choose(topics: Sequence[Topic], wanted: str | None, where: str) -> Topic:
    """The topic ``wanted``, or the only one that has events.

    Raises:
        UserError: there is none of the name, or none or several with events; it lists them.
    """
    named = [topic for topic in topics if wanted in (None, topic.name)]
    if wanted is not None and not named:
        what = f"the bag has no such topic; it has {_listed(topics)}"
        raise UserError(what, where=f"{where}: {argument('topic')}", value=wanted)
    known = [topic for topic in named if _plain(topic.kind) in _ros.READERS]
    types = ", ".join(sorted(kind.replace("/msg", "") for kind in _ros.READERS))
    if not known:
        what = f"has no topic of events; it has {_listed(named)}"
        raise UserError(what, where=where, remedy=f"Types that are read: {types}")
    if len(known) > 1:
        what = f"has several topics of events: {_listed(known)}"
        raise UserError(what, where=where, remedy=f"Name one with {argument('topic')}")
    if known[0].encoding != "cdr":
        what = f"the messages of {known[0].name} are not in CDR"
        remedy = "Convert the bag to one of ROS 2"
        raise UserError(what, where=where, value=known[0].encoding, remedy=remedy)
    return known[0]


def files_of(folder: Path, suffixes: Sequence[str]) -> list[Path]:
    """The files of a bag that is a folder, in order: ``name_0.db3``, ``name_1.db3``, ..."""
    found = [path for path in folder.iterdir() if path.suffix.lower() in suffixes]
    return sorted(found, key=lambda path: (len(path.name), path.name))


def recording_of(
    messages: Iterable[bytes],
    topic: Topic,
    path: Path,
    sensor: tuple[int, int] | None,
    notes: list[str],
) -> Recording:
    """The recording that the messages of a topic are.

    Raises:
        UserError: the first message is not of the topic's type, is of an encoding that is not
            read, or is of a sensor other than ``sensor``.
    """
    packets = _in_order(_packets(messages, topic, path, notes), notes)
    first = next(packets, None)
    if first is None:
        told = f" ({'; '.join(notes)})" if notes else ""
        raise UserError(f"{topic.name} has no message{told}", where=str(path))
    make = _ros.ENCODINGS.get(first.encoding)
    if make is None or (first.seq >= 0) != (first.encoding != "dvs"):
        known = ", ".join(name for name in _ros.ENCODINGS if name != "dvs")
        what = f"packets are of an encoding that is not read; known are {known}"
        remedy = "Set the driver's encoding to one of them"
        raise UserError(what, where=str(path), value=first.encoding, remedy=remedy)
    stated = agreed_sensor(first.sensor, sensor, path)
    decode = make()
    blocks = _blocks(chain([first], packets), decode, first, path, notes)
    return Recording(sensor=stated, most=0, blocks=blocks, notes=notes)


def _packets(
    messages: Iterable[bytes], topic: Topic, path: Path, notes: list[str]
) -> Iterator[_ros.Packet]:
    read = _ros.READERS[_plain(topic.kind)]
    bad = count = 0
    reason = ""
    for count, message in enumerate(messages, 1):
        try:
            yield read(message)
        except _ros.MalformedError as error:
            bad, reason = bad + 1, str(error)
            if bad == count:
                what = f"message {count} of {topic.name} is not of its type {topic.kind}: {reason}"
                raise UserError(what, where=str(path)) from error
    if bad:
        notes.append(f"{bad} of {count} messages are malformed and left out (one {reason})")


class _Sorter:
    """Gives packets by their number, as far as they are a few places late."""

    def __init__(self) -> None:
        self.late = self.missing = 0
        self._waiting: list[tuple[int, int, _ros.Packet]] = []
        self._place = 0
        self._highest = self._last = -1

    def add(self, packet: _ros.Packet) -> Iterator[_ros.Packet]:
        """Those that can go ahead of all that may still come."""
        if packet.seq < self._highest - _APART:  # the driver was started anew
            yield from self.rest()
            self._highest = self._last = -1
        self.late += packet.seq < self._highest
        self._highest = max(self._highest, packet.seq)
        self._place += 1
        heapq.heappush(self._waiting, (packet.seq, self._place, packet))
        while self._waiting and self._ready():
            yield self._take()

    def rest(self) -> Iterator[_ros.Packet]:
        """Those that wait."""
        while self._waiting:
            yield self._take()

    def notes(self) -> list[str]:
        """What a user should know about the order."""
        told = []
        if self.late:
            told.append(f"{self.late} packets lie out of order in the bag: they are put in order")
        if self.missing:
            told.append(f"{self.missing} packets are missing, by their numbers")
        return told

    def _ready(self) -> bool:
        return len(self._waiting) > _APART or self._waiting[0][0] == self._last + 1

    def _take(self) -> _ros.Packet:
        seq, _, packet = heapq.heappop(self._waiting)
        if self._last >= 0 and seq > self._last:
            self.missing += seq - self._last - 1
        self._last = seq
        return packet


def _in_order(packets: Iterator[_ros.Packet], notes: list[str]) -> Iterator[_ros.Packet]:
    sorter = _Sorter()
    for packet in packets:
        if packet.seq < 0:  # a message without a number
            yield packet
        else:
            yield from sorter.add(packet)
    yield from sorter.rest()
    notes.extend(sorter.notes())


def _blocks(
    packets: Iterable[_ros.Packet],
    decode: _ros.Events,
    first: _ros.Packet,
    path: Path,
    notes: list[str],
) -> Iterator[Columns]:
    for packet in packets:
        if (packet.sensor, packet.encoding) != (first.sensor, first.encoding):
            what = "its packets change from one sensor or encoding to another"
            told = [[p.encoding, *p.sensor] for p in (first, packet)]
            raise UserError(what, where=str(path), value=told)
        yield from decode(packet)
    notes.extend(decode.notes())


def _plain(kind: str) -> str:
    """``package/msg/Type`` also of ``package/Type``, as ROS 1 spells it."""
    package, slash, name = kind.partition("/")
    return f"{package}/msg/{name}" if slash and "/" not in name else kind


def _listed(topics: Sequence[Topic]) -> str:
    if not topics:
        return "none at all"
    shown = [f"{topic.name} ({topic.kind})" for topic in topics[:_MOST_SHOWN]]
    more = len(topics) - len(shown)
    return ", ".join([*shown, *([f"and {more} more"] if more else [])])
