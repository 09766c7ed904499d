"""The fixed input encoder in C: filters in float32 on every patch, into a buffer of floats.

Behind a ReLU the first layer of the network reads that buffer as it reads pixels. Where a neuron
stands in its place, that neuron is a layer of its own: every channel is one filter, plus or minus.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spiketicket.engine.ops import Neuron, NeuronKind, Op, Synapse
from spiketicket.engine.program import Program

F32 = NDArray[np.float32]


@dataclass(frozen=True, eq=False, kw_only=True)
class Encoder:
    """Filters float32 ``[k, C, 2, 2]``, and whether a ReLU is behind them and their negatives."""

    name: str
    filters: F32
    rectified: bool

    @property
    def planes(self) -> int:
        """Channels of the buffer."""
        return len(self.filters) * (2 if self.rectified else 1)


def read_encoder(program: Program) -> Encoder | None:
    """The encoder that a program begins with, if any: as ``engine/compile/net.py`` makes it."""
    if len(program.ops) < 2:
        return None
    first, neuron = program.ops[:2]
    filters = _filters(first)
    if filters is None or not isinstance(neuron, Neuron) or neuron.inputs != (first.out,):
        return None
    name = program.names.get(first.out, "input encoder")
    return Encoder(name=name, filters=filters, rectified=neuron.kind is NeuronKind.RELU)


def _filters(op: Op) -> F32 | None:
    if not isinstance(op, Synapse) or op.weight is None or op.inputs != (0,):
        return None
    weight, half = op.weight, len(op.weight) // 2
    plain = (
        op.bias is None
        and op.a is None
        and not op.flatten
        and (op.stride, op.pad, op.pool) == (1, 1, 1)
    )
    if not plain or weight.shape[2:] != (3, 3) or weight[:, :, 0].any() or weight[..., 0].any():
        return None
    if len(weight) % 2 or not np.array_equal(weight[:half], -weight[half:]):
        return None
    return np.ascontiguousarray(weight[:half, :, 1:, 1:])


def signs_of(encoder: Encoder) -> NDArray[np.int8]:
    """The filters and their negatives as a layer on the buffer: int8 ``[2k, k, 1, 1]``."""
    one = np.eye(len(encoder.filters), dtype=np.int8)
    return np.concatenate([one, -one])[:, :, None, None]
