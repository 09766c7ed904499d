"""Whether a program's spikes are those of the PyTorch network, neuron by neuron and step by step.

Every layer of the program is computed on what the network itself gave to that layer, so that one
spike that differs is one difference and not the first of many. Where two correct float32
computations may round differently, they may disagree about a membrane that is at its threshold;
so a difference counts as rounding where a float64 computation of the same membrane (with the
network's own spikes before it) is within 1e-5 of the threshold, relative to the numbers that were
added up. Any other difference is a mistake.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from spiketicket.engine import ops, reference
from spiketicket.engine.compile import compile_ticket
from spiketicket.engine.program import Kind, Program, Value
from spiketicket.measure.observe import watched
from spiketicket.models.encoder import encoded
from spiketicket.models.of_ticket import from_ticket
from spiketicket.neurons.lif import Kernel
from spiketicket.ticket import Ticket

Array = NDArray[Any]

TOLERANCE = 1e-5


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """What a comparison came to; counts are over all samples."""

    samples: int
    neuron_steps: int
    """Outputs of neurons compared, one per time step."""
    different: int
    """Of those, how many differ."""
    rounding: int
    """Of those, how many follow from a membrane at its threshold."""
    choices: int
    """Samples for which patches were chosen."""
    choices_different: int
    choices_rounding: int
    logit_difference: float
    """The largest, relative to the largest logit of the sample (at least 1)."""

    @property
    def wrong(self) -> int:
        """Differences that rounding does not explain."""
        choices = self.choices_different - self.choices_rounding
        return self.different - self.rounding + choices

    def __add__(self, other: Agreement) -> Agreement:
        counts = {k: getattr(self, k) + getattr(other, k) for k in _COUNTS}
        most = max(self.logit_difference, other.logit_difference)
        return Agreement(**counts, logit_difference=most)


_COUNTS = tuple(Agreement.__dataclass_fields__)[:-1]


def compare(ticket: Ticket, x: Array, *, kernel: Kernel = "eager") -> Agreement:
    """Compare on raw or normalised samples ``x``, ``[N, C, H, W]`` or ``[N, T, C, H, W]``.

    ``kernel`` is how PyTorch computes the neurons. N samples are in memory at once.

    Raises:
        UserError: as :func:`spiketicket.engine.compile.compile_ticket` and
            :func:`spiketicket.models.of_ticket.from_ticket`.
    """
    program = compile_ticket(ticket)
    batch = x.reshape(len(x), program.frames, program.channels, program.height, program.width)
    values = reference.as_float(program, batch)
    return compare_models(program, from_ticket(ticket, kernel), values)


def compare_models(program: Program, model: nn.Module, x: NDArray[np.float32]) -> Agreement:
    """As :func:`compare`, of float32 ``x`` ``[N, frames, C, H, W]``."""
    seen: dict[str, Tensor] = {}

    def note(name: str, module: nn.Module, out: Tensor, current: Callable[[], Tensor]) -> None:
        del module, current
        seen[name] = out

    given = torch.from_numpy(x)
    given = given[:, 0] if program.frames == 1 else given.transpose(0, 1).contiguous()
    with watched(model, note), torch.no_grad():
        logits = model(given).numpy()
        ids = _chosen(model, given)
    return _Comparison(program, x, seen, ids).result(logits)


def _chosen(model: Any, given: Tensor) -> Array | None:
    if not hasattr(model, "choose"):
        return None
    seen = encoded(model, given)
    frames = seen if seen.dim() == 5 else seen[None]
    ids = model.choose(frames, model.timesteps)
    return None if ids is None else ids.numpy()


def compare_spikes(
    program: Program, x: NDArray[np.float32], spikes: Mapping[str, Tensor], logits: Array
) -> Agreement:
    """As :func:`compare_models`, of what a network gave to ``x``.

    ``spikes`` are the outputs of its neurons by their names in the program, ``[T, B, C, H, W]``;
    ``logits`` are ``[B, classes]``.
    """
    return _Comparison(program, x, spikes, None).result(logits)


class _Comparison:
    """Goes through a program, putting the network's own spikes in place of the program's."""

    def __init__(
        self, program: Program, x: Array, seen: Mapping[str, Tensor], ids: Array | None
    ) -> None:
        self._program, self._seen, self._ids = program, seen, ids
        self._known: dict[int, Array] = {0: x}
        self._made = {op.out: op for op in program.ops}
        self._samples = len(x)
        self._counts = dict.fromkeys(_COUNTS, 0)

    def result(self, logits: Array) -> Agreement:
        for op in self._program.ops:
            given = [self._known[register] for register in op.inputs]
            value = self._program.values[op.out]
            ours = reference.apply(op, given, value, self._samples)
            if isinstance(op, ops.Neuron):
                ours = self._neuron(op, ours, value)
            elif isinstance(op, ops.TopK) and self._ids is not None:
                ours = self._choice(op, ours)
            self._known[op.out] = ours
        self._counts["samples"] = self._samples
        mine = self._known[self._program.output].reshape(logits.shape)
        size = np.maximum(1, np.abs(logits).max(axis=1, keepdims=True))
        return Agreement(
            **self._counts, logit_difference=float((np.abs(mine - logits) / size).max())
        )

    def _neuron(self, op: ops.Neuron, ours: Array, value: Value) -> Array:
        name = self._program.names.get(op.out, "")
        if name not in self._seen:
            return ours  # one that the network has no neuron for
        theirs = _as_register(self._seen[name], value, self._samples)
        self._counts["neuron_steps"] += ours.size
        if op.kind is ops.NeuronKind.RELU:
            _, size = self._exact(op.inputs[0])
            differ = np.abs(theirs - ours) > TOLERANCE * np.maximum(1, size)
        else:
            differ = theirs != ours
        self._counts["different"] += int(np.count_nonzero(differ))
        if differ.any() and op.kind is not ops.NeuronKind.RELU:
            self._counts["rounding"] += self._explained(op, theirs, differ)
        return theirs.astype(ours.dtype)

    def _explained(self, op: ops.Neuron, theirs: Array, differ: Array) -> int:
        """How many differences follow from a membrane at its threshold."""
        n, _, c, y, x = np.nonzero(differ.any(axis=1, keepdims=True))
        place = (n, slice(None), c, y, x)
        z, size = self._exact(op.inputs[0])
        if len(op.inputs) == 2:
            other, more = self._exact(op.inputs[1])
            z, size = z + other, size + more
        z, size, fired, wrong = (array[place] for array in (z, size, theirs, differ))
        distance = _distance(op, z, fired)
        near = distance <= TOLERANCE * np.maximum(1, np.maximum(size, abs(op.v_threshold)))
        first = wrong.argmax(axis=1)[:, None]
        if near.shape[1] == 1:
            first = np.zeros_like(first)
        # what follows the first difference follows from it: the membrane was reset, or was not
        allowed = np.take_along_axis(near, first, axis=1)[:, 0]
        return int(wrong[allowed].sum())

    def _choice(self, op: ops.TopK, ours: Array) -> Array:
        theirs = cast("Array", self._ids).reshape(ours.shape)
        self._counts["choices"] += self._samples
        differ = (theirs != ours).any(axis=(1, 2, 3, 4))
        self._counts["choices_different"] += int(differ.sum())
        scores = self._known[op.inputs[0]].reshape(self._samples, -1)
        for i in np.flatnonzero(differ):
            mine, other = set(ours[i].ravel().tolist()), set(theirs[i].ravel().tolist())
            disputed = scores[i, sorted(mine ^ other)]
            # two orders of one float32 sum differ by its last bits
            near = np.ptp(disputed) <= TOLERANCE * np.abs(disputed).max()
            self._counts["choices_rounding"] += int(near)
        return theirs

    def _exact(self, register: int) -> tuple[Array, Array]:
        """A register in float64, and the size of the numbers that were added up for it."""
        op = self._made.get(register)
        if isinstance(op, ops.Synapse):
            return self._exact_layer(op)
        if isinstance(op, ops.Add) and self._program.values[register].kind is Kind.F32:
            (x, more), (y, other) = (self._exact(i) for i in op.inputs)
            return x + y, more + other
        value = self._known[register].astype(np.float64)
        return value, np.abs(value)

    def _exact_layer(self, op: ops.Synapse) -> tuple[Array, Array]:
        value = self._program.values[op.out]
        x = self._known[op.inputs[0]].astype(np.float64)
        if op.flatten:
            x = x.reshape(*x.shape[:2], -1, 1, 1)
        weight = op.weight if op.weight is not None else op.signs
        rows = np.asarray(weight, np.float64).reshape(len(np.asarray(weight)), -1)
        if op.signs is not None:
            rows = rows * float(np.float32(op.alpha))
        patches = reference.patches(x, op)
        shape = (len(rows), len(x), value.steps, *reference.sums_size(x.shape[3:], op))

        def laid_out(sums: Array) -> Array:
            return sums.reshape(shape).transpose(1, 2, 0, 3, 4)

        y, size = laid_out(rows @ patches), laid_out(np.abs(rows) @ np.abs(patches))
        if op.bias is not None:
            bias = op.bias.astype(np.float64)[:, None, None]
            y, size = y + bias, size + np.abs(bias)
        y, size = reference.largest(y, op.pool), reference.largest(size, op.pool)
        if op.a is not None and op.b is not None:
            a, b = (array.astype(np.float64)[:, None, None] for array in (op.a, op.b))
            y, size = a * y + b, np.abs(a) * size + np.abs(b)
        return y, size


def _distance(op: ops.Neuron, z: Array, fired: Array) -> Array:
    """``|u - v_threshold|`` in float64 at every step ``[n, S]``, with the spikes given."""
    threshold = float(np.float32(op.v_threshold))
    if op.kind is not ops.NeuronKind.LIF:
        return np.abs(z - threshold)
    decay, tau, rest, reset = (
        float(np.float32(number)) for number in (op.decay, op.tau, op.v_rest, op.v_reset)
    )
    v = np.full(len(z), rest)
    distance = np.empty(fired.shape)
    for step in range(fired.shape[1]):
        current = z[:, step if z.shape[1] > 1 else 0]
        if op.charge == 0:
            u = v * decay + current
        elif op.charge in (1, 4):
            u = v - (v - rest) * (decay if op.charge == 4 else 1 / tau) + current
        else:
            u = v + (current - (v - rest)) * (decay if op.charge == 3 else 1 / tau)
        if op.late and step:
            u = np.where(fired[:, step - 1] > 0, u - threshold if op.soft else reset, u)
        distance[:, step] = np.abs(u - threshold)
        kept = op.late or op.keep
        v = u if kept else np.where(fired[:, step] > 0, u - threshold if op.soft else reset, u)
    return distance


def _as_register(out: Tensor, value: Value, samples: int) -> Array:
    """A neuron's output ``[T, B, C(, H, W)]``, ``[T, B, N, C]`` or ``[T, B*N, C]`` as
    ``[B, S, C, H, W]``.
    """
    steps = out.shape[0]
    if out.dim() == 5:
        found = out.float().transpose(0, 1).numpy()
    else:
        tokens = out.float().reshape(steps, samples, value.positions, value.channels)
        shape = (samples, steps, value.channels, value.height, value.width)
        found = tokens.permute(1, 0, 3, 2).reshape(shape).numpy()
    if steps == value.steps:
        return found
    if not (found == found[:, :1]).all():
        raise AssertionError("the network's steps differ where the program has one for all")
    return found[:, :1]
