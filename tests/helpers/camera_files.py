"""Encoders of the files of cameras, from their descriptions: no code of src is used.

An encoder takes a list of events, (t, x, y, p) with (0, 0) top left and times in microseconds.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Sequence

Event = tuple[int, int, int, int]


def raw_head(encoding: str, size: str = "% geometry 128x128\n") -> bytes:
    return f"% evt {encoding}\n% date 2026-01-02 03:04:05\n{size}% end\n".encode()


def evt2(events: Sequence[Event]) -> bytes:
    out, high = raw_head("2.0"), None
    for t, x, y, p in events:
        if t >> 6 != high:
            high = t >> 6
            out += struct.pack("<I", 8 << 28 | high & 0xFFFFFFF)
        out += struct.pack("<I", p << 28 | (t & 63) << 22 | x << 11 | y)
    return out


def evt21_words(events: Sequence[Event]) -> list[int]:
    words, high = [], None
    for (t, y, p), group in itertools.groupby(events, lambda e: (e[0], e[2], e[3])):
        if t >> 6 != high:
            high = t >> 6
            words.append(8 << 60 | (high & 0xFFFFFFF) << 32)
        columns = [event[1] for event in group]
        while columns:
            first = columns[0] // 32 * 32
            mask, last = 0, -1
            while columns and last < columns[0] < first + 32:
                last = columns.pop(0)
                mask |= 1 << (last - first)
            words.append(p << 60 | (t & 63) << 54 | first << 43 | y << 32 | mask)
    return words


def evt21(events: Sequence[Event]) -> bytes:
    return raw_head("2.1") + b"".join(struct.pack("<Q", word) for word in evt21_words(events))


def evt21_legacy(events: Sequence[Event]) -> bytes:
    halves = [(word >> 32, word & 0xFFFFFFFF) for word in evt21_words(events)]
    size = "% format EVT21;height=128;width=128;endianness=legacy\n"
    return raw_head("2.1", size) + b"".join(struct.pack("<II", *pair) for pair in halves)


def evt3_words(events: Sequence[Event]) -> bytes:
    """Vectors where several events of a row and a time follow each other from left to right."""
    words: list[int] = []
    high = low = row = None
    for (t, y, p), group in itertools.groupby(events, lambda e: (e[0], e[2], e[3])):
        if (t >> 12 & 0xFFF) != high:
            high, low = t >> 12 & 0xFFF, None
            words.append(8 << 12 | high)
        if (t & 0xFFF) != low:
            low = t & 0xFFF
            words.append(6 << 12 | low)
        if y != row:
            row = y
            words.append(y)
        words += _evt3_row([event[1] for event in group], p)
    return struct.pack(f"<{len(words)}H", *words)


def _evt3_row(columns: list[int], p: int) -> list[int]:
    words = []
    while columns:
        run = [columns.pop(0)]
        while columns and run[-1] < columns[0] < run[0] + 64:
            run.append(columns.pop(0))
        if len(run) == 1:
            words.append(2 << 12 | p << 11 | run[0])
            continue
        words.append(3 << 12 | p << 11 | run[0])
        base = run[0]
        while base <= run[-1]:
            kind, width = (4, 12) if run[-1] - base >= 8 else (5, 8)
            words.append(kind << 12 | sum(1 << (x - base) for x in run if base <= x < base + width))
            base += width
    return words


def evt3(events: Sequence[Event]) -> bytes:
    return raw_head("3.0", "% format EVT3;height=128;width=128\n") + evt3_words(events)


def es(events: Sequence[Event], kind: int = 1, size: tuple[int, int] = (128, 128)) -> bytes:
    """Event Stream: ``kind`` 1 is DVS, 2 is ATIS, here without measurements of brightness."""
    out = b"Event Stream" + bytes([2, 0, 0, kind]) + struct.pack("<HH", *size)
    last = 0
    for t, x, y, p in events:
        passed, last = t - last, t
        if kind == 1:
            out += b"\xff" * (passed // 127) + bytes([passed % 127 << 1 | p])
        else:
            out += b"\xff" * (passed // 189) + bytes([0xFC + passed % 189 // 63] * 1)
            out += bytes([passed % 63 << 2 | p << 1])
        out += struct.pack("<HH", x, size[1] - 1 - y)
    return out


def es_atis(events: Sequence[Event]) -> bytes:
    return es(events, 2)


FORMATS = {
    "evt2": (".raw", evt2),
    "evt21": (".raw", evt21),
    "evt21_legacy": (".raw", evt21_legacy),
    "evt3": (".raw", evt3),
    "es": (".es", es),
    "es_atis": (".es", es_atis),
}
