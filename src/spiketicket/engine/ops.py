"""The operations of a program: parameters, what they make of their inputs, and their words.

Every op knows three things: ``infer`` gives the register it writes, of the registers it reads, or
refuses them; ``words`` writes its parameters from word 5 of its record on; ``read`` does the
reverse. What an op computes is in ``reference.py``.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from spiketicket.engine._values import (
    MAX_SIDE,
    MAX_SUM,
    MAX_VALUES,
    DataReader,
    DataWriter,
    Kind,
    ProgramError,
    Value,
    float_array,
    float_word,
    word_float,
)
from spiketicket.errors import UNSET


@dataclass(frozen=True, eq=False, kw_only=True)
class Op:
    """Writes register ``out``, reads registers ``inputs``."""

    code: ClassVar[int]
    arity: ClassVar[tuple[int, int]] = (1, 1)
    """Fewest and most inputs."""

    out: int
    inputs: tuple[int, ...]

    def infer(self, given: Sequence[Value], steps: int) -> Value:
        """The register it writes; ``steps`` is the program's T.

        Raises:
            ProgramError: the inputs do not fit.
        """
        raise NotImplementedError

    def words(self, data: DataWriter) -> list[int]:
        """Its parameters, word 5 first; arrays go into ``data``."""
        raise NotImplementedError

    @classmethod
    def read(
        cls, out: int, inputs: tuple[int, ...], words: list[int], data: DataReader, given: Value
    ) -> Self:
        """The op of its words; ``given`` is its first input.

        Raises:
            ProgramError: they make no sense.
        """
        raise NotImplementedError


@dataclass(frozen=True, eq=False, kw_only=True)
class Synapse(Op):
    """Convolution or linear layer, then bias, then ``a*y + b`` (BatchNorm).

    ``signs`` int8 ``[cout, cin, kh, kw]`` of -1, 0, +1 with one scale ``alpha``, or ``weight``
    float32 of that shape. ``bias``, ``a`` and ``b`` are float32 ``[cout]`` or None. ``flatten``
    first lays the input out as ``[S, C*H*W, 1, 1]``.
    """

    code: ClassVar[int] = 1

    stride: int = 1
    pad: int = 0
    flatten: bool = False
    signs: NDArray[np.int8] | None = None
    alpha: float = 1.0
    weight: NDArray[np.float32] | None = None
    bias: NDArray[np.float32] | None = None
    a: NDArray[np.float32] | None = None
    b: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        if (self.signs is None) == (self.weight is None) or (self.a is None) != (self.b is None):
            raise ProgramError("a layer takes signs or a weight, and both of a and b or neither")
        if len(self.kernel) != 4 or not 1 <= math.prod(self.kernel) <= MAX_VALUES:
            raise ProgramError("a layer's weight has 4 axes", value=self.kernel)
        if self.signs is not None:
            signs = np.array(self.signs, dtype=np.int8, order="C", copy=True)
            if signs.min() < -1 or signs.max() > 1:
                raise ProgramError("signs are -1, 0 or +1")
            signs.setflags(write=False)
            object.__setattr__(self, "signs", signs)
        elif self.weight is not None:
            object.__setattr__(self, "weight", float_array(self.weight, self.kernel))
        object.__setattr__(self, "alpha", word_float(float_word(self.alpha)))
        for name in ("bias", "a", "b"):
            array = getattr(self, name)
            if array is not None:
                object.__setattr__(self, name, float_array(array, self.kernel[:1]))

    @property
    def kernel(self) -> tuple[int, ...]:
        """cout, cin, kh, kw."""
        array = self.signs if self.signs is not None else self.weight
        return () if array is None else array.shape

    def infer(self, given: Sequence[Value], steps: int) -> Value:
        (x,) = given
        _refuse(x.kind is Kind.IDS, "a layer cannot read token ids")
        channels, height, width = (x.plane, 1, 1) if self.flatten else x.shape[1:]
        cout, cin, kh, kw = self.kernel
        _refuse(cin != channels, "a layer's inputs are not the register's channels", (cin, x.shape))
        _refuse(not 1 <= self.stride <= MAX_SIDE, "stride must be at least 1", self.stride)
        _refuse(not 0 <= self.pad < max(kh, kw), "pad must be less than the kernel", self.pad)
        high, wide = height + 2 * self.pad - kh, width + 2 * self.pad - kw
        _refuse(min(high, wide) < 0, "the kernel is larger than its input", (kh, kw))
        if x.whole and self.signs is not None:
            bound = x.largest * cin * kh * kw
            _refuse(bound >= MAX_SUM, "a layer's sums may exceed 2^24", bound)
        return Value(Kind.F32, x.steps, cout, high // self.stride + 1, wide // self.stride + 1)

    def words(self, data: DataWriter) -> list[int]:
        cout, _, kh, kw = self.kernel
        if self.signs is not None:
            bits = [
                np.packbits(s.ravel(), bitorder="little") for s in (self.signs != 0, self.signs > 0)
            ]
            weights = data.put(b"".join(b.tobytes() + bytes(-len(b) % 4) for b in bits))
        else:
            weights = data.floats(self.weight)
        return [
            cout, kh, kw, self.stride, self.pad, int(self.flatten), int(self.signs is None),
            float_word(self.alpha), weights,
            *(data.floats(array) for array in (self.bias, self.a, self.b)),
        ]  # fmt: skip

    @classmethod
    def read(
        cls, out: int, inputs: tuple[int, ...], words: list[int], data: DataReader, given: Value
    ) -> Self:
        cout, kh, kw, stride, pad, flatten, kind, alpha, at, *rest = words[:12]
        shape = (cout, given.plane if flatten else given.channels, kh, kw)
        _refuse(not 1 <= math.prod(shape) <= MAX_VALUES, "a layer is too large", shape)
        _refuse(flatten > 1 or kind > 1, "an unknown kind of layer", (flatten, kind))
        signs = weight = None
        if kind == 0:
            signs = _read_signs(data, at, shape)
        else:
            weight = data.floats(at, shape)
        bias, a, b = (data.floats(word, (cout,)) for word in rest)
        return cls(
            out=out, inputs=inputs, stride=stride, pad=pad, flatten=bool(flatten), signs=signs,
            alpha=word_float(alpha), weight=weight, bias=bias, a=a, b=b,
        )  # fmt: skip


def _read_signs(data: DataReader, at: int, shape: tuple[int, ...]) -> NDArray[np.int8]:
    count = math.prod(shape)
    size = (count + 7) // 8
    padded = size + (-size % 4)
    kept, plus = (
        np.unpackbits(
            np.frombuffer(data.take(at + skip, size), np.uint8), count=count, bitorder="little"
        )
        for skip in (0, padded)
    )
    _refuse(bool((plus & ~kept).any()), "a dropped weight has a sign")
    return (2 * plus.astype(np.int8) - kept.astype(np.int8)).reshape(shape)


class NeuronKind(enum.IntEnum):
    """Leaky integrate-and-fire, step, rectified linear unit, sign."""

    LIF = 0
    STEP = 1
    RELU = 2
    SIGN = 3


@dataclass(frozen=True, eq=False, kw_only=True)
class Neuron(Op):
    """A neuron on one input, or on the float32 sum of two.

    ``charge`` 0: ``v*decay + z``; 1: ``v - (v - v_rest)/tau + z``; 2: ``v + (z - (v -
    v_rest))/tau``. The parameters are rounded to float32.
    """

    code: ClassVar[int] = 2
    arity: ClassVar[tuple[int, int]] = (1, 2)

    kind: NeuronKind
    charge: int = 0
    soft: bool = False
    decay: float = 0.0
    tau: float = 1.0
    v_threshold: float = 0.0
    v_reset: float = 0.0
    v_rest: float = 0.0

    def infer(self, given: Sequence[Value], steps: int) -> Value:
        x = given[0]
        _refuse(any(v.kind is Kind.IDS for v in given), "a neuron cannot read token ids")
        if len(given) == 2:
            _refuse(x.shape[1:] != given[1].shape[1:], "a neuron's two inputs differ in shape")
        if self.kind is NeuronKind.LIF:
            _refuse(self.charge > 2, "charge must be 0, 1 or 2", self.charge)
            _refuse(self.charge > 0 and self.tau == 0, "tau must not be 0", self.tau)
            # a longer input than T is refused here, a shorter one is repeated
            _common_steps([*given, Value(Kind.SPK, steps, 1)])
            return Value(Kind.SPK, steps, *x.shape[1:], largest=1)
        s = _common_steps(given)
        if self.kind is NeuronKind.STEP:
            return Value(Kind.SPK, s, *x.shape[1:], largest=1)
        return Value(Kind.F32, s, *x.shape[1:])

    def words(self, data: DataWriter) -> list[int]:
        floats = (self.decay, self.tau, self.v_threshold, self.v_reset, self.v_rest)
        return [int(self.kind), self.charge, int(self.soft), *map(float_word, floats)]

    @classmethod
    def read(
        cls, out: int, inputs: tuple[int, ...], words: list[int], data: DataReader, given: Value
    ) -> Self:
        kind, charge, soft = words[:3]
        _refuse(kind > 3 or soft > 1, "an unknown neuron", (kind, soft))
        decay, tau, v_threshold, v_reset, v_rest = map(word_float, words[3:8])
        return cls(
            out=out, inputs=inputs, kind=NeuronKind(kind), charge=charge, soft=bool(soft),
            decay=decay, tau=tau, v_threshold=v_threshold, v_reset=v_reset, v_rest=v_rest,
        )  # fmt: skip


class _Numbers(Op):
    """An op whose parameters are whole numbers from word 5 on, in the order of ``names``."""

    names: ClassVar[tuple[str, ...]] = ()

    def words(self, data: DataWriter) -> list[int]:
        return [int(getattr(self, name)) for name in self.names]

    @classmethod
    def read(
        cls, out: int, inputs: tuple[int, ...], words: list[int], data: DataReader, given: Value
    ) -> Self:
        numbers = dict(zip(cls.names, words, strict=False))
        return cls(out=out, inputs=inputs, **numbers)


@dataclass(frozen=True, eq=False, kw_only=True)
class MaxPool(_Numbers):
    """Maximum over windows ``k`` x ``k``; padding never wins."""

    code: ClassVar[int] = 3
    names: ClassVar[tuple[str, ...]] = ("k", "stride", "pad")

    k: int
    stride: int
    pad: int = 0

    def infer(self, given: Sequence[Value], steps: int) -> Value:
        (x,) = given
        _refuse(x.kind is Kind.IDS, "token ids cannot be pooled")
        fits = 1 <= self.k <= MAX_SIDE and 1 <= self.stride <= MAX_SIDE
        _refuse(
            not fits or 2 * self.pad > self.k, "an impossible pooling window", (self.k, self.pad)
        )
        high, wide = x.height + 2 * self.pad - self.k, x.width + 2 * self.pad - self.k
        _refuse(min(high, wide) < 0, "the pooling window is larger than its input", self.k)
        sides = (high // self.stride + 1, wide // self.stride + 1)
        return Value(x.kind, x.steps, x.channels, *sides, largest=x.largest)


@dataclass(frozen=True, eq=False, kw_only=True)
class Add(_Numbers):
    """Sum of two registers: exact for spikes and whole numbers, else float32."""

    code: ClassVar[int] = 4
    arity: ClassVar[tuple[int, int]] = (2, 2)

    def infer(self, given: Sequence[Value], steps: int) -> Value:
        x, y = given
        _refuse(Kind.IDS in (x.kind, y.kind), "token ids cannot be added")
        _refuse(x.shape[1:] != y.shape[1:], "the parts of a sum differ in shape")
        s = _common_steps(given)
        if x.whole and y.whole:
            return Value(Kind.INT, s, *x.shape[1:], largest=x.largest + y.largest)
        return Value(Kind.F32, s, *x.shape[1:])


@dataclass(frozen=True, eq=False, kw_only=True)
class Mean(_Numbers):
    """Mean over the steps, the positions, or both."""

    code: ClassVar[int] = 5
    names: ClassVar[tuple[str, ...]] = ("time", "positions")

    time: bool
    positions: bool

    def infer(self, given: Sequence[Value], steps: int) -> Value:
        (x,) = given
        _refuse(x.kind is Kind.IDS, "token ids have no mean")
        _refuse(not (self.time or self.positions), "a mean over nothing")
        _refuse(max(int(self.time), int(self.positions)) > 1, "an unknown mean")
        bound = x.largest * x.steps * x.positions
        _refuse(x.whole and bound >= MAX_SUM, "a mean's sum may exceed 2^24", bound)
        s = 1 if self.time else x.steps
        sides = (1, 1) if self.positions else (x.height, x.width)
        return Value(Kind.F32, s, x.channels, *sides)


@dataclass(frozen=True, eq=False, kw_only=True)
class Attention(Op):
    """``scale * (q k^T) v`` over heads, of whole numbers ``[S, D, H, W]``."""

    code: ClassVar[int] = 6
    arity: ClassVar[tuple[int, int]] = (3, 3)

    heads: int
    scale: float

    def infer(self, given: Sequence[Value], steps: int) -> Value:
        q, k, v = given
        _refuse(not (q.whole and k.whole and v.whole), "attention takes spikes or whole numbers")
        _refuse(not q.shape == k.shape == v.shape, "q, k and v differ in shape")
        fits = 1 <= self.heads <= q.channels and q.channels % self.heads == 0
        _refuse(not fits, "the heads do not divide the channels", self.heads)
        per_head = q.channels // self.heads
        bound = q.positions * per_head * q.largest * k.largest * v.largest
        _refuse(bound >= MAX_SUM, "attention's sums may exceed 2^24", bound)
        return Value(Kind.F32, *q.shape)

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

    def infer(self, given: Sequence[Value], steps: int) -> Value:
        k, v = given
        _refuse(not (k.whole and v.whole), "a token sum takes spikes or whole numbers")
        _refuse(k.shape != v.shape, "k and v differ in shape")
        bound = k.positions * k.largest * v.largest
        _refuse(bound >= MAX_SUM, "a token sum may exceed 2^24", bound)
        return Value(Kind.F32, k.steps, k.channels)

    def words(self, data: DataWriter) -> list[int]:
        return [float_word(self.scale)]

    @classmethod
    def read(
        cls, out: int, inputs: tuple[int, ...], words: list[int], data: DataReader, given: Value
    ) -> Self:
        return cls(out=out, inputs=inputs, scale=word_float(words[0]))


@dataclass(frozen=True, eq=False, kw_only=True)
class Mask(_Numbers):
    """The first register where the second has a spike, else 0."""

    code: ClassVar[int] = 8
    arity: ClassVar[tuple[int, int]] = (2, 2)

    def infer(self, given: Sequence[Value], steps: int) -> Value:
        x, mask = given
        _refuse(x.kind is Kind.IDS, "token ids cannot be masked")
        _refuse(mask.kind is not Kind.SPK, "a mask must be spikes")
        alike = mask.shape in (x.shape, (x.steps, x.channels, 1, 1))
        _refuse(not alike, "the mask does not fit", (x.shape, mask.shape))
        return x


class ScoreKind(enum.IntEnum):
    """What tokens are ranked by."""

    FIRING_RATE = 0
    EMBEDDING_NORM = 1
    ATTENTION_COLUMNS = 2
    PRODUCT = 3
    PIXEL_ENERGY = 4


@dataclass(frozen=True, eq=False, kw_only=True)
class Score(_Numbers):
    """One score a position, ``[1, 1, H, W]``; ``rows`` and ``columns`` are pixel energy's grid."""

    code: ClassVar[int] = 9
    arity: ClassVar[tuple[int, int]] = (1, 2)
    names: ClassVar[tuple[str, ...]] = ("kind", "rows", "columns")

    kind: int
    rows: int = 0
    columns: int = 0

    def infer(self, given: Sequence[Value], steps: int) -> Value:
        _refuse(self.kind not in list(ScoreKind), "an unknown score", self.kind)
        pair = self.kind in (ScoreKind.ATTENTION_COLUMNS, ScoreKind.PRODUCT)
        _refuse(len(given) != 1 + pair, "a score has the wrong number of inputs", len(given))
        x = given[0]
        _refuse(x.kind is Kind.IDS, "token ids have no score")
        if pair:
            return self._pair(*given)
        if self.kind == ScoreKind.PIXEL_ENERGY:
            return self._grid(x)
        bound = x.largest * x.steps * x.channels
        _refuse(x.whole and bound >= MAX_SUM, "a score's sum may exceed 2^24", bound)
        return Value(Kind.F32, 1, 1, x.height, x.width)

    def _pair(self, x: Value, y: Value) -> Value:
        _refuse(not (x.whole and y.whole), "this score takes spikes or whole numbers")
        _refuse(x.shape != y.shape, "a score's inputs differ in shape")
        bound = x.largest * y.largest * x.steps * x.channels
        bound *= x.positions if self.kind == ScoreKind.ATTENTION_COLUMNS else 1
        _refuse(bound >= MAX_SUM, "a score's sum may exceed 2^24", bound)
        return Value(Kind.F32, 1, 1, x.height, x.width)

    def _grid(self, x: Value) -> Value:
        _refuse(x.kind is not Kind.F32, "pixel energy is of a float32 image")
        fits = _divides(self.rows, x.height) and _divides(self.columns, x.width)
        _refuse(not fits, "the grid does not divide the image", (self.rows, self.columns))
        return Value(Kind.F32, 1, 1, self.rows, self.columns)


@dataclass(frozen=True, eq=False, kw_only=True)
class TopK(_Numbers):
    """Ids of the ``k`` largest scores, ascending; of equal scores the earlier."""

    code: ClassVar[int] = 10
    names: ClassVar[tuple[str, ...]] = ("k",)

    k: int

    def infer(self, given: Sequence[Value], steps: int) -> Value:
        (x,) = given
        scores = x.kind is Kind.F32 and x.steps == x.channels == 1
        _refuse(not scores, "scores must be float32 [1, 1, H, W]", x.shape)
        _refuse(not 1 <= self.k <= x.positions, "k must be from 1 to the tokens", self.k)
        return Value(Kind.IDS, 1, 1, 1, self.k, largest=x.positions)


@dataclass(frozen=True, eq=False, kw_only=True)
class Gather(_Numbers):
    """The positions whose ids the second register holds, ``[S, D, 1, k]``."""

    code: ClassVar[int] = 11
    arity: ClassVar[tuple[int, int]] = (2, 2)

    def infer(self, given: Sequence[Value], steps: int) -> Value:
        x, ids = given
        _refuse(x.kind is Kind.IDS or ids.kind is not Kind.IDS, "gather takes values and ids")
        _refuse(ids.largest != x.positions, "the ids are for other tokens", (ids.largest, x.shape))
        return Value(x.kind, x.steps, x.channels, 1, ids.width, x.largest)


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
        _refuse(not rising or ids[0] < 0 or ids[-1] >= self.tokens, "ids must ascend below tokens")
        return Value(Kind.IDS, 1, 1, 1, ids.size, largest=self.tokens)

    def words(self, data: DataWriter) -> list[int]:
        return [self.ids.size, data.put(self.ids.astype("<i4").tobytes()), self.tokens]

    @classmethod
    def read(
        cls, out: int, inputs: tuple[int, ...], words: list[int], data: DataReader, given: Value
    ) -> Self:
        k, at, tokens = words[:3]
        _refuse(not 1 <= k <= MAX_SIDE, "the number of ids is out of range", k)
        ids = np.frombuffer(data.take(at, 4 * k), "<i4").astype(np.int32)
        return cls(out=out, inputs=inputs, ids=ids, tokens=tokens)


@dataclass(frozen=True, eq=False, kw_only=True)
class ZeroFill(_Numbers):
    """The image with the pixels of patches that are not chosen set to 0."""

    code: ClassVar[int] = 13
    arity: ClassVar[tuple[int, int]] = (2, 2)
    names: ClassVar[tuple[str, ...]] = ("rows", "columns")

    rows: int
    columns: int

    def infer(self, given: Sequence[Value], steps: int) -> Value:
        x, ids = given
        fits = x.kind is Kind.F32 and ids.kind is Kind.IDS
        _refuse(not fits, "zero fill takes a float32 image and ids")
        fits = _divides(self.rows, x.height) and _divides(self.columns, x.width)
        _refuse(not fits, "the grid does not divide the image", (self.rows, self.columns))
        _refuse(ids.largest != self.rows * self.columns, "the ids are for other tokens")
        return x


OPS: tuple[type[Op], ...] = (
    Synapse, Neuron, MaxPool, Add, Mean, Attention, TokenSum, Mask, Score, TopK, Gather, ConstIds,
    ZeroFill,
)  # fmt: skip


def _common_steps(given: Sequence[Value]) -> int:
    """S of registers of which those with one step are repeated."""
    steps = {v.steps for v in given} - {1}
    _refuse(len(steps) > 1, "the inputs have different numbers of steps", sorted(steps))
    return max(steps, default=1)


def _divides(part: int, whole: int) -> bool:
    return 1 <= part <= whole and whole % part == 0


def _refuse(wrong: bool, what: str, value: object = UNSET) -> None:
    if wrong:
        raise ProgramError(what, value=value)
