"""The words of Prophesee's sensors: EVT 2.0, EVT 2.1 and EVT 3.0, decoded by the block.

EVT 2.0, 32 bits little-endian, the type in bits 28-31:

    0, 1   OFF, ON event: low 6 bits of the time 22-27, x 11-21, y 0-10
    8      the time's upper 28 bits 0-27

EVT 2.1, 64 bits, the type in bits 60-63. On some sensors ("legacy") the upper half comes first:

    0, 1   OFF, ON events: low 6 bits of the time 54-59, x 43-53, y 32-42, and one event at x + i
           for each set bit i of 0-31
    8      the time's upper 28 bits 32-59

EVT 3.0, 16 bits little-endian, the type in bits 12-15:

    0      y 0-10                        2   an event: x 0-10, polarity 11
    3      x 0-10 and polarity 11 of     4   events at x + i for set bits i of 0-11, then x += 12
           what types 4 and 5 give       5   events at x + i for set bits i of 0-7, then x += 8
    6, 8   lower, upper 12 bits of the time

Times are microseconds. All other types (triggers, counts of the sensor) hold no event. Each class
is a decoder that goes on where the last block ended; events ahead of the first time are left out.

Source: "Data Encoding Formats", docs.prophesee.ai.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from spiketicket.events.reading import Unwrap
from spiketicket.events.stores import Columns

Words = NDArray[Any]

BLOCK: Final = 1 << 13
"""Words decoded together, of which one may hold 32 events."""

_TIME: Final = 8
_MOST_UNKNOWN: Final = 0.01


class Decoder:
    """Turns words into events: ``early`` ones had no time yet, ``unknown`` words no known type."""

    WORD: ClassVar[np.dtype[Any]]
    TYPES: ClassVar[tuple[int, ...]]
    """Types of words that there are."""

    def __init__(self) -> None:
        self.early = 0
        self.unknown = 0
        self.count = 0

    def __call__(self, words: Words) -> Columns:
        """The events of the next words, [n] with n > 0."""
        self.count += len(words)
        kinds = self._kinds(words)
        known = np.bincount(kinds, minlength=16)
        self.unknown += len(words) - int(known[list(self.TYPES)].sum())
        return self._events(words, kinds)

    @property
    def doubtful(self) -> bool:
        """Whether so many types are unknown that the words are of another encoding."""
        return self.unknown > _MOST_UNKNOWN * self.count

    def notes(self) -> list[str]:
        """What a user should know about the words that were decoded."""
        told = []
        if self.early:
            told.append(f"{self.early} events ahead of the first time are left out")
        if self.unknown:
            told.append(f"{self.unknown} words of no known type are left out")
        return told

    def _kinds(self, words: Words) -> Words:
        raise NotImplementedError

    def _events(self, words: Words, kinds: Words) -> Columns:
        raise NotImplementedError

    def _timed(self, times: NDArray[np.int64], rest: tuple[Words, ...]) -> Columns:
        """The events whose time is known, which is not below 0."""
        early = int(np.count_nonzero(times < 0))
        if early:
            self.early += early
            known = times >= 0
            times, rest = times[known], tuple(column[known] for column in rest)
        return Columns(times, *rest)


class _Latest:
    """The last value that was set ahead of each place, over the blocks."""

    def __init__(self, first: int = -1) -> None:
        self.last = first

    def __call__(
        self, places: NDArray[np.intp], values: NDArray[np.int64], wanted: NDArray[np.intp]
    ) -> NDArray[np.int64]:
        """``values`` [m] are set at ``places`` [m], sorted: those known at ``wanted`` [n]."""
        all_values = np.concatenate((np.array([self.last], np.int64), values))
        self.last = int(all_values[-1])
        return all_values[np.searchsorted(places, wanted)]


class Evt2(Decoder):
    """EVT 2.0."""

    WORD = np.dtype("<u4")
    TYPES = (0, 1, 8, 10, 14, 15)

    def __init__(self) -> None:
        super().__init__()
        self._high, self._unwrap = _Latest(), Unwrap(28)

    def _kinds(self, words: Words) -> Words:
        return words >> 28

    def _events(self, words: Words, kinds: Words) -> Columns:
        highs, here = np.flatnonzero(kinds == _TIME), np.flatnonzero(kinds < 2)
        high = (words[highs] & 0x0FFF_FFFF).astype(np.int64)
        times = self._high(highs, self._unwrap(high) if len(high) else high, here) << 6
        word = words[here]
        times += (word >> 22) & 0x3F
        x, y = ((word >> 11) & 0x7FF).astype(np.uint16), (word & 0x7FF).astype(np.uint16)
        return self._timed(times, (x, y, (word >> 28).astype(np.uint8)))


class Evt21(Decoder):
    """EVT 2.1; ``legacy`` is whether the upper half of a word comes first."""

    WORD = np.dtype("<u8")
    TYPES = Evt2.TYPES

    def __init__(self, *, legacy: bool = False) -> None:
        super().__init__()
        self._legacy = legacy
        self._high, self._unwrap = _Latest(), Unwrap(28)

    @staticmethod
    def is_legacy(words: Words) -> bool:
        """Which order of halves fits the types of some words better."""
        fits = []
        for shift in (60, 28):
            kinds = np.bincount((words >> shift).astype(np.int64) & 15, minlength=16)
            # A mask of events takes the place of the types in the wrong order: any bits.
            fits.append(int(kinds[list(Evt21.TYPES)].sum()) + int(kinds[_TIME] > 0))
        return fits[1] > fits[0]

    def _kinds(self, words: Words) -> Words:
        return ((words >> (28 if self._legacy else 60)) & 15).astype(np.int64)

    def _events(self, words: Words, kinds: Words) -> Columns:
        if self._legacy:
            words = (words << 32) | (words >> 32)
        highs, here = np.flatnonzero(kinds == _TIME), np.flatnonzero(kinds < 2)
        high = ((words[highs] >> 32) & 0x0FFF_FFFF).astype(np.int64)
        times = self._high(highs, self._unwrap(high) if len(high) else high, here) << 6
        word = words[here]
        times += ((word >> 54) & 0x3F).astype(np.int64)
        x, y = (word >> 43) & 0x7FF, ((word >> 32) & 0x7FF).astype(np.uint16)
        p = (word >> 60).astype(np.uint8)
        index, offset = _set_bits((word & 0xFFFF_FFFF).astype("<u4"))
        columns = x[index].astype(np.uint16) + offset
        return self._timed(times[index], (columns, y[index], p[index]))


class Evt3(Decoder):
    """EVT 3.0."""

    WORD = np.dtype("<u2")
    TYPES = (0, 2, 3, 4, 5, 6, 7, 8, 10, 14, 15)

    def __init__(self) -> None:
        super().__init__()
        self._row, self._base = _Latest(0), _Latest(0)
        self.restart()

    def restart(self) -> None:
        """Forget the time: the next words begin with theirs."""
        self._high, self._unwrap, self._time = _Latest(), Unwrap(12), _Latest()

    def _kinds(self, words: Words) -> Words:
        return words >> 12

    def _events(self, words: Words, kinds: Words) -> Columns:
        value = (words & 0xFFF).astype(np.int64)
        here = np.flatnonzero((kinds == 2) | (kinds == 4) | (kinds == 5))
        times = self._times(value, kinds, here)
        rows = np.flatnonzero(kinds == 0)
        y = self._row(rows, value[rows] & 0x7FF, here)
        kind, mask = kinds[here], value[here]
        base = self._bases(value, kinds, here)
        single = kind == 2
        base[single] = (mask[single] & 0x7FF) << 1 | (mask[single] >> 11)
        mask[single] = 1
        mask[kind == 5] &= 0xFF
        index, offset = _set_bits(mask.astype("<u2"))
        of = base[index]
        x = np.minimum((of >> 1) + offset, 0xFFFF).astype(np.uint16)
        p = (of & 1).astype(np.uint8)
        return self._timed(times[index], (x, y[index].astype(np.uint16), p))

    def _times(self, value: Words, kinds: Words, here: NDArray[np.intp]) -> NDArray[np.int64]:
        """The time at ``here``: that of the last word with its lower bits; -1 ahead of all."""
        highs, lows = np.flatnonzero(kinds == _TIME), np.flatnonzero(kinds == 6)
        high = self._unwrap(value[highs]) if len(highs) else value[highs]
        upper = self._high(highs, high, lows)
        return self._time(lows, np.where(upper < 0, -1, (upper << 12) | value[lows]), here)

    def _bases(self, value: Words, kinds: Words, here: NDArray[np.intp]) -> NDArray[np.int64]:
        """Twice the x of the first bit of each vector at ``here``, and its polarity in bit 0."""
        starts = np.flatnonzero(kinds == 3)
        vectors = np.flatnonzero((kinds == 4) | (kinds == 5))
        width = np.where(kinds[vectors] == 4, 24, 16)
        gone = np.concatenate((np.zeros(1, np.int64), np.cumsum(width)))
        # What the vectors of this block went on ahead of a base is taken off it, and added again.
        given = (value[starts] & 0x7FF) << 1 | (value[starts] >> 11)
        base = self._base(starts, given - gone[np.searchsorted(vectors, starts)], here)
        self._base.last += int(gone[-1])
        return np.asarray(base + gone[np.searchsorted(vectors, here)], np.int64)


def _set_bits(masks: Words) -> tuple[NDArray[np.intp], NDArray[np.uint16]]:
    """The set bits of unsigned little-endian masks [n]: index of the mask and number of the bit."""
    bits = np.unpackbits(
        masks.view(np.uint8).reshape(len(masks), masks.itemsize), axis=1, bitorder="little"
    )
    index, offset = np.nonzero(bits)
    return index, offset.astype(np.uint16)
