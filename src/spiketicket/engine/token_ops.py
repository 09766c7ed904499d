"""Ops of tokens: attention, and the choice of patches."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from spiketicket.engine.op import Numbers, Op, divides, refuse
from spiketicket.engine.values import (
    MAX_SIDE,
    MAX_SUM,
    DataReader,
    DataWriter,
    Kind,
    Value,
    float_word,
    rounded,
    word_float,
)


@dataclass(frozen=True, eq=False, kw_only=True)
class Attention(Op):
    """``scale * (q k^T) v`` over heads, of whole numbers ``[S, D, H, W]``."""

    code: ClassVar[int] = 6
    arity: ClassVar[tuple[int, int]] = (3, 3)

    heads: int
    scale: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "scale", rounded(self.scale))

    def infer(self, given: Sequence[Value], steps: int) -> Value:
        q, k, v = given
        refuse(not (q.whole and k.whole and v.whole), "attention takes spikes or whole numbers")
        refuse(not q.shape == k.shape == v.shape, "q, k and v differ in shape")
        fits = 1 <= self.heads <= q.channels and q.channels % self.heads == 0
        refuse(not fits, "the heads do not divide the channels", self.heads)
        per_head = q.channels // self.heads
        bound = q.positions * per_head * q.largest * k.largest * v.largest
        refuse(bound >= MAX_SUM, "attention's sums may exceed 2^24", bound)
        return replace(q, kind=Kind.F32, largest=0)

    def words(self, data: DataWriter) -> list[int]:
        return [self.heads, float_word(self.scale)]

    @classmethod
    def read(
        cls, out: int, inputs: tuple[int, ...], words: list[int], data: DataReader, given: Value
    ) -> Self:
        return cls(out=out, inputs=inputs, heads=words[0], scale=word_float(words[1]))


@dataclass(frozen=True, eq=False, kw_only=True)
class TokenSum(Op):
    """``scale * sum over positions of k * v``."""

    code: ClassVar[int] = 7
    arity: ClassVar[tuple[int, int]] = (2, 2)

    scale: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "scale", rounded(self.scale))

    def infer(self, given: Sequence[Value], steps: int) -> Value:
        k, v = given
        refuse(not (k.whole and v.whole), "a token sum takes spikes or whole numbers")
        refuse(k.shape != v.shape, "k and v differ in shape")
        bound = k.positions * k.largest * v.largest
        refuse(bound >= MAX_SUM, "a token sum may exceed 2^24", bound)
        return Value(kind=Kind.F32, steps=k.steps, channels=k.channels)

    def words(self, data: DataWriter) -> list[int]:
        return [float_word(self.scale)]

    @classmethod
    def read(
        cls, out: int, inputs: tuple[int, ...], words: list[int], data: DataReader, given: Value
    ) -> Self:
        return cls(out=out, inputs=inputs, scale=word_float(words[0]))


@dataclass(frozen=True, eq=False, kw_only=True)
class Mask(Numbers):
    """The first register where the second has a spike, else 0."""

    code: ClassVar[int] = 8
    arity: ClassVar[tuple[int, int]] = (2, 2)

    def infer(self, given: Sequence[Value], steps: int) -> Value:
        x, mask = given
        refuse(x.kind is Kind.IDS, "token ids cannot be masked")
        refuse(mask.kind is not Kind.SPK, "a mask must be spikes")
        alike = mask.shape in (x.shape, (x.steps, x.channels, 1, 1))
        refuse(not alike, "the mask does not fit", (x.shape, mask.shape))
        return x


class ScoreKind(enum.IntEnum):
    """What tokens are ranked by."""

    FIRING_RATE = 0
    EMBEDDING_NORM = 1
    ATTENTION_COLUMNS = 2
    PRODUCT = 3
    PIXEL_ENERGY = 4


@dataclass(frozen=True, eq=False, kw_only=True)
class Score(Numbers):
    """One score a position, ``[1, 1, H, W]``; ``rows`` and ``columns`` are pixel energy's grid."""

    code: ClassVar[int] = 9
    arity: ClassVar[tuple[int, int]] = (1, 2)
    names: ClassVar[tuple[str, ...]] = ("kind", "rows", "columns")

    kind: int
    rows: int = 0
    columns: int = 0

    def infer(self, given: Sequence[Value], steps: int) -> Value:
        refuse(self.kind not in list(ScoreKind), "an unknown score", self.kind)
        pair = self.kind in (ScoreKind.ATTENTION_COLUMNS, ScoreKind.PRODUCT)
        refuse(len(given) != 1 + pair, "a score has the wrong number of inputs", len(given))
        x = given[0]
        refuse(x.kind is Kind.IDS, "token ids have no score")
        if pair:
            return self._pair(*given)
        if self.kind == ScoreKind.PIXEL_ENERGY:
            return self._grid(x)
        return Value(kind=Kind.F32, steps=1, channels=1, height=x.height, width=x.width)

    def _pair(self, x: Value, y: Value) -> Value:
        refuse(not (x.whole and y.whole), "this score takes spikes or whole numbers")
        refuse(x.shape != y.shape, "a score's inputs differ in shape")
        bound = x.largest * y.largest * x.steps * x.channels
        bound *= x.positions if self.kind == ScoreKind.ATTENTION_COLUMNS else 1
        refuse(bound >= MAX_SUM, "a score's sum may exceed 2^24", bound)
        return Value(kind=Kind.F32, steps=1, channels=1, height=x.height, width=x.width)

    def _grid(self, x: Value) -> Value:
        refuse(x.kind is not Kind.F32, "pixel energy is of a float32 image")
        fits = divides(self.rows, x.height) and divides(self.columns, x.width)
        refuse(not fits, "the grid does not divide the image", (self.rows, self.columns))
        return Value(kind=Kind.F32, steps=1, channels=1, height=self.rows, width=self.columns)


@dataclass(frozen=True, eq=False, kw_only=True)
class TopK(Numbers):
    """Ids of the ``k`` largest scores, ascending; of equal scores the earlier."""

    code: ClassVar[int] = 10
    names: ClassVar[tuple[str, ...]] = ("k",)

    k: int

    def infer(self, given: Sequence[Value], steps: int) -> Value:
        (x,) = given
        scores = x.kind is Kind.F32 and x.steps == x.channels == 1
        refuse(not scores, "scores must be float32 [1, 1, H, W]", x.shape)
        refuse(not 1 <= self.k <= x.positions, "k must be from 1 to the tokens", self.k)
        return Value(
            kind=Kind.IDS, steps=1, channels=1, height=1, width=self.k, largest=x.positions
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class Gather(Numbers):
    """The positions whose ids the second register holds, ``[S, D, 1, k]``."""

    code: ClassVar[int] = 11
    arity: ClassVar[tuple[int, int]] = (2, 2)

    def infer(self, given: Sequence[Value], steps: int) -> Value:
        x, ids = given
        refuse(x.kind is Kind.IDS or ids.kind is not Kind.IDS, "gather takes values and ids")
        refuse(ids.largest != x.positions, "the ids are for other tokens", (ids.largest, x.shape))
        return Value(
            kind=x.kind,
            steps=x.steps,
            channels=x.channels,
            height=1,
            width=ids.width,
            largest=x.largest,
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class ConstIds(Op):
    """Ids that are the same for every image: int32 ``[k]``, ascending, below ``tokens``."""

    code: ClassVar[int] = 12
    arity: ClassVar[tuple[int, int]] = (0, 0)

    ids: NDArray[np.int32]
    tokens: int

    def infer(self, given: Sequence[Value], steps: int) -> Value:
        ids = self.ids
        rising = ids.ndim == 1 and ids.size > 0 and bool((np.diff(ids) > 0).all())
        refuse(not rising or ids[0] < 0 or ids[-1] >= self.tokens, "ids must ascend below tokens")
        return Value(
            kind=Kind.IDS, steps=1, channels=1, height=1, width=ids.size, largest=self.tokens
        )

    def words(self, data: DataWriter) -> list[int]:
        return [self.ids.size, data.put(self.ids.astype("<i4").tobytes()), self.tokens]

    @classmethod
    def read(
        cls, out: int, inputs: tuple[int, ...], words: list[int], data: DataReader, given: Value
    ) -> Self:
        k, at, tokens = words[:3]
        refuse(not 1 <= k <= MAX_SIDE, "the number of ids is out of range", k)
        ids = np.frombuffer(data.take(at, 4 * k), "<i4").astype(np.int32)
        return cls(out=out, inputs=inputs, ids=ids, tokens=tokens)


@dataclass(frozen=True, eq=False, kw_only=True)
class ZeroFill(Numbers):
    """The image with the pixels of patches that are not chosen set to 0."""

    code: ClassVar[int] = 13
    arity: ClassVar[tuple[int, int]] = (2, 2)
    names: ClassVar[tuple[str, ...]] = ("rows", "columns")

    rows: int
    columns: int

    def infer(self, given: Sequence[Value], steps: int) -> Value:
        x, ids = given
        fits = x.kind is Kind.F32 and ids.kind is Kind.IDS
        refuse(not fits, "zero fill takes a float32 image and ids")
        fits = divides(self.rows, x.height) and divides(self.columns, x.width)
        refuse(not fits, "the grid does not divide the image", (self.rows, self.columns))
        refuse(ids.largest != self.rows * self.columns, "the ids are for other tokens")
        return x
