"""The programs that become C: one chain of spiking layers and a classifier.

    [layer (- 2x2 max pooling of its sums) - neuron (- 2x2 max pooling)] x n
    -  mean over time (and positions)  -  classifier

and before it an input encoder, if there is one. Everything else is refused by the layer's name and
the reason.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from spiketicket.engine.ops import MaxPool, Mean, Neuron, NeuronKind, Op, Synapse
from spiketicket.engine.program import Program, Value
from spiketicket.errors import UNSET, UserError
from spiketicket.export.c.encoder import Encoder, read_encoder, signs_of

F32 = NDArray[np.float32]
Signs = NDArray[np.int8]
_MAX_SIDE = _MAX_TAPS = _MAX_COUNT = 65535
_SHORTCUT = (
    "Search without shortcuts (model.shortcuts=false), or run the ticket with spiketicket.Engine"
)


class ExportError(UserError):
    """A network, or a name, that cannot be written as C."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Affine:
    """``z = a * (alpha * n + bias) + b`` by output channel; what is None is left out."""

    alpha: float
    bias: F32 | None
    a: F32 | None
    b: F32 | None


@dataclass(frozen=True, eq=False, kw_only=True)
class Layer:
    """Ternary synapses, a neuron, and the pooling before and behind it.

    With ``pool_sums`` the neuron is given the largest sum of every 2x2 window, and ``alpha`` is
    not negative: the largest whole number is then the largest float32 sum too, since rounding
    keeps the order. A linear layer is a convolution whose kernel covers the map. ``memory`` is
    whether the neuron has a membrane (decay 1/2, reset to 0) or is a threshold.
    """

    name: str
    register: int
    """The register of the neuron's spikes, before pooling."""
    input: Value
    output: Value
    """Spikes before pooling."""
    signs: Signs
    affine: Affine
    stride: int
    pad: int
    v_threshold: float
    memory: bool
    pool: bool
    pool_sums: bool = False

    @property
    def pooled(self) -> tuple[int, int]:
        """Height and width of the map the next layer reads."""
        half = 2 if self.pool else 1
        return self.output.height // half, self.output.width // half


@dataclass(frozen=True, eq=False, kw_only=True)
class Readout:
    """The classifier on numbers of spikes; ``signs`` is int8 ``[classes, features]``."""

    name: str
    signs: Signs
    affine: Affine
    positions: bool
    """Whether spikes are counted over all positions of a channel, too."""
    divisor: int
    """What the mean divides a count by."""

    @property
    def whole(self) -> bool:
        """Whether the logits are whole numbers times one scale."""
        return self.affine.bias is None and self.affine.a is None


@dataclass(frozen=True, eq=False, kw_only=True)
class Chain:
    """A program that can be written as C; ``layers[0]`` reads pixels, or what the encoder has made
    of them, the others spikes.
    """

    program: Program
    encoder: Encoder | None
    layers: tuple[Layer, ...]
    readout: Readout

    @property
    def lut(self) -> F32 | None:
        """What the 8-bit pixels that ``layers[0]`` reads stand for; None where it reads floats."""
        return self.program.lut if self.encoder is None else None


def read_chain(program: Program) -> Chain:
    """The chain a program is.

    Raises:
        ExportError: it is something else; names the layer and the reason.
    """
    return _Reader(program).read()


class _Reader:
    """Goes through the ops; ``name`` is that of the layer it is at, for messages."""

    def __init__(self, program: Program) -> None:
        self.program, self.at, self.register, self.name = program, 0, 0, ""

    def read(self) -> Chain:
        layers: list[Layer] = []
        encoder = read_encoder(self.program)
        if encoder is not None:
            layers += self._encoder(encoder)
        while self.at < len(self.program.ops) - 1 and not isinstance(self._next(), Mean):
            layers.append(self._layer(not layers))
        if not layers:
            self._refuse("the network has no spiking layer")
        return Chain(
            program=self.program, encoder=encoder, layers=tuple(layers), readout=self._readout()
        )

    def _next(self) -> Op:
        return self.program.ops[self.at]

    def _value(self) -> Value:
        return self.program.values[self.register]

    def _take(self, op: Op) -> None:
        """Go past an op, which must read what the one before it wrote, and nothing else."""
        if op.inputs != (self.register,):
            what = "layers must follow one another, without branches or residual sums"
            if isinstance(op, Neuron):
                self._refuse(what, remedy=_SHORTCUT)
            self._refuse(what)
        self.at += 1
        self.register = op.out

    def _enter(self, op: Op) -> None:
        self.name = self.program.names.get(op.out, f"op {self.at} ({type(op).__name__})")

    def _refuse(
        self,
        what: str,
        value: object = UNSET,
        remedy: str = "C is written of chains of ternary layers with LIF (decay 0.5) or step"
        " neurons",
    ) -> NoReturn:
        raise ExportError(what, where=self.name, value=value, remedy=remedy)

    def _encoder(self, encoder: Encoder) -> list[Layer]:
        """Go past an encoder; its neuron is a layer on what its filters give, a ReLU is none."""
        synapse, neuron = self._next(), self.program.ops[self.at + 1]
        self._enter(synapse)
        self._take(synapse)
        given = self._value()
        if encoder.rectified or not isinstance(neuron, Neuron):
            self._take(neuron)
            return []
        memory = self._memory(neuron)
        self._take(neuron)
        layer = Layer(
            name=self.name,
            register=self.register,
            input=replace(given, channels=encoder.planes),
            output=self._value(),
            signs=signs_of(encoder),
            affine=Affine(alpha=1.0, bias=None, a=None, b=None),
            stride=1,
            pad=0,
            v_threshold=neuron.v_threshold,
            memory=memory,
            pool=False,
        )
        self._check(layer, True)
        return [layer]

    def _layer(self, first: bool) -> Layer:
        synapse, given = self._synapse(), self._value()
        signs, affine = self._kernels(synapse), _affine(synapse)
        if synapse.pool > 2:
            self._refuse("its sums must be pooled 2x2", synapse.pool)
        if synapse.pool > 1 and affine.alpha < 0:
            signs, affine = -signs, replace(affine, alpha=-affine.alpha)
        self._take(synapse)
        neuron = self._next()
        if not isinstance(neuron, Neuron):
            self._refuse("a layer must be followed by its neuron", type(neuron).__name__)
        memory = self._memory(neuron)
        self._take(neuron)
        register, output = self.register, self._value()
        layer = Layer(
            name=self.name,
            register=register,
            input=given,
            output=output,
            signs=signs,
            affine=affine,
            stride=synapse.stride,
            pad=synapse.pad,
            v_threshold=neuron.v_threshold,
            memory=memory,
            pool=self._pool(),
            pool_sums=synapse.pool == 2,
        )
        self._check(layer, first)
        return layer

    def _synapse(self) -> Synapse:
        op = self._next()
        self._enter(op)
        if not isinstance(op, Synapse):
            self._refuse(f"{type(op).__name__} is nothing the C export knows")
        if op.signs is None:
            self._refuse("its weights are floats, not signs with one scale")
        return op

    def _kernels(self, synapse: Synapse) -> Signs:
        """Signs ``[cout, C, kh, kw]``; of a linear layer as a kernel as large as the map."""
        signs, given = synapse.signs, self._value()
        if signs is None:
            raise TypeError("the layer has no signs")
        if not synapse.flatten or given.positions == 1:
            return signs
        if signs.shape[2:] != (1, 1) or synapse.pad:
            self._refuse("a flattened map takes a 1x1 kernel", signs.shape)
        return signs.reshape(len(signs), *given.shape[1:])

    def _memory(self, neuron: Neuron) -> bool:
        """Whether a neuron has a membrane; refuses those that whole numbers cannot follow."""
        if neuron.kind is NeuronKind.STEP:
            return False
        if neuron.kind is not NeuronKind.LIF:
            self._refuse("its neuron must be LIF or step", neuron.kind.name)
        if neuron.charge != 0 or neuron.v_rest != 0:
            self._refuse("its neuron must add its input to a membrane that rests at 0")
        if neuron.decay == 0 or self.program.steps == 1:
            return False
        if neuron.decay != 0.5:
            self._refuse("its neuron's decay must be 0.5", neuron.decay)
        if neuron.soft or neuron.v_reset != 0:
            self._refuse("its neuron must be reset to 0", "soft" if neuron.soft else neuron.v_reset)
        return True

    def _pool(self) -> bool:
        op = self._next() if self.at < len(self.program.ops) else None
        if not isinstance(op, MaxPool):
            return False
        if (op.k, op.stride, op.pad) != (2, 2, 0):
            self._refuse("its max pooling must be 2x2", (op.k, op.stride, op.pad))
        self._take(op)
        return True

    def _check(self, layer: Layer, first: bool) -> None:
        _, cin, kh, kw = layer.signs.shape
        largest = max(*layer.input.shape, *layer.output.shape)
        if largest > _MAX_SIDE:
            self._refuse("is larger than 65535 a side", largest)
        if not first and 2 * layer.pad >= kw and layer.pad:
            self._refuse("pads by half its kernel or more", layer.pad)
        if not first and layer.pool_sums and layer.stride > 1:
            self._refuse("its sums cannot be pooled behind a stride", layer.stride)
        if not first and cin * kh > _MAX_TAPS:
            self._refuse("has more than 65535 inputs a kernel column", cin * kh)

    def _readout(self) -> Readout:
        given, op, positions, divisor = self._value(), self._next(), False, 1
        self._enter(op)
        if isinstance(op, Mean):
            positions = bool(op.positions)
            divisor = given.steps * (given.positions if positions else 1)
            self._take(op)
        if self._value().steps > 1 or self.at == len(self.program.ops):
            self._refuse("a classifier must follow a mean over time")
        synapse = self._synapse()
        signs = self._kernels(synapse)
        if signs.shape[2:] != self._value().shape[2:] or synapse.pad:
            self._refuse("the classifier must be a linear layer", signs.shape)
        if divisor > _MAX_COUNT:
            self._refuse("counts more than 65535 spikes", divisor)
        self._take(synapse)
        if self.at != len(self.program.ops):
            self._refuse("the classifier must be the last layer")
        return Readout(
            name=self.name,
            signs=signs.reshape(len(signs), -1),
            affine=_affine(synapse),
            positions=positions,
            divisor=divisor,
        )


def _affine(synapse: Synapse) -> Affine:
    return Affine(alpha=synapse.alpha, bias=synapse.bias, a=synapse.a, b=synapse.b)
