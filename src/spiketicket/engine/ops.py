"""The operations of a program: parameters, what they make of their inputs, and their words.

Every op knows three things: ``infer`` gives the register it writes, of the registers it reads, or
refuses them; ``words`` writes its parameters from word 5 of its record on; ``read`` does the
reverse. What an op computes is in ``reference.py``.
"""

from __future__ import annotations

from spiketicket.engine.layer_ops import (
    Add,
    Concat,
    Leak,
    MaxPool,
    Mean,
    Neuron,
    NeuronKind,
    Synapse,
)
from spiketicket.engine.op import Op
from spiketicket.engine.token_ops import (
    Attention,
    ConstIds,
    Gather,
    Mask,
    Score,
    ScoreKind,
    TokenSum,
    TopK,
    ZeroFill,
)

__all__ = [
    "OPS",
    "Add",
    "Attention",
    "Concat",
    "ConstIds",
    "Gather",
    "Leak",
    "Mask",
    "MaxPool",
    "Mean",
    "Neuron",
    "NeuronKind",
    "Op",
    "Score",
    "ScoreKind",
    "Synapse",
    "TokenSum",
    "TopK",
    "ZeroFill",
]

OPS: tuple[type[Op], ...] = (
    Synapse,
    Neuron,
    MaxPool,
    Add,
    Mean,
    Attention,
    TokenSum,
    Mask,
    Score,
    TopK,
    Gather,
    ConstIds,
    ZeroFill,
    Leak,
    Concat,
)
"""In the order of their codes, from 1 on."""
