"""Ops of layers: synapses, neurons, pooling, sums and means."""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from spiketicket.engine.op import Numbers, Op, common_steps, refuse
from spiketicket.engine.values import (
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
    rounded,
    word_float,
)


@dataclass(frozen=True, eq=False, kw_only=True)
class Synapse(Op):
    """Convolution or linear layer, bias, maximum over windows, then ``a*y + b`` (BatchNorm).

    ``signs`` int8 ``[cout, cin, kh, kw]`` of -1, 0, +1 with one scale ``alpha``, or ``weight``
    float32 of that shape. ``bias``, ``a`` and ``b`` are float32 ``[cout]`` or None. ``flatten``
    first lays the input out as ``[S, C*H*W, 1, 1]``. ``pool`` is a side of the windows, which lie
    side by side; 1 is none. With a negative ``a`` the maximum gives the smallest ``a*y + b``.
    """

    code: ClassVar[int] = 1

    stride: int = 1
    pad: int = 0
    flatten: bool = False
    pool: int = 1
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
        object.__setattr__(self, "alpha", rounded(self.alpha))
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
        refuse(x.kind is Kind.IDS, "a layer cannot read token ids")
        channels, height, width = (x.plane, 1, 1) if self.flatten else x.shape[1:]
        cout, cin, kh, kw = self.kernel
        refuse(cin != channels, "a layer's inputs are not the register's channels", (cin, x.shape))
        refuse(not 1 <= self.stride <= MAX_SIDE, "stride must be at least 1", self.stride)
        refuse(not 0 <= self.pad <= MAX_SIDE, "pad is out of range", self.pad)
        high, wide = height + 2 * self.pad - kh, width + 2 * self.pad - kw
        refuse(min(high, wide) < 0, "the kernel is larger than its input", (kh, kw))
        high, wide = high // self.stride + 1, wide // self.stride + 1
        refuse(not 1 <= self.pool <= min(high, wide), "pool is out of range", self.pool)
        if x.whole and self.signs is not None:
            kept = int(np.count_nonzero(self.signs.reshape(cout, -1), axis=1).max())
            bound = x.largest * kept
            refuse(bound >= MAX_SUM, "a layer's sums may exceed 2^24", bound)
        return Value(
            kind=Kind.F32,
            steps=x.steps,
            channels=cout,
            height=high // self.pool,
            width=wide // self.pool,
        )

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
            cout,
            kh,
            kw,
            self.stride,
            self.pad,
            int(self.flatten),
            int(self.signs is None),
            float_word(self.alpha),
            weights,
            *(data.floats(array) for array in (self.bias, self.a, self.b)),
            self.pool,
        ]

    @classmethod
    def read(
        cls, out: int, inputs: tuple[int, ...], words: list[int], data: DataReader, given: Value
    ) -> Self:
        cout, kh, kw, stride, pad, flatten, kind, alpha, at, *rest, pool = words[:13]
        shape = (cout, given.plane if flatten else given.channels, kh, kw)
        refuse(not 1 <= math.prod(shape) <= MAX_VALUES, "a layer is too large", shape)
        refuse(flatten > 1 or kind > 1, "an unknown kind of layer", (flatten, kind))
        signs = weight = None
        if kind == 0:
            signs = _read_signs(data, at, shape)
        else:
            weight = data.floats(at, shape)
        bias, a, b = (data.floats(word, (cout,)) for word in rest)
        return cls(
            out=out,
            inputs=inputs,
            stride=stride,
            pad=pad,
            flatten=bool(flatten),
            pool=pool,
            signs=signs,
            alpha=word_float(alpha),
            weight=weight,
            bias=bias,
            a=a,
            b=b,
        )


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
    refuse(bool((plus & ~kept).any()), "a dropped weight has a sign")
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
    v_rest))/tau``; 3 and 4: as 2 and 1, times ``decay`` in place of divided by ``tau``. ``strict``:
    fires above the threshold, not at it. ``late``: the reset comes after the next step's charge.
    ``keep``: there is none. The parameters are rounded to float32.
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
    strict: bool = False
    late: bool = False
    keep: bool = False

    def __post_init__(self) -> None:
        for name in ("decay", "tau", "v_threshold", "v_reset", "v_rest"):
            object.__setattr__(self, name, rounded(getattr(self, name)))

    def infer(self, given: Sequence[Value], steps: int) -> Value:
        x = given[0]
        refuse(any(v.kind is Kind.IDS for v in given), "a neuron cannot read token ids")
        if len(given) == 2:
            refuse(x.shape[1:] != given[1].shape[1:], "a neuron's two inputs differ in shape")
        if self.kind is NeuronKind.LIF:
            refuse(self.charge > 4, "charge must be from 0 to 4", self.charge)
            refuse(self.charge in (1, 2) and self.tau == 0, "tau must not be 0", self.tau)
            refuse(self.late and self.keep, "a reset that does not happen cannot be late")
            # a longer input than T is refused here, a shorter one is repeated
            common_steps([*given, Value(kind=Kind.SPK, steps=steps, channels=1)])
            return replace(x, kind=Kind.SPK, steps=steps, largest=1)
        refuse(self.strict or self.late or self.keep, "a neuron without a membrane has no reset")
        s = common_steps(given)
        if self.kind is NeuronKind.STEP:
            return replace(x, kind=Kind.SPK, steps=s, largest=1)
        return replace(x, kind=Kind.F32, steps=s, largest=0)

    def words(self, data: DataWriter) -> list[int]:
        floats = (self.decay, self.tau, self.v_threshold, self.v_reset, self.v_rest)
        numbers = [int(self.kind), self.charge, int(self.soft), *map(float_word, floats)]
        return [*numbers, int(self.strict), int(self.late), int(self.keep)]

    @classmethod
    def read(
        cls, out: int, inputs: tuple[int, ...], words: list[int], data: DataReader, given: Value
    ) -> Self:
        kind, charge, soft = words[:3]
        refuse(kind > 3 or soft > 1, "an unknown neuron", (kind, soft))
        decay, tau, v_threshold, v_reset, v_rest = map(word_float, words[3:8])
        strict, late, keep = words[8:11]
        refuse(max(strict, late, keep) > 1, "an unknown reset", (strict, late, keep))
        return cls(
            out=out,
            inputs=inputs,
            kind=NeuronKind(kind),
            charge=charge,
            soft=bool(soft),
            decay=decay,
            tau=tau,
            v_threshold=v_threshold,
            v_reset=v_reset,
            v_rest=v_rest,
            strict=bool(strict),
            late=bool(late),
            keep=bool(keep),
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class Leak(Op):
    """A leaky sum over the steps: ``y = y*rate + z``, or, ``own``, ``(y + rate*y) + z``."""

    code: ClassVar[int] = 14

    own: bool = False
    rate: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "rate", rounded(self.rate))

    def infer(self, given: Sequence[Value], steps: int) -> Value:
        (x,) = given
        refuse(x.kind is Kind.IDS, "token ids cannot be summed")
        common_steps([x, Value(kind=Kind.SPK, steps=steps, channels=1)])
        return replace(x, kind=Kind.F32, steps=steps, largest=0)

    def words(self, data: DataWriter) -> list[int]:
        return [int(self.own), float_word(self.rate)]

    @classmethod
    def read(
        cls, out: int, inputs: tuple[int, ...], words: list[int], data: DataReader, given: Value
    ) -> Self:
        refuse(words[0] > 1, "an unknown leaky sum", words[0])
        return cls(out=out, inputs=inputs, own=bool(words[0]), rate=word_float(words[1]))


@dataclass(frozen=True, eq=False, kw_only=True)
class Concat(Numbers):
    """The channels of two or three registers, one register after the other."""

    code: ClassVar[int] = 15
    arity: ClassVar[tuple[int, int]] = (2, 3)

    def infer(self, given: Sequence[Value], steps: int) -> Value:
        kinds = {v.kind for v in given}
        refuse(Kind.IDS in kinds, "token ids cannot be joined")
        sides = {(v.height, v.width) for v in given}
        refuse(len(sides) > 1, "what is joined differs in height or width", sorted(sides))
        kind = Kind.SPK if kinds == {Kind.SPK} else Kind.F32 if Kind.F32 in kinds else Kind.INT
        return replace(
            given[0],
            kind=kind,
            steps=common_steps(given),
            channels=sum(v.channels for v in given),
            largest=0 if kind is Kind.F32 else max(v.largest for v in given),
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class MaxPool(Numbers):
    """Maximum over windows ``k`` x ``k``; padding never wins."""

    code: ClassVar[int] = 3
    names: ClassVar[tuple[str, ...]] = ("k", "stride", "pad")

    k: int
    stride: int
    pad: int = 0

    def infer(self, given: Sequence[Value], steps: int) -> Value:
        (x,) = given
        refuse(x.kind is Kind.IDS, "token ids cannot be pooled")
        fits = 1 <= self.k <= MAX_SIDE and 1 <= self.stride <= MAX_SIDE
        refuse(
            not fits or 2 * self.pad > self.k, "an impossible pooling window", (self.k, self.pad)
        )
        high, wide = x.height + 2 * self.pad - self.k, x.width + 2 * self.pad - self.k
        refuse(min(high, wide) < 0, "the pooling window is larger than its input", self.k)
        return replace(x, height=high // self.stride + 1, width=wide // self.stride + 1)


@dataclass(frozen=True, eq=False, kw_only=True)
class Add(Numbers):
    """Sum of two registers: exact for spikes and whole numbers, else float32."""

    code: ClassVar[int] = 4
    arity: ClassVar[tuple[int, int]] = (2, 2)

    def infer(self, given: Sequence[Value], steps: int) -> Value:
        x, y = given
        refuse(Kind.IDS in (x.kind, y.kind), "token ids cannot be added")
        refuse(x.shape[1:] != y.shape[1:], "the parts of a sum differ in shape")
        s = common_steps(given)
        if x.whole and y.whole:
            return replace(x, kind=Kind.INT, steps=s, largest=x.largest + y.largest)
        return replace(x, kind=Kind.F32, steps=s, largest=0)


@dataclass(frozen=True, eq=False, kw_only=True)
class Mean(Numbers):
    """Mean over the steps, the positions, or both."""

    code: ClassVar[int] = 5
    names: ClassVar[tuple[str, ...]] = ("time", "positions")

    time: bool
    positions: bool

    def infer(self, given: Sequence[Value], steps: int) -> Value:
        (x,) = given
        refuse(x.kind is Kind.IDS, "token ids have no mean")
        refuse(not (self.time or self.positions), "a mean over nothing")
        refuse(max(int(self.time), int(self.positions)) > 1, "an unknown mean")
        s = 1 if self.time else x.steps
        height, width = (1, 1) if self.positions else (x.height, x.width)
        return Value(kind=Kind.F32, steps=s, channels=x.channels, height=height, width=width)
