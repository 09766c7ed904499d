"""A ticket's program as an ONNX model of static batch size, time steps unrolled.

A register ``[S, C, H, W]`` of N images is one tensor ``[S*N, C, H, W]``, or ``[S*N, C]`` where it
has one position, step after step, so that a layer without a state meets all steps at once. Scales,
biases and BatchNorm are folded into the weights; a neuron with a state is elementwise nodes, step
by step. Scores are ``[N, tokens]`` and ids ``[N, k]``, or ``[k]`` where they are constant.

:mod:`spiketicket.export.onnx` writes another graph, with PyTorch: its logits are the network's own,
so BatchNorm stays apart from the weights, which takes ONNX Runtime longer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import onnx
from numpy.typing import NDArray

from spiketicket.bench.onnx_graph import INPUT, Graph
from spiketicket.engine import ops
from spiketicket.engine.ops import NeuronKind, Op, ScoreKind
from spiketicket.engine.program import Program, Value


def to_onnx(program: Program, batch: int) -> onnx.ModelProto:
    """The model; its input is ``[batch, C, H, W]``, or frames ``[batch, T, C, H, W]``."""
    return _Writer(program, batch).model()


def folded_weight(op: ops.Synapse) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """Weight ``[cout, cin, kh, kw]`` and bias ``[cout]`` or None, with all scales in them.

    Those of BatchNorm are left out where a maximum stands before it.
    """
    weight = op.weight
    if op.signs is not None:
        weight = np.float32(op.alpha) * op.signs
    weight = cast("NDArray[np.float32]", weight)
    bias = op.bias
    if op.pool > 1:
        return weight.astype(np.float32), bias
    if op.a is not None and op.b is not None:
        weight = weight * op.a[:, None, None, None]
        bias = op.b if bias is None else op.a * bias + op.b
    return weight.astype(np.float32), bias


class _Writer:
    """Names of the tensors that registers are, filled op by op."""

    def __init__(self, program: Program, batch: int) -> None:
        self.program, self.batch, self.graph = program, batch, Graph()
        self.names: dict[int, str] = {}

    def model(self) -> onnx.ModelProto:
        program, n = self.program, self.batch
        frames = program.frames
        shape = (program.channels, program.height, program.width)
        x = INPUT
        if frames > 1:
            x = self.graph.add("Transpose", x, perm=[1, 0, 2, 3, 4])
            x = self.graph.reshape(x, frames * n, *shape)
        self.names[0] = self._fitted(x, program.input_value())
        for op in program.ops:
            self.names[op.out] = _WRITERS[type(op)](self, op)
        given = (n, frames, *shape) if frames > 1 else (n, *shape)
        return self.graph.model(self.names[program.output], given, (n, program.classes))

    def values(self, op: Op) -> list[Value]:
        """The registers an op reads."""
        return [self.program.values[register] for register in op.inputs]

    def inputs(self, op: Op) -> list[str]:
        """Their tensors."""
        return [self.names[register] for register in op.inputs]

    def repeated(self, op: Op) -> list[str]:
        """Their tensors, with as many steps each."""
        values = self.values(op)
        steps = max(value.steps for value in values)
        return [
            self.graph.add("Concat", *[name] * steps, axis=0) if value.steps < steps else name
            for name, value in zip(self.inputs(op), values, strict=True)
        ]

    def wide(self, name: str, value: Value, *shape: int) -> str:
        """A register as ``[S*N, *shape]``, where it has not that shape already."""
        return self.graph.reshape(name, value.steps * self.batch, *shape)

    def by_step(self, name: str, value: Value) -> str:
        """A register as ``[S, N, C, positions]``."""
        return self.graph.reshape(name, value.steps, self.batch, value.channels, value.positions)

    def _fitted(self, x: str, value: Value) -> str:
        return self.wide(x, value, value.channels) if value.positions == 1 else x


def _synapse(w: _Writer, op: ops.Synapse) -> str:
    (x,), (value,) = w.inputs(op), w.values(op)
    weight, bias = folded_weight(op)
    out = w.program.values[op.out]
    constants = [w.graph.constant(bias)] if bias is not None else []
    if op.flatten or (value.positions == 1 and weight.shape[2:] == (1, 1)):
        flat = w.wide(x, value, value.plane) if value.positions > 1 else x
        matrix = w.graph.constant(weight.reshape(len(weight), -1))
        return w.graph.add("Gemm", flat, matrix, *constants, transB=1)
    if value.positions == 1:
        x = w.wide(x, value, value.channels, 1, 1)
    y = w.graph.add(
        "Conv",
        x,
        w.graph.constant(weight),
        *constants,
        kernel_shape=list(weight.shape[2:]),
        strides=[op.stride] * 2,
        pads=[op.pad] * 4,
    )
    if op.pool > 1:
        y = w.graph.add("MaxPool", y, kernel_shape=[op.pool] * 2, strides=[op.pool] * 2)
        if op.a is not None and op.b is not None:
            y = w.graph.add("Mul", y, w.graph.constant(op.a[:, None, None]))
            y = w.graph.add("Add", y, w.graph.constant(op.b[:, None, None]))
    return w.wide(y, out, out.channels) if out.positions == 1 else y


def _neuron(w: _Writer, op: ops.Neuron) -> str:
    g = w.graph
    alike = w.repeated(op)
    z = alike[0] if len(alike) == 1 else g.add("Add", *alike)
    if op.kind is NeuronKind.RELU:
        return g.add("Relu", z)
    if op.kind is NeuronKind.LIF:
        steps = max(value.steps for value in w.values(op))
        return _lif(w, op, z, steps)
    fires = g.add("GreaterOrEqual", z, g.constant(op.v_threshold))
    if op.kind is NeuronKind.STEP:
        return g.cast(fires)
    return g.add("Where", fires, g.constant(1.0), g.constant(-1.0))


def _lif(w: _Writer, op: ops.Neuron, z: str, steps: int) -> str:
    g, total = w.graph, w.program.steps
    currents = [z] * total
    if steps > 1:
        currents = g.add_many("Split", [z, g.integers(*[w.batch] * total)], total, axis=0)
    v, spikes = "", []
    for step, current in enumerate(currents):
        u = _charged(w, op, v, current)
        fires = g.add("GreaterOrEqual", u, g.constant(op.v_threshold))
        spikes.append(fires)
        if step < total - 1:
            reset = g.constant(op.v_reset)
            if op.soft:
                reset = g.add("Sub", u, g.constant(op.v_threshold))
            v = g.add("Where", fires, reset, u)
    # one cast of all steps: truth values are a quarter as long
    return g.cast(g.add("Concat", *spikes, axis=0) if total > 1 else spikes[0])


def _charged(w: _Writer, op: ops.Neuron, v: str, z: str) -> str:
    """The potential before the spike; ``v`` is "" before the first step: the rest."""
    g, rest = w.graph, op.v_rest
    if op.charge == 0:
        if not v:
            start = np.float32(rest) * np.float32(op.decay)
            return g.add("Add", z, g.constant(start)) if start else z
        return g.add("Add", g.add("Mul", v, g.constant(op.decay)), z) if op.decay else z
    tau = g.constant(op.tau)
    if not v:
        z = z if op.charge == 1 else g.add("Div", z, tau)
        return g.add("Add", z, g.constant(rest)) if rest else z
    above = g.add("Sub", v, g.constant(rest)) if rest else v
    if op.charge == 1:
        return g.add("Add", g.add("Sub", v, g.add("Div", above, tau)), z)
    return g.add("Add", v, g.add("Div", g.add("Sub", z, above), tau))


def _max_pool(w: _Writer, op: ops.MaxPool) -> str:
    (x,), (value,) = w.inputs(op), w.values(op)
    out = w.program.values[op.out]
    if value.positions == 1:
        x = w.wide(x, value, value.channels, 1, 1)
    y = w.graph.add(
        "MaxPool", x, kernel_shape=[op.k] * 2, strides=[op.stride] * 2, pads=[op.pad] * 4
    )
    return w.wide(y, out, out.channels) if out.positions == 1 else y


def _add(w: _Writer, op: ops.Add) -> str:
    return w.graph.add("Add", *w.repeated(op))


def _mean(w: _Writer, op: ops.Mean) -> str:
    (x,), (value,) = w.inputs(op), w.values(op)
    out = w.program.values[op.out]
    axes = ([0] if op.time and value.steps > 1 else []) + ([3] if op.positions else [])
    y = w.graph.reduce("ReduceMean", w.by_step(x, value), *axes) if axes else x
    return w.wide(y, out, *((out.channels,) if out.positions == 1 else out.shape[1:]))


def _attention(w: _Writer, op: ops.Attention) -> str:
    g, value = w.graph, w.values(op)[0]
    size = value.channels // op.heads
    q, k, v = (w.wide(name, value, op.heads, size, value.positions) for name in w.inputs(op))
    if value.positions > size:
        mixed = g.add("MatMul", g.add("MatMul", v, g.add("Transpose", k, perm=[0, 1, 3, 2])), q)
    else:
        mixed = g.add("MatMul", v, g.add("MatMul", g.add("Transpose", k, perm=[0, 1, 3, 2]), q))
    scaled = g.add("Mul", mixed, g.constant(op.scale))
    one = value.positions == 1
    return w.wide(scaled, value, *((value.channels,) if one else value.shape[1:]))


def _token_sum(w: _Writer, op: ops.TokenSum) -> str:
    g, value = w.graph, w.values(op)[0]
    product = w.wide(g.add("Mul", *w.inputs(op)), value, value.channels, value.positions)
    return g.add("Mul", g.reduce("ReduceSum", product, 2), g.constant(op.scale))


def _mask(w: _Writer, op: ops.Mask) -> str:
    (x, mask), (value, mask_value) = w.inputs(op), w.values(op)
    if mask_value.positions == 1 < value.positions:
        mask = w.wide(mask, mask_value, mask_value.channels, 1, 1)
    return w.graph.add("Mul", x, mask)


def _score(w: _Writer, op: ops.Score) -> str:
    g = w.graph
    parts = [w.by_step(*pair) for pair in zip(w.inputs(op), w.values(op), strict=True)]
    if op.kind == ScoreKind.PIXEL_ENERGY:
        return _pixel_energy(w, op)
    if op.kind == ScoreKind.FIRING_RATE:
        return g.reduce("ReduceMean", parts[0], 0, 2)
    if op.kind == ScoreKind.EMBEDDING_NORM:
        mean = g.reduce("ReduceMean", parts[0], 0)
        return g.add("Sqrt", g.reduce("ReduceSum", g.add("Mul", mean, mean), 1))
    first, second = parts
    if op.kind == ScoreKind.ATTENTION_COLUMNS:
        first = g.add("ReduceSum", first, g.integers(3), keepdims=1)
    return g.reduce("ReduceSum", g.add("Mul", first, second), 0, 2)


def _pixel_energy(w: _Writer, op: ops.Score) -> str:
    g, value = w.graph, w.values(op)[0]
    x = w.by_step(w.inputs(op)[0], value)
    deviation = g.add("Sub", x, g.add("ReduceMean", x, g.integers(3), keepdims=1))
    square = g.reduce("ReduceSum", g.reduce("ReduceMean", g.add("Mul", deviation, deviation), 0), 1)
    rows, columns = op.rows, op.columns
    cells = g.reshape(square, w.batch, rows, value.height // rows, columns, value.width // columns)
    return g.reshape(g.reduce("ReduceMean", cells, 2, 4), w.batch, rows * columns)


def _top_k(w: _Writer, op: ops.TopK) -> str:
    (scores,) = w.inputs(op)
    size = w.graph.integers(op.k)
    ids = w.graph.add_many("TopK", [scores, size], 2, axis=1, largest=1, sorted=1)[1]
    return w.graph.add_many("TopK", [ids, size], 2, axis=1, largest=0, sorted=1)[0]


def _const_ids(w: _Writer, op: ops.ConstIds) -> str:
    return w.graph.constant(op.ids, np.int64)


def _constant_ids(w: _Writer, register: int) -> NDArray[np.int32] | None:
    """The ids a register holds, where they are the same for every image."""
    made = (op for op in w.program.ops if op.out == register)
    return next((op.ids for op in made if isinstance(op, ops.ConstIds)), None)


def _gather(w: _Writer, op: ops.Gather) -> str:
    g, (x, ids), (value, id_value) = w.graph, w.inputs(op), w.values(op)
    k = id_value.width
    if _constant_ids(w, op.inputs[1]) is not None:
        flat = w.wide(x, value, value.channels, value.positions)
        taken = g.add("Gather", flat, ids, axis=2)
    else:
        index = g.add(
            "Expand",
            g.reshape(ids, 1, w.batch, 1, k),
            g.integers(value.steps, w.batch, value.channels, k),
        )
        taken = g.add("GatherElements", w.by_step(x, value), index, axis=3)
    return w.wide(taken, value, *((value.channels,) if k == 1 else (value.channels, 1, k)))


def _zero_fill(w: _Writer, op: ops.ZeroFill) -> str:
    g, (x, ids), value = w.graph, w.inputs(op), w.values(op)[0]
    tokens, constant = op.rows * op.columns, _constant_ids(w, op.inputs[1])
    batch = 1 if constant is not None else w.batch
    if constant is not None:
        chosen = np.zeros((1, tokens), np.float32)
        chosen[0, constant] = 1
        kept = g.constant(chosen)
    else:
        ones = g.constant(np.ones((batch, w.values(op)[1].width)))
        kept = g.add("ScatterElements", g.constant(np.zeros((batch, tokens))), ids, ones, axis=1)
    high, wide = value.height // op.rows, value.width // op.columns
    cells = g.reshape(kept, batch, op.rows, 1, op.columns, 1)
    cells = g.add("Expand", cells, g.integers(batch, op.rows, high, op.columns, wide))
    mask = g.reshape(cells, 1, batch, 1, value.positions)
    masked = g.add("Mul", w.by_step(x, value), mask)
    return w.wide(masked, value, *value.shape[1:])


_WRITERS: dict[type[Op], Callable[[_Writer, Any], str]] = {
    ops.Synapse: _synapse,
    ops.Neuron: _neuron,
    ops.MaxPool: _max_pool,
    ops.Add: _add,
    ops.Mean: _mean,
    ops.Attention: _attention,
    ops.TokenSum: _token_sum,
    ops.Mask: _mask,
    ops.Score: _score,
    ops.TopK: _top_k,
    ops.Gather: _gather,
    ops.ConstIds: _const_ids,
    ops.ZeroFill: _zero_fill,
}
