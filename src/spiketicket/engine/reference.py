"""What a program computes: the definition, in numpy.

Every float32 operation is rounded by itself and in a stated order; sums of spikes are whole
numbers and exact in any order. Another implementation is right where it gives the same spikes.

    layer    ternary on whole numbers   y = alpha * n,  n the exact sum of signs * x
             ternary on float32         y = alpha * sum over (c, ky, kx) in this order of +-x
             float                      y = sum over (c, ky, kx) in this order of w * x
             then                       y + bias,  the maximum of windows,  (a * y) + b
    neuron   see spiketicket/neurons/lif.py; s = 1 where u - v_threshold >= 0
    mean     sum over (s, y, x) in this order, divided by the count

Arrays hold a batch: ``[N, S, C, H, W]``, float32, uint8 for spikes, uint16 for whole numbers,
int64 for ids.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from spiketicket.engine import ops
from spiketicket.engine.program import Kind, Op, Program, Value

Array = NDArray[Any]
F32 = NDArray[np.float32]
Carried = tuple[Array, ...]
"""What an op takes from one step to the next."""

_BLOCK_VALUES = 1 << 23
"""Values of the largest register, or of a layer's patches, that are in memory at once."""
_CHUNK = 1 << 16
"""Values of a layer's output that are summed up while they are in the cache."""
_DTYPES: dict[Kind, Any] = {
    Kind.F32: np.float32,
    Kind.SPK: np.uint8,
    Kind.INT: np.uint16,
    Kind.IDS: np.int64,
}


def run(program: Program, x: Array) -> F32:
    """Logits float32 ``[N, classes]``.

    ``x`` is ``[N, frames, channels, height, width]``: float32 as normalised, or uint8, which the
    program's table normalises. Memory does not grow with N.
    """
    out = np.empty((len(x), program.classes), np.float32)
    largest = max(value.steps * value.plane for value in program.values)
    block = max(1, _BLOCK_VALUES // largest)
    for start in range(0, len(x), block):
        part = slice(start, start + block)
        out[part] = _execute(program, x[part], {program.output})[program.output][:, 0, :, 0, 0]
    return out


def trace(program: Program, x: Array, registers: Sequence[int]) -> dict[int, Array]:
    """The values of some registers, ``[N, S, C, H, W]`` each; ``x`` as in :func:`run`."""
    return _execute(program, x, set(registers))


def as_float(program: Program, x: Array) -> F32:
    """Register 0 of float32 or uint8 input ``[N, frames, channels, height, width]``."""
    if x.dtype != np.uint8:
        return np.ascontiguousarray(x, np.float32)
    table = cast("F32", program.lut)
    channel = np.arange(program.channels)[:, None, None]
    normalised: F32 = table[channel, x]
    return normalised


def apply(op: Op, inputs: Sequence[Array], value: Value, batch: int) -> Array:
    """What one op makes of its inputs ``[N, S, C, H, W]``; ``value`` is its output's shape."""
    if isinstance(op, ops.ConstIds):
        # the one op without an input, so without a batch
        return np.broadcast_to(op.ids.astype(np.int64), (batch, 1, 1, 1, op.ids.size))
    made = _APPLY[type(op)](op, inputs, value)
    return made.astype(_DTYPES[value.kind], copy=False)


def carry_on(
    op: Op, inputs: Sequence[Array], value: Value, carried: Carried | None
) -> tuple[Array, Carried]:
    """As :func:`apply` of an op with a membrane, which goes on from what the last call gave."""
    z = inputs[0].astype(np.float32, copy=False)
    if isinstance(op, ops.Leak):
        return _leaky(op, z, value, carried)
    if len(inputs) == 2:
        z = z + inputs[1].astype(np.float32, copy=False)
    return _lif(cast("ops.Neuron", op), z, value.steps, carried)


def _execute(program: Program, x: Array, wanted: set[int]) -> dict[int, Array]:
    known: dict[int, Array] = {0: as_float(program, x)}
    last_use = {register: i for i, op in enumerate(program.ops) for register in op.inputs}
    for i, op in enumerate(program.ops):
        given = [known[register] for register in op.inputs]
        known[op.out] = apply(op, given, program.values[op.out], len(x))
        for register in op.inputs:
            if last_use[register] == i and register not in wanted:
                known.pop(register, None)
    return {register: known[register] for register in wanted}


def _synapse(op: ops.Synapse, inputs: Sequence[Array], value: Value) -> F32:
    x = inputs[0]
    if op.flatten:
        x = x.reshape(*x.shape[:2], -1, 1, 1)
    exact = op.signs is not None and x.dtype != np.float32
    weight = cast("Array", op.signs if op.signs is not None else op.weight)
    rows = weight.reshape(len(weight), -1).astype(np.float32)
    high, wide = sums_size(x.shape[3:], op)
    out = np.empty((len(x), *value.shape[:2], high, wide), np.float32)
    for part in _image_blocks(x, rows.shape[1] * value.steps * high * wide):
        seen = patches(x[part].astype(np.float32, copy=False), op)
        # float32 products of whole numbers are exact: their sums stay below 2^24
        sums = rows @ seen if exact else _ordered_sums(rows, seen)
        if op.signs is not None:
            sums *= np.float32(op.alpha)
        shape = (len(rows), -1, value.steps, high, wide)
        out[part] = sums.reshape(shape).transpose(1, 2, 0, 3, 4)
    channel = (slice(None), None, None)
    if op.bias is not None:
        out += op.bias[channel]
    out = largest(out, op.pool)
    if op.a is not None and op.b is not None:
        out *= op.a[channel]
        out += op.b[channel]
    return out


def largest(x: Array, k: int) -> Array:
    """The maximum of every window of ``[..., H, W]``: k x k places, side by side."""
    if k == 1:
        return x
    high, wide = x.shape[-2] // k, x.shape[-1] // k
    cut = x[..., : high * k, : wide * k]
    return cast("Array", cut.reshape(*x.shape[:-2], high, k, wide, k).max((-3, -1)))


def sums_size(given: Sequence[int], op: ops.Synapse) -> tuple[int, int]:
    """Height and width of a layer's sums, before any pooling; ``given`` are its input's."""
    _, _, kh, kw = op.kernel
    height, width = (1, 1) if op.flatten else given
    return (
        (height + 2 * op.pad - kh) // op.stride + 1,
        (width + 2 * op.pad - kw) // op.stride + 1,
    )


def _image_blocks(x: Array, values: int) -> Iterator[slice]:
    block = max(1, _BLOCK_VALUES // values)
    return (slice(start, start + block) for start in range(0, len(x), block))


def patches(x: Array, op: ops.Synapse) -> Array:
    """``[cin*kh*kw, N*S*hout*wout]``: what every output position sees, in the order of sums."""
    _, _, kh, kw = op.kernel
    pad = ((0, 0), (0, 0), (0, 0), (op.pad, op.pad), (op.pad, op.pad))
    padded = np.pad(x, pad) if op.pad else x
    windows = sliding_window_view(padded, (kh, kw), axis=(3, 4))[
        :, :, :, :: op.stride, :: op.stride
    ]
    ordered = windows.transpose(2, 5, 6, 0, 1, 3, 4)
    return np.ascontiguousarray(ordered).reshape(math.prod(op.kernel[1:]), -1)


def _ordered_sums(rows: F32, patches: F32) -> F32:
    """``rows @ patches`` with every product and sum rounded, one input after the other."""
    outputs, places = len(rows), patches.shape[1]
    sums = np.zeros((outputs, places), np.float32)
    width = max(16, _CHUNK // outputs)
    used = np.flatnonzero(rows.any(axis=0))
    scratch = np.empty((outputs, width), np.float32)
    for start in range(0, places, width):
        part = sums[:, start : start + width]
        product = scratch[:, : part.shape[1]]
        total = np.zeros_like(product)
        for k in used:
            np.multiply(rows[:, k, None], patches[k, start : start + width], out=product)
            total += product
        part[...] = total
    return sums


def _neuron(op: ops.Neuron, inputs: Sequence[Array], value: Value) -> Array:
    z = inputs[0].astype(np.float32, copy=False)
    if len(inputs) == 2:
        z = z + inputs[1].astype(np.float32, copy=False)
    if op.kind is ops.NeuronKind.LIF:
        return _lif(op, z, value.steps)[0]
    if op.kind is ops.NeuronKind.STEP:
        return (z - np.float32(op.v_threshold)) >= 0
    if op.kind is ops.NeuronKind.RELU:
        return np.maximum(z, np.float32(0))
    return np.where(z >= 0, np.float32(1), np.float32(-1))


def _lif(
    op: ops.Neuron, z: F32, steps: int, carried: Carried | None = None
) -> tuple[Array, Carried]:
    threshold, reset = np.float32(op.v_threshold), np.float32(op.v_reset)
    v, fired = carried or (np.full(z[:, 0].shape, op.v_rest, np.float32), np.zeros((), bool))
    spikes = np.empty((len(z), steps, *z.shape[2:]), np.uint8)
    for step in range(steps):
        u = _charge(op, v, z[:, step if z.shape[1] > 1 else 0])
        if op.late:
            u = np.where(fired, u - threshold if op.soft else reset, u)
        above = u - threshold
        fired = above > 0 if op.strict else above >= 0
        spikes[:, step] = fired
        v = u if op.late or op.keep else np.where(fired, above if op.soft else reset, u)
    return spikes, (v, fired)


def _leak(op: ops.Leak, inputs: Sequence[Array], value: Value) -> F32:
    return _leaky(op, inputs[0].astype(np.float32, copy=False), value)[0]


def _leaky(
    op: ops.Leak, x: F32, value: Value, carried: Carried | None = None
) -> tuple[F32, Carried]:
    rate = np.float32(op.rate)
    out = np.empty((len(x), *value.shape), np.float32)
    y = carried[0] if carried else np.zeros_like(out[:, 0])
    for step in range(value.steps):
        kept = y + rate * y if op.own else y * rate
        y = kept + x[:, step if x.shape[1] > 1 else 0]
        out[:, step] = y
    return out, (y,)


def _concat(op: ops.Concat, inputs: Sequence[Array], value: Value) -> Array:
    dtype = _DTYPES[value.kind]
    whole = [np.broadcast_to(x, (len(x), value.steps, *x.shape[2:])) for x in inputs]
    return np.concatenate([x.astype(dtype, copy=False) for x in whole], axis=2)


def _charge(op: ops.Neuron, v: F32, z: F32) -> F32:
    decay, tau, rest = (np.float32(number) for number in (op.decay, op.tau, op.v_rest))
    if op.charge == 0:
        return cast("F32", v * decay + z)
    if op.charge == 1:
        return cast("F32", (v - (v - rest) / tau) + z)
    if op.charge == 2:
        return cast("F32", v + (z - (v - rest)) / tau)
    if op.charge == 3:
        return cast("F32", v + (z - (v - rest)) * decay)
    return cast("F32", (v - (v - rest) * decay) + z)


def _max_pool(op: ops.MaxPool, inputs: Sequence[Array], value: Value) -> Array:
    x = inputs[0]
    pad = ((0, 0), (0, 0), (0, 0), (op.pad, op.pad), (op.pad, op.pad))
    lowest = -np.inf if x.dtype == np.float32 else 0
    padded = np.pad(x, pad, constant_values=lowest) if op.pad else x
    out: Array | None = None
    for dy in range(op.k):
        rows = slice(dy, dy + op.stride * (value.height - 1) + 1, op.stride)
        for dx in range(op.k):
            columns = slice(dx, dx + op.stride * (value.width - 1) + 1, op.stride)
            seen = padded[..., rows, columns]
            out = seen.copy() if out is None else np.maximum(out, seen, out=out)
    return cast("Array", out)


def _add(op: ops.Add, inputs: Sequence[Array], value: Value) -> Array:
    x, y = (array.astype(_DTYPES[value.kind], copy=False) for array in inputs)
    return cast("Array", np.add(x, y))


def _mean(op: ops.Mean, inputs: Sequence[Array], value: Value) -> F32:
    return mean_so_far(op, inputs[0], value, (None, 0))[0]


def mean_so_far(
    op: ops.Mean, x: Array, value: Value, before: tuple[Array | None, int]
) -> tuple[F32, Array]:
    """The mean and the sum of ``x`` and of the steps before: the sum and the number of these."""
    axes = (1,) * bool(op.time) + (3, 4) * bool(op.positions)
    count = math.prod(x.shape[axis] for axis in axes)
    earlier, steps = before
    total = _total(x, axes, earlier)
    count += steps * (count // x.shape[1])
    mean = total.astype(np.float32) / np.float32(count)
    return mean.reshape(len(x), *value.shape), total


def _sum(x: Array, axes: tuple[int, ...]) -> F32:
    """Exact of whole numbers; of float32 one after the other, the last axis moving fastest."""
    return _total(x, axes).astype(np.float32)


def _total(x: Array, axes: tuple[int, ...], before: Array | None = None) -> Array:
    """As :func:`_sum`, added to what was ``before``; int64 of whole numbers."""
    if x.dtype != np.float32:
        whole = x.sum(axis=axes, dtype=np.int64)
        return cast("Array", whole if before is None else whole + before)
    rest = tuple(axis for axis in range(x.ndim) if axis not in axes)
    rows = x.transpose(*axes, *rest).reshape(-1, *(x.shape[axis] for axis in rest))
    if before is not None:
        rows = np.concatenate([before[None], rows])
    # accumulate adds in order, where numpy's sum may add in pairs
    return cast("Array", np.add.accumulate(rows, axis=0)[-1])


def _attention(op: ops.Attention, inputs: Sequence[Array], value: Value) -> F32:
    shape = (-1, value.steps, op.heads, value.channels // op.heads, value.positions)
    q, k, v = (x.astype(np.float32).reshape(shape) for x in inputs)
    mixed: F32 = v @ (k.swapaxes(-1, -2) @ q)
    return (mixed * np.float32(op.scale)).reshape(-1, *value.shape)


def _token_sum(op: ops.TokenSum, inputs: Sequence[Array], value: Value) -> F32:
    k, v = (x.astype(np.int64) for x in inputs)
    return _sum(k * v, (3, 4)).reshape(-1, *value.shape) * np.float32(op.scale)


def _mask(op: ops.Mask, inputs: Sequence[Array], value: Value) -> Array:
    x, mask = inputs
    return np.where(mask != 0, x, np.zeros((), x.dtype))


def _score(op: ops.Score, inputs: Sequence[Array], value: Value) -> F32:
    x = inputs[0]
    if op.kind == ops.ScoreKind.FIRING_RATE:
        scores = _sum(x, (1, 2)) / np.float32(x.shape[1] * x.shape[2])
    elif op.kind == ops.ScoreKind.EMBEDDING_NORM:
        mean = _sum(x, (1,)) / np.float32(x.shape[1])
        scores = np.sqrt(_sum(mean * mean, (1,)))
    elif op.kind == ops.ScoreKind.PIXEL_ENERGY:
        scores = _pixel_energy(x, value)
    else:
        first, second = (array.astype(np.int64) for array in inputs)
        if op.kind == ops.ScoreKind.ATTENTION_COLUMNS:
            product = second * first.sum(axis=(3, 4), keepdims=True)
        else:
            product = first * second
        scores = _sum(product, (1, 2))
    return scores.reshape(-1, *value.shape)


def _pixel_energy(x: F32, value: Value) -> F32:
    """Squared deviations from the mean of frame and channel, averaged over frames and patches.

    The mean alone is summed in float64 (over y, x) and rounded once; all that follows is float32,
    over s, then c, then the patch's y, x.
    """
    flat = x.reshape(*x.shape[:3], -1).astype(np.float64)
    total = np.add.accumulate(flat, axis=-1)[..., -1]
    deviation = x - (total / flat.shape[-1]).astype(np.float32)[..., None, None]
    square = _sum(deviation * deviation, (1,)) / np.float32(x.shape[1])
    square = _sum(square, (1,))
    high, wide = x.shape[3] // value.height, x.shape[4] // value.width
    cut = square.reshape(len(x), value.height, high, value.width, wide)
    return _sum(cut, (2, 4)) / np.float32(high * wide)


def _top_k(op: ops.TopK, inputs: Sequence[Array], value: Value) -> Array:
    scores = inputs[0].reshape(len(inputs[0]), -1)
    order = np.argsort(-scores, axis=1, kind="stable")[:, : op.k]
    return np.sort(order, axis=1).reshape(-1, *value.shape)


def _gather(op: ops.Gather, inputs: Sequence[Array], value: Value) -> Array:
    x, ids = inputs
    flat = x.reshape(*x.shape[:3], -1)
    index = np.broadcast_to(ids.reshape(len(ids), 1, 1, -1), (*flat.shape[:3], ids.shape[-1]))
    return np.take_along_axis(flat, index, axis=3).reshape(-1, *value.shape)


def _zero_fill(op: ops.ZeroFill, inputs: Sequence[Array], value: Value) -> F32:
    x, ids = inputs
    chosen = np.zeros((len(x), op.rows * op.columns), bool)
    np.put_along_axis(chosen, ids.reshape(len(x), -1), True, axis=1)
    grid = chosen.reshape(-1, op.rows, op.columns)
    pixels = grid.repeat(value.height // op.rows, 1).repeat(value.width // op.columns, 2)
    return np.where(pixels[:, None, None], x, np.float32(0))


_APPLY: dict[type[Op], Callable[[Any, Sequence[Array], Value], Array]] = {
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
    ops.ZeroFill: _zero_fill,
    ops.Leak: _leak,
    ops.Concat: _concat,
}
