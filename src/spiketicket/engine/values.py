"""What a register of a program holds, and the words a program's numbers are written as."""

from __future__ import annotations

import enum
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spiketicket.errors import UserError

NONE = 0xFFFFFFFF
"""The word that says: there is no register, or no array, here."""
MAX_STEPS = 32
MAX_SIDE = 65536
MAX_PLANE = 1 << 24
MAX_VALUES = 1 << 28
MAX_SUM = 1 << 24
"""Whole numbers below this are exact in float32."""
MAX_COUNT = 65535
"""The largest value of an INT register."""


class ProgramError(UserError):
    """A program that does not fit together, or bytes that are none."""


class Kind(enum.Enum):
    """Float32 numbers, spikes 0/1, whole numbers up to 65535, or ids of tokens."""

    F32 = "float32"
    SPK = "spikes"
    INT = "whole numbers"
    IDS = "token ids"


@dataclass(frozen=True, kw_only=True)
class Value:
    """A register, for one image: ``[S, C, H, W]``, S being 1 or the number of steps.

    ``largest`` is what no whole number in it exceeds: 1 of spikes, the number of tokens the ids
    choose from of ids, 0 (unknown) of float32.
    """

    kind: Kind
    steps: int
    channels: int
    height: int = 1
    width: int = 1
    largest: int = 0

    def __post_init__(self) -> None:
        sides = (self.steps, self.channels, self.height, self.width)
        if min(sides) < 1 or max(sides) > MAX_SIDE or self.steps > MAX_STEPS:
            raise ProgramError("a register's sizes are out of range", value=sides)
        if self.plane > MAX_PLANE or self.steps * self.plane > MAX_VALUES:
            raise ProgramError("a register is too large", value=sides)
        if self.kind is Kind.INT and self.largest > MAX_COUNT:
            raise ProgramError("whole numbers may exceed 65535", value=self.largest)

    @property
    def positions(self) -> int:
        """H * W, the number of tokens."""
        return self.height * self.width

    @property
    def plane(self) -> int:
        """C * H * W: values at one step."""
        return self.channels * self.height * self.width

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """S, C, H, W."""
        return self.steps, self.channels, self.height, self.width

    @property
    def whole(self) -> bool:
        """Whether it holds spikes or whole numbers."""
        return self.kind in (Kind.SPK, Kind.INT)


def float_word(value: float) -> int:
    """A finite float32 as its 32 bits.

    Raises:
        ProgramError: it is not finite as a float32.
    """
    with np.errstate(over="ignore"):
        number = np.float32(value)
    if not np.isfinite(number):
        raise ProgramError("a number must be a finite float32", value=value)
    return int(number.view(np.uint32))


def word_float(word: int) -> float:
    """The finite float32 of 32 bits; ProgramError as :func:`float_word`."""
    (value,) = struct.unpack("<f", struct.pack("<I", word))
    if not math.isfinite(value):
        raise ProgramError("a number must be a finite float32", value=value)
    return float(value)


def rounded(value: float) -> float:
    """``value`` as a float32; ProgramError as :func:`float_word`."""
    return word_float(float_word(value))


def float_array(
    given: NDArray[np.generic] | Sequence[float], shape: tuple[int, ...]
) -> NDArray[np.float32]:
    """A read-only float32 copy of ``shape``.

    Raises:
        ProgramError: another shape, or numbers that are not finite.
    """
    own = np.array(given, dtype=np.float32, order="C", copy=True)
    if own.shape != shape:
        raise ProgramError(f"an array must have the shape {list(shape)}", value=list(own.shape))
    if not np.isfinite(own).all():
        raise ProgramError("an array must hold finite numbers only")
    own.setflags(write=False)
    return own


class DataWriter:
    """Collects the arrays behind the ops; equal arrays are stored once."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._at: dict[bytes, int] = {}
        self.size = 0

    def put(self, content: bytes) -> int:
        """The offset of ``content``, which is padded with zeros to whole words."""
        padded = content + bytes(-len(content) % 4)
        at = self._at.get(padded)
        if at is None:
            at = self._at[padded] = self.size
            self._parts.append(padded)
            self.size += len(padded)
        return at

    def floats(self, array: NDArray[np.float32] | None) -> int:
        """The offset of a float32 array, or NONE."""
        return NONE if array is None else self.put(array.astype("<f4").tobytes())

    def getvalue(self) -> bytes:
        """All of it."""
        return b"".join(self._parts)


class DataReader:
    """Takes arrays out of the data part, each within its bounds."""

    def __init__(self, content: memoryview) -> None:
        self._content = content

    def take(self, at: int, size: int) -> memoryview:
        """``size`` bytes at offset ``at``.

        Raises:
            ProgramError: they are not all there.
        """
        if at % 4 or size < 0 or at + size + (-size % 4) > len(self._content):
            raise ProgramError("an array lies outside the program", value=at)
        return self._content[at : at + size]

    def floats(self, at: int, shape: tuple[int, ...]) -> NDArray[np.float32] | None:
        """A float32 array, or None for NONE."""
        if at == NONE:
            return None
        raw = np.frombuffer(self.take(at, 4 * math.prod(shape)), "<f4")
        return float_array(raw.reshape(shape), shape)
