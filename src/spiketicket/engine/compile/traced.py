"""The program of a custom network, from the graph that ``models/traced`` put into its ticket.

A graph may come from anybody: every number is read with its range, and every op is checked by the
program it becomes part of. What the program has no op for is made of ops that it has: a grouped or
dilated convolution is one with zeros, an average is a convolution with ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spiketicket.engine import ops
from spiketicket.engine.compile.net import Net
from spiketicket.engine.compile.settings import NEURONS, NeuronSettings, Table
from spiketicket.engine.ops import NeuronKind
from spiketicket.engine.program import MAX_STEPS, Program
from spiketicket.engine.values import MAX_SIDE, MAX_VALUES, Value
from spiketicket.errors import UserError
from spiketicket.recipe.shapes import DataShape
from spiketicket.ticket import Ticket, TicketError

VERSION = 1
_MAX_OPS = 16384
F32 = NDArray[np.float32]
Lut = Callable[[int], F32 | None]


def compile_graph(ticket: Ticket, graph: object, lut: Lut) -> Program:
    """The program of a ticket's graph; ``lut(channels)`` is the table of its 8-bit input.

    Raises:
        TicketError: the graph is damaged, or does not go with the ticket's arrays.
        UserError: it runs more steps than a program may.
    """
    table = Table(graph, _WHERE)
    table.whole("version", low=1, high=VERSION)
    steps = table.whole("steps", low=1, high=65536)
    if steps > MAX_STEPS:
        raise UserError(
            f"the engine runs at most {MAX_STEPS} time steps",
            where="timesteps",
            value=steps,
            remedy="Give the network fewer time steps, or run it with PyTorch",
        )
    sides = {key: table.whole(key, low=1, high=MAX_SIDE) for key in ("channels", "height", "width")}
    shape = DataShape(
        **sides,
        classes=table.whole("classes", low=1, high=MAX_SIDE),
        frames=table.whole("frames", low=1, high=MAX_STEPS),
    )
    given = table.items("ops", _MAX_OPS)
    table.done()
    net = Net(ticket, shape, steps, NeuronSettings(kind=NeuronKind.STEP), lut(shape.channels))
    net.not_read("")  # a network may have parameters that its answer does not depend on
    return _Compiler(net, given).program()


_WHERE = "network.graph"


@dataclass(frozen=True)
class _Given:
    """An op of the graph that is to be added: its place, its layer, what it reads, its settings."""

    index: int
    name: str
    inputs: list[int]
    table: Table


class _Compiler:
    """Adds one op after the other; an op that became part of the one before it is skipped."""

    def __init__(self, net: Net, given: Sequence[object]) -> None:
        self.net, self.builder = net, net.builder
        self.records = [self._record(i, op) for i, op in enumerate(given)]
        self.registers: dict[int, int] = {0: 0}
        self.readers: dict[int, list[int]] = {}
        for index, (_, inputs, _) in enumerate(self.records):
            for i in inputs:
                self.readers.setdefault(i, []).append(index)

    def _record(self, index: int, op: object) -> tuple[str, list[int], Table]:
        table = Table(op, f"{_WHERE}.ops[{index}]")
        kind = table.text("op", tuple(_OPS))
        inputs = table.wholes("in", low=0, high=index, most=2)
        return kind, inputs, table

    def program(self) -> Program:
        for index, (kind, inputs, table) in enumerate(self.records):
            if index + 1 in self.registers:
                continue
            if len(inputs) != _OPS[kind]:
                what = f"reads {_OPS[kind]} registers"
                raise TicketError(what, where=f"{_WHERE}.ops[{index}]", value=inputs)
            name = table.name("name")
            made = getattr(self, f"_{kind}")(_Given(index, name, inputs, table))
            table.done()
            self.registers.setdefault(index + 1, made)
        return self.builder.program()

    def _only_reader(self, index: int, kind: str) -> int | None:
        """The op that alone reads what op ``index`` writes, where it is of this kind."""
        readers = self.readers.get(index + 1, [])
        found = readers[0] if len(readers) == 1 else None
        return found if found is not None and self.records[found][0] == kind else None

    def _at(self, of: _Given) -> list[int]:
        return [self.registers[i] for i in of.inputs]

    def _synapse(self, of: _Given) -> int:
        (x,) = self._at(of)
        bias = of.table.flag("bias", False)
        weight, stride, pad = self.net.weight(of.name), 1, 0
        flatten = of.table.flag("flatten", False)
        if not flatten:
            weight, stride, pad = _convolution(of.table, weight, self.builder.value(x))
        last, pool, norm, eps = of.index, 1, "", 1e-5
        if (pooling := self._only_reader(last, "maxpool")) is not None:
            pool = _side_by_side(self.records[pooling][2])
            last = pooling if pool > 1 else last
        if (normed := self._only_reader(last, "norm")) is not None:
            *_, settings = self.records[normed]
            norm, eps = settings.name("name"), settings.number("eps", 1e-5)
            settings.done()
            last = normed
        made = self.net.synapse(
            of.name,
            x,
            norm=norm,
            eps=eps,
            stride=stride,
            pad=pad,
            flatten=flatten,
            pool=pool,
            weight=weight,
            bias=bias,
        )
        if pool > 1 and pooling is not None:
            self.registers[pooling + 1] = made
        self.registers[last + 1] = made
        return made

    def _norm(self, of: _Given) -> int:
        (x,) = self._at(of)
        a, b = self.net.affine(of.name, of.table.number("eps", 1e-5))
        return self._diagonal(x, (1, 1), a=a, b=b)

    def _neuron(self, of: _Given) -> int:
        kind = NEURONS[of.table.text("kind", tuple(NEURONS))]
        flags = {key: of.table.flag(key, False) for key in ("soft", "strict", "late", "keep")}
        numbers = {
            key: of.table.number(key, 1.0 if key == "tau" else 0.0)
            for key in ("decay", "tau", "v_threshold", "v_reset", "v_rest")
        }
        charge = of.table.whole("charge", 0, low=0, high=4)
        return self.builder.add(
            ops.Neuron,
            *self._at(of),
            name=of.name,
            kind=kind,
            charge=charge,
            **flags,
            **numbers,
        )

    def _leak(self, of: _Given) -> int:
        own, rate = of.table.flag("own", False), of.table.number("rate")
        return self.builder.add(ops.Leak, *self._at(of), name=of.name, own=own, rate=rate)

    def _maxpool(self, of: _Given) -> int:
        (x,) = self._at(of)
        kernel, stride, padding = _window(of.table)
        given = self.builder.value(x)
        squares = [len({*pair}) == 1 for pair in (kernel, stride, padding)]
        if all(squares):
            return self.builder.add(ops.MaxPool, x, k=kernel[0], stride=stride[0], pad=padding[0])
        if not given.whole or given.largest > 1:
            raise TicketError(
                "is a maximum over windows that are no squares, of numbers other than spikes",
                where=f"{_WHERE}.ops[{of.index}]",
                remedy="Pool after the neuron, or in squares",
            )
        # of spikes the maximum is whether there is one
        counts = self._averaged(x, kernel, stride, padding, alpha=1.0)
        return self.builder.add(ops.Neuron, counts, kind=NeuronKind.STEP, v_threshold=0.5)

    def _avgpool(self, of: _Given) -> int:
        (x,) = self._at(of)
        kernel, stride, padding = _window(of.table)
        return self._averaged(x, kernel, stride, padding, alpha=1.0 / math.prod(kernel))

    def _averaged(
        self,
        x: int,
        kernel: Sequence[int],
        stride: Sequence[int],
        padding: Sequence[int],
        *,
        alpha: float,
    ) -> int:
        given = self.builder.value(x)
        one, pad = _stride(given, kernel, stride, padding), max(padding)
        return self._diagonal(
            x, kernel, alpha=alpha, stride=one, pad=pad, grow=[2 * (pad - p) for p in padding]
        )

    def _diagonal(
        self,
        x: int,
        kernel: Sequence[int],
        grow: Sequence[int] = (0, 0),
        alpha: float = 1.0,
        **parameters: Any,
    ) -> int:
        """The same window of ones for every channel."""
        channels = self.builder.value(x).channels
        _require_size(channels, channels, *kernel)
        signs = np.zeros((channels, channels, *kernel), np.int8)
        signs[np.arange(channels), np.arange(channels)] = 1
        return self.builder.add(
            ops.Synapse, x, signs=_grown(signs, grow), alpha=alpha, **parameters
        )

    def _vote(self, of: _Given) -> int:
        (x,) = self._at(of)
        size, channels = (
            of.table.whole("size", low=1, high=MAX_SIDE),
            self.builder.value(x).channels,
        )
        if channels % size:
            raise TicketError("does not divide the channels", where=f"{_WHERE}.size", value=size)
        _require_size(channels // size, channels, 1, 1)
        signs = np.repeat(np.eye(channels // size, dtype=np.int8), size, axis=1)
        return self.builder.add(ops.Synapse, x, signs=signs[:, :, None, None], alpha=1.0 / size)

    def _scale(self, of: _Given) -> int:
        (x,) = self._at(of)
        return self._diagonal(x, (1, 1), alpha=of.table.number("factor"))

    def _add(self, of: _Given) -> int:
        return self.builder.add(ops.Add, *self._at(of))

    def _concat(self, of: _Given) -> int:
        return self.builder.add(ops.Concat, *self._at(of))

    def _mask(self, of: _Given) -> int:
        return self.builder.add(ops.Mask, *self._at(of))

    def _mean(self, of: _Given) -> int:
        time, positions = of.table.flag("time"), of.table.flag("positions")
        return self.builder.add(ops.Mean, *self._at(of), time=time, positions=positions)


_OPS: Mapping[str, int] = {
    "synapse": 1,
    "norm": 1,
    "neuron": 1,
    "leak": 1,
    "maxpool": 1,
    "avgpool": 1,
    "vote": 1,
    "scale": 1,
    "add": 2,
    "concat": 2,
    "mask": 2,
    "mean": 1,
}
"""How many registers each op of a graph reads."""


def _window(table: Table) -> tuple[list[int], list[int], list[int]]:
    kernel = table.pair("kernel", low=1, high=MAX_SIDE)
    stride = table.pair("stride", low=1, high=MAX_SIDE)
    return kernel, stride, table.pair("padding", low=0, high=MAX_SIDE)


def _side_by_side(table: Table) -> int:
    """A side of square windows that lie side by side; 1 where they are others."""
    kernel, stride, padding = (table.peek(key) for key in ("kernel", "stride", "padding"))
    square = isinstance(kernel, list) and len(kernel) == 2 and kernel[0] == kernel[1]
    if not square or stride != kernel or padding != [0, 0]:
        return 1
    kernel, *_ = _window(table)
    table.done()
    return int(kernel[0])


def _convolution(
    table: Table, weight: dict[str, Any], given: Value
) -> tuple[dict[str, Any], int, int]:
    """The weight of a dense convolution, its stride and padding, each one for both axes."""
    stride = table.pair("stride", low=1, high=MAX_SIDE)
    padding = table.pair("padding", low=0, high=MAX_SIDE)
    dilation = table.pair("dilation", low=1, high=MAX_SIDE)
    groups = table.whole("groups", 1, low=1, high=MAX_SIDE)
    pad = max(padding)
    array = next(weight[key] for key in ("signs", "weight") if key in weight)
    cout, cin, *kernel = array.shape
    wide = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    grow = [2 * (pad - p) for p in padding]
    _require_size(cout, cin * groups, *(k + g for k, g in zip(wide, grow, strict=True)))
    if cout % groups or cin * groups != given.channels:
        raise TicketError("do not divide the channels", where=f"{_WHERE}.groups", value=groups)
    dense = np.zeros((cout, cin * groups, *wide), array.dtype)
    rows = cout // groups
    for g in range(groups):
        part = dense[g * rows : (g + 1) * rows, g * cin : (g + 1) * cin]
        part[:, :, :: dilation[0], :: dilation[1]] = array[g * rows : (g + 1) * rows]
    made = _grown(dense, grow)
    name = "signs" if "signs" in weight else "weight"
    return {**weight, name: made}, _stride(given, wide, stride, padding), pad


def _stride(
    given: Value, kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int]
) -> int:
    """One stride for both axes: where an axis has one place only, it has any."""
    rest = [
        n + 2 * p - k for n, k, p in zip((given.height, given.width), kernel, padding, strict=True)
    ]
    for one in dict.fromkeys(stride):
        if all(one == s or (r < s and r < one) for s, r in zip(stride, rest, strict=True)):
            return one
    raise TicketError("known is one for both axes", where=f"{_WHERE}.stride", value=list(stride))


def _grown(weight: NDArray[Any], more: Sequence[int]) -> NDArray[Any]:
    """Zeros around a kernel, so that it is as if an axis were padded less."""
    sides = [(n // 2, n // 2) for n in more]
    return np.pad(weight, ((0, 0), (0, 0), *sides)) if any(more) else weight


def _require_size(*sides: int) -> None:
    if math.prod(sides) > MAX_VALUES:
        raise TicketError("is too large a layer", where=_WHERE, value=sides)
