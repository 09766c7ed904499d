"""Bags of ROS 2 from the descriptions of their messages: no code of src is used."""

from __future__ import annotations

import io
import itertools
import sqlite3
import struct
from collections.abc import Sequence
from pathlib import Path

from camera_files import Event, evt3_words

PACKET = "event_camera_msgs/msg/EventPacket"
ARRAY = "dvs_msgs/msg/EventArray"
TABLES = (
    "CREATE TABLE topics(id INTEGER PRIMARY KEY,name TEXT NOT NULL,type TEXT NOT NULL,"
    "serialization_format TEXT NOT NULL,offered_qos_profiles TEXT NOT NULL)",
    "CREATE TABLE messages(id INTEGER PRIMARY KEY,topic_id INTEGER NOT NULL,"
    "timestamp INTEGER NOT NULL, data BLOB NOT NULL)",
)


class Cdr:
    def __init__(self, order: str = "<") -> None:
        self.order, self.body = order, b""

    def put(self, form: str, value: int) -> Cdr:
        size = struct.calcsize(form)
        self.body += b"\0" * (-len(self.body) % size) + struct.pack(self.order + form, value)
        return self

    def text(self, value: str) -> Cdr:
        self.put("I", len(value) + 1)
        self.body += value.encode() + b"\0"
        return self

    def header(self) -> Cdr:
        return self.put("i", 7).put("I", 8).text("camera")

    def whole(self) -> bytes:
        return bytes([0, self.order == "<", 0, 0]) + self.body


def packet(
    events: bytes,
    encoding: str,
    *,
    seq: int = 0,
    time_base: int = 0,
    size: tuple[int, int] = (128, 128),
    order: str = "<",
) -> bytes:
    cdr = Cdr(order).header().put("I", size[1]).put("I", size[0]).put("Q", seq)
    cdr.put("Q", time_base).text(encoding).put("B", order == ">").put("I", len(events))
    return cdr.whole() + events


def mono(events: Sequence[Event], time_base: int, order: str = "<") -> bytes:
    words = ((t * 1000 - time_base) | x << 32 | y << 48 | p << 63 for t, x, y, p in events)
    return b"".join(struct.pack(order + "Q", word) for word in words)


def libcaer(events: Sequence[Event], time_base_us: int) -> bytes:
    words = ((1 | p << 1 | y << 2 | x << 17, (t - time_base_us) % 2**31) for t, x, y, p in events)
    return b"".join(struct.pack("<II", *pair) for pair in words)


def libcaer_cmp(events: Sequence[Event], time_base_us: int) -> bytes:
    """Columns of a time: one event alone, or several of 8 rows as a vector."""
    words, high, low, column = [], 0, 0, None
    for (t, x, p), group in itertools.groupby(events, lambda e: (e[0] - time_base_us, e[1], e[3])):
        if t >> 12 != high:
            high = t >> 12
            words.append(0 << 12 | high)
        if t & 0xFFF != low:
            low = t & 0xFFF
            words.append(1 << 12 | low)
        if x != column:
            column = x
            words.append(2 << 12 | x)
        rows = [event[2] for event in group]
        while rows:
            taken = [y for y in rows if rows[0] <= y < rows[0] + 8]
            base = rows[0]
            rows = rows[len(taken) :]
            if len(taken) == 1:
                words.append(3 << 12 | p << 11 | base)
            else:
                words.append(4 << 12 | p << 11 | base)
                words.append(5 << 12 | sum(1 << (y - base) for y in taken))
    return struct.pack(f"<{len(words)}H", *words)


def array(events: Sequence[Event], order: str = "<") -> bytes:
    cdr = Cdr(order).header().put("I", 128).put("I", 128).put("I", len(events))
    for t, x, y, p in events:
        cdr.put("I", 0)
        cdr.body = cdr.body[:-4]
        cdr.put("H", x).put("H", y).put("i", t // 10**6).put("I", t % 10**6 * 1000).put("B", p)
    return cdr.whole()


def messages(events: Sequence[Event], encoding: str, count: int = 7) -> list[bytes]:
    """``count`` events a message."""
    parts = [events[start : start + count] for start in range(0, len(events), count)]
    if encoding == "dvs":
        return [array(part) for part in parts]
    made = []
    for seq, part in enumerate(parts):
        base = part[0][0] * 1000
        if encoding == "libcaer":
            base = part[0][0] // 2**31 * 2**31 * 1000
            body = libcaer(part, base // 1000)
        elif encoding == "libcaer_cmp":
            body = libcaer_cmp(part, base // 1000)
        else:
            body = mono(part, base) if encoding == "mono" else evt3_words(part)
        made.append(packet(body, encoding, seq=seq, time_base=base))
    return made


def db3(
    path: Path,
    told: Sequence[bytes],
    kind: str = PACKET,
    topic: str = "/events",
    others: Sequence[tuple[str, str]] = (),
    encoding: str = "cdr",
) -> Path:
    path.unlink(missing_ok=True)
    bag = sqlite3.connect(path)
    for table in TABLES:
        bag.execute(table)
    for number, (name, of) in enumerate([*others, (topic, kind)], 1):
        bag.execute("INSERT INTO topics VALUES (?, ?, ?, ?, '')", [number, name, of, encoding])
    rows = [(len(others) + 1, 1000 + n, data) for n, data in enumerate(told)]
    bag.executemany("INSERT INTO messages VALUES (NULL, ?, ?, ?)", rows)
    bag.commit()
    bag.close()
    return path


def mcap(
    told: Sequence[bytes],
    kind: str = PACKET,
    topic: str = "/events",
    others: Sequence[tuple[str, str]] = (),
    encoding: str = "cdr",
    compression: str = "ZSTD",
) -> bytes:
    from mcap.writer import CompressionType, Writer

    out = io.BytesIO()
    writer = Writer(out, compression=CompressionType[compression], chunk_size=4096)
    writer.start("ros2", "test")
    for name, of in [*others, (topic, kind)]:
        schema = writer.register_schema(of, "ros2msg", b"uint8 nothing")
        channel = writer.register_channel(name, encoding, schema)
    for number, data in enumerate(told):
        writer.add_message(channel, 1000 + number, data, 1000 + number)
    writer.finish()
    return out.getvalue()
