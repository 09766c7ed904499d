"""Puts a ticket's arrays into the ops of a program: weights, biases and folded BatchNorm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spiketicket.engine import ops
from spiketicket.engine.compile.settings import NeuronSettings, Table
from spiketicket.engine.ops import NeuronKind
from spiketicket.engine.program import Builder, Program
from spiketicket.recipe.shapes import ENCODER, FILTERS, DataShape, filter_count
from spiketicket.ticket import Ticket, TicketError

F32 = NDArray[np.float32]

_EPSILON = np.float32(1e-5)
"""What torch's BatchNorm adds to a variance."""


class Net:
    """A program in the making, with the ticket's arrays by the names of the network's modules.

    ``input`` is the register that the network reads: the image, or what its encoder makes of it.
    """

    def __init__(
        self,
        ticket: Ticket,
        shape: DataShape,
        steps: int,
        neuron: NeuronSettings,
        lut: F32 | None,
    ) -> None:
        self.shape, self.neuron, self.input = shape, neuron, 0
        self._layers = {layer.name: layer for layer in ticket.layers}
        self._tensors = ticket.tensors
        self._unused = {*self._layers, *self._tensors}
        self.builder = Builder(
            steps=steps,
            frames=shape.frames,
            channels=shape.channels,
            height=shape.height,
            width=shape.width,
            classes=shape.classes,
            lut=lut,
        )

    def encode(self, encoder: str) -> None:
        """Put an encoder before the network, as ``models/encoder.py`` has it.

        Raises:
            TicketError: its filters are missing, or of another shape.
        """
        if encoder == "none":
            return
        filters = self._tensor(FILTERS)
        expected = (filter_count(self.shape.channels), self.shape.channels, 2, 2)
        if filters.shape != expected:
            what = f"must have the shape {list(expected)}"
            raise TicketError(what, where=FILTERS, value=list(filters.shape))
        weight = np.pad(np.concatenate([filters, -filters]), ((0, 0), (0, 0), (1, 0), (1, 0)))
        y = self.builder.add(ops.Synapse, 0, name=ENCODER, pad=1, weight=weight)
        neuron = self.neuron if encoder == "whiten-lif" else NeuronSettings(kind=NeuronKind.RELU)
        self.input = self.fire(neuron, f"{ENCODER}.neuron", y)

    def has(self, name: str) -> bool:
        """Whether the ticket has a layer of this name."""
        return name in self._layers or f"{name}.weight" in self._tensors

    def synapse(
        self,
        name: str,
        x: int,
        *,
        norm: str = "",
        stride: int = 1,
        pad: int = 0,
        flatten: bool = False,
        pool: int = 1,
        eps: float = float(_EPSILON),
        weight: dict[str, Any] | None = None,
        bias: bool = True,
    ) -> int:
        """A convolution or linear layer, with the BatchNorm ``norm`` after it.

        ``pool`` is a side of the windows whose maximum is taken before BatchNorm, which adds
        ``eps`` to variances. ``weight`` is another form of the layer's own; without ``bias`` the
        layer's is left out.
        """
        a, b = self.affine(norm, eps) if norm else (None, None)
        return self.builder.add(
            ops.Synapse,
            x,
            name=name,
            stride=stride,
            pad=pad,
            flatten=flatten,
            pool=pool,
            a=a,
            b=b,
            bias=self._maybe(f"{name}.bias") if bias else None,
            **(self.weight(name) if weight is None else weight),
        )

    def fire(self, neuron: NeuronSettings, name: str, *inputs: int) -> int:
        """A neuron on one register, or on the sum of two."""
        return self.builder.add(ops.Neuron, *inputs, name=name, **neuron.parameters())

    def block(self, name: str, x: int, *, pad: int = 0, stride: int = 1, pool: bool = False) -> int:
        """Synapses, BatchNorm, neuron and 2x2 max pooling, as ``models._blocks.Block`` has them."""
        flatten = not self._is_convolution(f"{name}.synapse")
        y = self.synapse(
            f"{name}.synapse", x, norm=f"{name}.norm", stride=stride, pad=pad, flatten=flatten
        )
        spikes = self.fire(self.neuron, f"{name}.neuron", y)
        return self.builder.add(ops.MaxPool, spikes, k=2, stride=2) if pool else spikes

    def conv_blocks(self, model: Table, x: int, halved: Sequence[bool]) -> int:
        """A 3x3 convolution as a block for each of ``halved``, as ``models._blocks.conv_block``.

        Raises:
            TicketError: average pooling, after which spikes are fractions.
        """
        pooling = model.text("pooling", ("max", "average", "stride"), "max")
        if pooling == "average":
            what, remedy = "average pooling is not in the engine", "It has max and stride"
            raise TicketError(what, where="model.pooling", value=pooling, remedy=remedy)
        for i, halve in enumerate(halved):
            stride = 2 if halve and pooling == "stride" else 1
            pool = halve and pooling == "max"
            x = self.block(f"features.{i}", x, pad=1, stride=stride, pool=pool)
        return x

    def not_read(self, prefix: str) -> None:
        """Say that arrays under ``prefix`` are the network's, though no result depends on them."""
        self._unused = {key for key in self._unused if not key.startswith(prefix)}

    def program(self) -> Program:
        """The program.

        Raises:
            TicketError: the ticket has arrays that the network has not.
        """
        if self._unused:
            what = f"its arrays do not fit the network it names: {len(self._unused)} are too many"
            raise TicketError(what, value=min(self._unused))
        return self.builder.program()

    def _is_convolution(self, name: str) -> bool:
        layer = self._layers.get(name)
        return layer is None or len(layer.shape) == 4

    def weight(self, name: str) -> dict[str, Any]:
        """A layer's weight with four axes, as :class:`spiketicket.engine.ops.Synapse` takes it."""
        layer = self._layers.get(name)
        if layer is None:
            return _ternary_or_float(_four_axes(self._tensor(f"{name}.weight"), name))
        self._unused.discard(name)
        if layer.signs is not None:
            return {"signs": _four_axes(layer.signs, name), "alpha": layer.alpha}
        return _ternary_or_float(_four_axes(layer.weight(), name))

    def affine(self, name: str, eps: float = float(_EPSILON)) -> tuple[F32, F32]:
        """BatchNorm as ``a*y + b``, in the very float32 operations of ``models/blocks.py``."""
        mean, var = self._tensor(f"{name}.running_mean"), self._tensor(f"{name}.running_var")
        self._unused.discard(f"{name}.num_batches_tracked")
        weight, bias = self._maybe(f"{name}.weight"), self._maybe(f"{name}.bias")
        with np.errstate(invalid="ignore", divide="ignore"):
            a = np.float32(1) / np.sqrt(var + np.float32(eps))
        if weight is not None:
            a = a * weight
        b = -mean * a
        return (a, b) if bias is None else (a, b + bias)

    def _tensor(self, key: str) -> F32:
        if key not in self._tensors:
            raise TicketError(
                "its arrays do not fit the network it names: one is missing", value=key
            )
        self._unused.discard(key)
        return np.asarray(self._tensors[key]).astype(np.float32)

    def _maybe(self, key: str) -> F32 | None:
        return self._tensor(key) if key in self._tensors else None


def _four_axes(weight: NDArray[Any], name: str) -> NDArray[Any]:
    if weight.ndim not in (2, 3, 4):
        raise TicketError("is no convolution and no linear layer", where=name, value=weight.shape)
    if weight.ndim == 3:  # along one axis, which is the width
        return weight[:, :, None, :]
    return weight if weight.ndim == 4 else weight[:, :, None, None]


def _ternary_or_float(weight: F32) -> dict[str, Any]:
    """Signs and one scale where all weights have one magnitude or are 0: then sums are exact."""
    magnitude = np.abs(weight)
    alpha = magnitude.max()
    if not np.isfinite(alpha) or not np.isin(magnitude, (0, alpha)).all():
        return {"weight": weight}
    return {"signs": np.sign(weight).astype(np.int8), "alpha": float(alpha)}
