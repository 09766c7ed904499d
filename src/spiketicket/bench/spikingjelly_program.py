"""A ticket's program as a net of SpikingJelly's layers and multi-step LIF nodes.

Data is ``[T, N, C, H, W]``, or ``[T, N, C]`` for one position, as its documentation builds nets; a
layer before the first neuron sees a static image once and not T times.
"""

from __future__ import annotations

from typing import cast

import torch
from spikingjelly.activation_based import functional, layer, neuron
from torch import Tensor, nn

from spiketicket.bench.job import Unavailable
from spiketicket.bench.torch_ops import TOKEN_OPS, Registers
from spiketicket.engine import ops
from spiketicket.engine.ops import NeuronKind
from spiketicket.engine.program import Program, Value


class Net(nn.Module):
    """A program as SpikingJelly's modules: logits ``[N, classes]`` of a batch."""

    def __init__(self, program: Program) -> None:
        super().__init__()
        self.program = program
        self.parts = nn.ModuleDict()
        for op in program.ops:
            if isinstance(op, ops.Synapse):
                self.parts[str(op.out)] = _synapse(op, _first(program, op))
            elif isinstance(op, ops.Neuron):
                self.parts[str(op.out)] = _neuron(op)
            elif isinstance(op, ops.MaxPool):
                self.parts[str(op.out)] = layer.MaxPool2d(op.k, op.stride, op.pad, step_mode="m")

    def forward(self, x: Tensor) -> Tensor:
        """Logits of images ``[N, C, H, W]`` or frames ``[T, N, C, H, W]``."""
        functional.reset_net(self)
        known: Registers = {0: x if x.dim() == 5 else x.unsqueeze(0)}
        for op in self.program.ops:
            given = [known[register] for register in op.inputs]
            out = self.program.values[op.out]
            if isinstance(op, ops.Synapse):
                y = self._layer(op, given[0])
            elif isinstance(op, ops.Neuron):
                y = self._fire(op, given)
            elif isinstance(op, ops.MaxPool):
                y = self.parts[str(op.out)](given[0])
            else:
                y = TOKEN_OPS[type(op)](op, given, out)
            known[op.out] = _fitted(y, out)
        return known[self.program.output][0]

    def _layer(self, op: ops.Synapse, x: Tensor) -> Tensor:
        if isinstance(cast("nn.Sequential", self.parts[str(op.out)])[0], layer.Linear):
            return cast("Tensor", self.parts[str(op.out)](x.flatten(2)))
        planes = x if x.dim() == 5 else x[..., None, None]
        return cast("Tensor", self.parts[str(op.out)](planes))

    def _fire(self, op: ops.Neuron, given: list[Tensor]) -> Tensor:
        z = given[0] if len(given) == 1 else given[0] + given[1]
        if op.kind is NeuronKind.LIF and z.shape[0] != self.program.steps:
            z = z.expand(self.program.steps, *z.shape[1:])
        return cast("Tensor", self.parts[str(op.out)](z))


def _first(program: Program, op: ops.Op) -> Value:
    return program.values[op.inputs[0]]


def _fitted(y: Tensor, value: Value) -> Tensor:
    """What an op gave, without the axes of a single position."""
    if value.positions == 1 and y.dim() == 5:
        return y.flatten(2)
    return y


def _synapse(op: ops.Synapse, given: Value) -> nn.Sequential:
    cout, cin, kh, kw = op.kernel
    linear = op.flatten or (given.positions == 1 and (kh, kw) == (1, 1))
    biased = op.bias is not None
    if linear:
        synapse = layer.Linear(cin, cout, biased, step_mode="m")
        norm = layer.BatchNorm1d
    else:
        synapse = layer.Conv2d(cin, cout, (kh, kw), op.stride, op.pad, bias=biased, step_mode="m")
        norm = layer.BatchNorm2d
    weight = (
        torch.from_numpy(op.weight.copy())
        if op.weight is not None
        else (
            torch.from_numpy(op.signs.copy()) * torch.tensor(op.alpha)  # type: ignore[union-attr]
        )
    )
    with torch.no_grad():
        synapse.weight.copy_(weight.view_as(synapse.weight))
        if op.bias is not None:
            synapse.bias.copy_(torch.from_numpy(op.bias.copy()))
        pool = [layer.MaxPool2d(op.pool, step_mode="m")] if op.pool > 1 else []
        if op.a is None or op.b is None:
            return nn.Sequential(synapse, *pool)
        # Statistics of 0 and 1: what is left is its scale and shift.
        normed = norm(cout, eps=0.0, step_mode="m")
        normed.weight.copy_(torch.from_numpy(op.a.copy()))
        normed.bias.copy_(torch.from_numpy(op.b.copy()))
    return nn.Sequential(synapse, *pool, normed)


def _neuron(op: ops.Neuron) -> nn.Module:
    if op.kind is NeuronKind.RELU:
        return nn.ReLU()
    if op.kind is not NeuronKind.LIF:
        return _Threshold(op.v_threshold, low=-1.0 if op.kind is NeuronKind.SIGN else 0.0)
    if op.charge == 0 and op.decay == 0 and op.v_rest == 0:
        return _Threshold(op.v_threshold, low=0.0)  # its own LIF node takes no tau of 1
    tau = 1 / (1 - op.decay) if op.charge == 0 else op.tau
    if tau <= 1 or op.v_rest != (0.0 if op.soft else op.v_reset):
        raise Unavailable("SpikingJelly's LIF node has a tau > 1 and rests where it is reset to")
    return cast(
        "nn.Module",
        neuron.LIFNode(
            tau=tau,
            decay_input=op.charge == 2,
            v_threshold=op.v_threshold,
            v_reset=None if op.soft else op.v_reset,
            step_mode="m",
        ),
    )


class _Threshold(nn.Module):
    """1 from the threshold on, ``low`` below it."""

    def __init__(self, threshold: float, low: float) -> None:
        super().__init__()
        self.threshold, self.low = threshold, low

    def forward(self, x: Tensor) -> Tensor:
        """``[T, ...]``, elementwise."""
        high = (x >= self.threshold).to(x.dtype)
        return high if self.low == 0.0 else high * (1.0 - self.low) + self.low
