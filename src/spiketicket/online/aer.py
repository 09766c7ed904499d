"""Events as words of 32 bits, little end first, as AEStream sends them and SPIF takes them.

    bit 31        0: a word with the time follows, microseconds modulo 2^32; 1: there is none
    bits 30-16    column
    bit 15        polarity: 1 is ON
    bits 14-0     row

Sources: README.md of ``spiffer`` in github.com/SpiNNakerManchester/spif, "spiffer events";
src/output/dvs_to_udp.cpp in github.com/aestream/aestream, which sends at most 512 bytes a packet.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from spiketicket.events import EVENT, EventArray

_NO_TIME: Final = np.uint32(1 << 31)
_SIDE: Final = np.uint32((1 << 15) - 1)
_NO_EVENTS: Final = np.empty(0, EVENT)


def decode(payload: bytes, arrived_us: int) -> tuple[EventArray, bool, int]:
    """The events of a payload, whether they have times of their own, and bytes left over.

    Events without a time get ``arrived_us``. Which of the two forms a payload has its first word
    says: nobody sends both in one.
    """
    words: NDArray[np.uint32] = np.frombuffer(payload, "<u4", len(payload) // 4)
    rest = len(payload) % 4
    if not len(words):
        return _NO_EVENTS, False, rest
    timed = not words[0] & _NO_TIME
    if timed:
        if len(words) % 2:
            rest += 4
            words = words[:-1]
        places, times = words[::2], words[1::2].astype(np.int64)
    else:
        places, times = words, np.full(len(words), arrived_us, np.int64)
    events = np.empty(len(places), EVENT)
    events["t"] = times
    events["x"] = (places >> np.uint32(16)) & _SIDE
    events["y"] = places & _SIDE
    events["p"] = (places >> np.uint32(15)) & np.uint32(1)
    return events, timed, rest


def encode(data: EventArray, *, timed: bool = True) -> bytes:
    """The payload of some events; columns and rows below 32768."""
    places = (
        (data["x"].astype(np.uint32) << np.uint32(16))
        | (data["p"].astype(np.uint32) << np.uint32(15))
        | data["y"].astype(np.uint32)
    )
    if not timed:
        return (places | _NO_TIME).astype("<u4").tobytes()
    words = np.empty(2 * len(data), "<u4")
    words[::2] = places
    words[1::2] = (data["t"] & 0xFFFFFFFF).astype(np.uint32)
    return words.tobytes()
