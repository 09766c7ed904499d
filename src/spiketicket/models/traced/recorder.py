"""Calls a network once and notes which layers its tensors go through.

Every tensor that follows from the input is known by a :class:`Followed`: which layer it comes from,
what its axes are, and, where the network loops over time itself, which step it belongs to. What is
done alike at every step is the same layer, so a network that is called step by step gives the graph
of one that is called with ``[T, B, ...]``. A tensor that went through something unknown is followed
too, with the reason; only where the logits depend on it the network is refused.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from spiketicket.errors import UserError
from spiketicket.models.blocks import Block
from spiketicket.models.traced import neurons
from spiketicket.models.traced.axes import Axes, AxesError, axis, find, plain, sizes
from spiketicket.models.traced.neurons import Reading, UnknownNeuronError

VERSION = 1
Shape = tuple[int, int, int]
Graph = dict[str, Any]
Forward = Callable[[nn.Module, Tensor], Tensor]


class UnknownStepError(Exception):
    """What a network does that has no form in the graph."""


@dataclass(frozen=True, kw_only=True)
class Node:
    """A layer of the graph: what it writes, ``[S, C, H, W]`` with S = T if it ``varies``."""

    op: Mapping[str, Any]
    inputs: tuple[int, ...]
    shape: Shape
    varies: bool
    spikes: bool = False


@dataclass(frozen=True, kw_only=True)
class Followed:
    """What a tensor is.

    Args:
        node: the layer that made it.
        axes: what its axes are.
        step: the time step it belongs to; None: it has all of them, or is the same at each.
        summed: the steps that were added up for it.
        factor: what it was multiplied by since.
        problem: why it cannot be computed.
    """

    node: int
    axes: Axes
    step: int | None = None
    summed: frozenset[int] = frozenset()
    factor: float = 1.0
    problem: str = ""


@dataclass(kw_only=True)
class _Cell:
    """A neuron as it was used in one place of the network."""

    name: str
    reading: Reading
    calls: int = 0
    source: int = -1
    nodes: tuple[int, ...] = ()
    outputs: list[tuple[Tensor, Axes]] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Trace:
    """A network as it was called.

    Args:
        graph: its layers, as JSON.
        logits: what it gave, ``[B, classes]``.
        spikes: the output of each neuron by its name, ``[T, B, C, H, W]``, T = 1 where it is the
            same at every step.
    """

    graph: Graph
    logits: Tensor
    spikes: dict[str, Tensor]


@torch.no_grad()
def traced(model: nn.Module, x: Tensor, forward: Forward, *, batch: int = 0) -> Trace:
    """The graph of a network.

    Args:
        model: a copy of the network, whose parameters are those of the ticket. It is changed.
        x: inputs, at least two: ``[B, ...]``, or frames ``[T, B, ...]`` or ``[B, T, ...]`` of
            ``[C, H, W]``, ``[C, L]`` or ``[F]``. Five axes have time.
        forward: gives the logits ``[B, classes]``, its neurons without state before.
        batch: the axis of ``x`` that is the batch.

    Raises:
        UserError: the logits depend on what has no form in the graph: names the layer and what it
            does. Or the network fails.
    """
    recorder = Recorder(model.eval(), x, batch)
    with recorder.watching():
        logits = forward(model, x)
    graph = recorder.graph(logits)
    return Trace(graph=graph, logits=logits, spikes=recorder.spikes())


class Recorder(TorchFunctionMode):
    """Follows tensors through the functions that a network calls."""

    def __init__(self, model: nn.Module, x: Tensor, batch: int) -> None:
        super().__init__()
        self.model = model
        self.nodes: list[Node] = []
        self.steps: int | None = None
        self._known: dict[str, int] = {}
        self._followed: dict[int, Followed] = {}
        self._states: dict[int, tuple[_Cell, int]] = {}
        self._cells: dict[int, list[_Cell]] = {}
        self._kept: list[Any] = []
        self._paths: list[str] = []
        self._paused = False
        tensors = [*model.named_parameters(), *model.named_buffers()]
        self.names = {id(tensor): name for name, tensor in tensors}
        self._follow(x, self._input(x, batch))
        self.frames = self.nodes[0].varies

    # ---- what torch calls

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        from spiketicket.models.traced.functions import apply

        kwargs = kwargs or {}
        if self._paused:
            return func(*args, **kwargs)
        return apply(self, func, args, kwargs)

    # ---- tensors

    def of(self, value: Any) -> Followed | None:
        """What is known of a tensor; None of one that does not follow from the input."""
        return self._followed.get(id(value)) if isinstance(value, Tensor) else None

    def _follow(self, tensor: Tensor, followed: Followed) -> Tensor:
        self._kept.append(tensor)  # so that no other object gets its id
        self._followed[id(tensor)] = followed
        return tensor

    def follow(self, tensor: Tensor, followed: Followed) -> Tensor:
        """Note what a tensor is."""
        if not followed.problem and sizes(followed.axes) != tuple(tensor.shape):
            what = f"gives {list(tensor.shape)} where {list(sizes(followed.axes))} was expected"
            followed = self.unknown(what)
        return self._follow(tensor, followed)

    def unknown(self, what: str) -> Followed:
        """A tensor that cannot be computed, since the layer at hand does ``what``."""
        return Followed(node=-1, axes=(), problem=f"{self.where}: {what}")

    @property
    def where(self) -> str:
        """The module that is being called."""
        return self._paths[-1] if self._paths else type(self.model).__name__

    # ---- nodes

    def add(
        self,
        op: str,
        *inputs: int,
        shape: Shape,
        name: str = "",
        varies: bool | None = None,
        spikes: bool = False,
        **parameters: Any,
    ) -> int:
        """The node that does this; one that is there is not added again."""
        record = {"op": op, **parameters}
        if name:
            record["name"] = name
        key = json.dumps([record, inputs], sort_keys=True)
        if key not in self._known:
            if varies is None:
                varies = any(self.nodes[i].varies for i in inputs)
            self._known[key] = len(self.nodes)
            self.nodes.append(
                Node(op=record, inputs=inputs, shape=shape, varies=varies, spikes=spikes)
            )
        return self._known[key]

    def set_steps(self, steps: int) -> None:
        """There are so many time steps.

        Raises:
            UnknownStepError: there were others.
        """
        if self.steps not in (None, steps):
            raise UnknownStepError(f"runs {steps} time steps where there were {self.steps}")
        self.steps = steps

    @property
    def steps_so_far(self) -> int:
        """T, or the steps that neurons were called with up to now."""
        calls = [cell.calls for cells in self._cells.values() for cell in cells]
        return self.steps or max(calls, default=1)

    def whole(self, given: Followed) -> Followed:
        """A sum over all steps as one over time; anything else as it is.

        Raises:
            UnknownStepError: it is a sum over some of the steps.
        """
        if not given.summed and given.factor == 1.0:
            return given
        node, factor = given.node, given.factor
        if given.summed:
            steps = self.steps_so_far
            if given.summed != frozenset(range(steps)):
                raise UnknownStepError(f"adds up {len(given.summed)} of {steps} time steps")
            self.set_steps(steps)
            node = self.mean(node, time=True, positions=False)
            factor *= steps
        return replace(
            given, node=self.scaled(node, factor), summed=frozenset(), factor=1.0, step=None
        )

    def mean(self, node: int, *, time: bool, positions: bool) -> int:
        """The node of a mean; one that stands at every step is its own mean over time."""
        given = self.nodes[node]
        time = time and given.varies
        positions = positions and given.shape[1:] != (1, 1)
        if not time and not positions:
            return node
        shape = (given.shape[0], 1, 1) if positions else given.shape
        return self.add(
            "mean",
            node,
            shape=shape,
            varies=given.varies and not time,
            time=time,
            positions=positions,
        )

    def scaled(self, node: int, factor: float) -> int:
        """The node times a number."""
        if abs(factor - 1.0) < 1e-12:
            return node
        return self.add("scale", node, shape=self.nodes[node].shape, factor=factor)

    # ---- modules

    @contextmanager
    def watching(self) -> Iterator[None]:
        """In the context calls are followed."""
        handles = []
        for path, module in self.model.named_modules():
            handles.append(module.register_forward_pre_hook(self._enter(path), prepend=True))
            handles.append(module.register_forward_hook(self._leave, always_call=True))
            if isinstance(module, Block):
                self._replace(module, path, self._block)
            elif neurons.is_neuron(module):
                self._replace(module, path, self._neuron)
        try:
            with self:
                yield
        finally:
            for handle in handles:
                handle.remove()

    def _enter(self, path: str) -> Callable[..., None]:
        def enter(module: nn.Module, inputs: Any) -> None:
            del inputs
            self._paths.append(path or type(module).__name__)

        return enter

    def _leave(self, module: nn.Module, inputs: Any, output: Any) -> None:
        del module, inputs, output
        self._paths.pop()

    def _replace(self, module: nn.Module, path: str, note: Callable[..., Any]) -> None:
        forward = module.forward

        def watched(*args: Any, **kwargs: Any) -> Any:
            if self._paused:
                return forward(*args, **kwargs)
            self._paused = True
            try:
                output = forward(*args, **kwargs)
            finally:
                self._paused = False
            given = [*args, *kwargs.values()]
            note(module, path, given, output)
            return output

        module.forward = watched

    def _neuron(self, module: nn.Module, path: str, given: Sequence[Any], output: Any) -> None:
        made = list(_tensors(output))
        x = self.of(given[0]) if given else None
        if x is None or x.problem:
            for tensor in made:
                self._follow(tensor, x or self.unknown("a neuron that is not given the input"))
            return
        try:
            self._fire(self._cell(module, path, given[1:]), x, made)
        except (UnknownNeuronError, UnknownStepError, AxesError) as error:
            problem = self.unknown(f"{type(module).__name__} {error}")
            for tensor in made:
                self._follow(tensor, problem)

    def _cell(self, module: nn.Module, path: str, states: Sequence[Any]) -> _Cell:
        """The place in the network: the one its state comes from, or the module itself."""
        cells = self._cells.setdefault(id(module), [])
        tensors = [t for state in states for t in _tensors(state) if t.numel()]
        before = [self._states[id(t)] for t in tensors if id(t) in self._states]
        if before:
            cell, calls = before[0]
            if any(entry != before[0] for entry in before) or calls != cell.calls:
                raise UnknownStepError("is given a state of another step or neuron")
            return cell
        if tensors and any(bool(t.any()) for t in tensors):
            raise UnknownStepError("starts with a state other than 0")
        if cells and not (_is_explicit(states) and cells[-1].calls):
            return cells[-1]
        suffix = f"#{len(cells) + 1}" if cells else ""
        cells.append(_Cell(name=path + suffix, reading=neurons.read(module)))
        return cells[-1]

    def _fire(self, cell: _Cell, x: Followed, made: Sequence[Tensor]) -> None:
        if x.summed or x.factor != 1.0:
            x = self.whole(x)
        reading, step, axes = cell.reading, x.step, x.axes
        if reading.whole:
            if step is not None:
                raise UnknownStepError("is given one step where it takes all")
            if reading.state:
                axes = self._with_time(x)
        elif reading.state:
            if find(axes, "T") is not None:
                raise UnknownStepError("is given all steps where it takes one")
            if step not in (None, cell.calls):
                raise UnknownStepError(
                    f"is given step {step} in its call {cell.calls}: recurrent connections are not"
                    " known"
                )
            step = cell.calls
        if cell.source not in (-1, x.node):
            raise UnknownStepError("is given another layer's output in a later call")
        cell.source = x.node
        cell.calls += 1
        if not cell.nodes:
            cell.nodes = self._ops(cell, x.node)
        self._outputs(cell, made, axes, step)

    def _with_time(self, x: Followed) -> Axes:
        """The axes of what a neuron is given with all steps, the first being time."""
        first = x.axes[0] if x.axes else ()
        if [role for role, _ in first] == ["T"]:
            return x.axes
        if plain(first) or (first and first[0][0] != "T"):
            raise UnknownStepError("takes time as its first axis, and is given another")
        self.set_steps(1)
        return x.axes

    def _ops(self, cell: _Cell, node: int) -> tuple[int, ...]:
        shape, found = self.nodes[node].shape, list[int]()
        for op, parameters in cell.reading.ops:
            last = len(found) == len(cell.reading.ops) - 1
            kind = parameters.get("kind", "")
            node = self.add(
                op,
                node,
                shape=shape,
                name=cell.name if last else f"{cell.name}.{op}{len(found)}",
                varies=cell.reading.state or self.nodes[node].varies,
                spikes=kind in ("lif", "step"),
                **parameters,
            )
            found.append(node)
        return tuple(found)

    def _outputs(self, cell: _Cell, made: Sequence[Tensor], axes: Axes, step: int | None) -> None:
        for index, tensor in enumerate(made):
            if index == 0:
                self.follow(tensor, Followed(node=cell.nodes[-1], axes=axes, step=step))
                cell.outputs.append((tensor, axes))
            elif cell.reading.membrane is not None and index == 1:
                node = cell.nodes[cell.reading.membrane]
                self.follow(tensor, Followed(node=node, axes=axes, step=step))
            elif self.of(tensor) is None:
                self._follow(tensor, self.unknown("its membrane potential is used as a number"))
            self._states[id(tensor)] = (cell, cell.calls)

    def _block(self, block: Any, path: str, given: Sequence[Any], output: Tensor) -> None:
        """A block of this package, which computes its parts in one pass."""
        x = self.of(given[0])
        if x is None or x.problem:
            self._follow(output, x or self.unknown("a block that is not given the input"))
            return
        from spiketicket.models.traced import functions

        try:
            reading = neurons.read(block.neuron)
            made = functions.block(
                self, block, path, self.whole(x), steps=int(given[1]), reading=reading
            )
        except (UnknownNeuronError, UnknownStepError, AxesError) as error:
            made = self.unknown(str(error))
        self.follow(output, made)

    # ---- the ends

    def _input(self, x: Tensor, batch: int) -> Followed:
        shape = list(x.shape)
        time = 1 - batch if x.dim() == 5 or (batch == 1 and x.dim() > 2) else None
        rest = [s for i, s in enumerate(shape) if i not in (batch, time)]
        if not 1 <= len(rest) <= 3:
            raise UserError(
                "must be [C, H, W], [C, L] or [F] for each sample",
                where="inputs",
                value=rest,
            )
        whole = {1: (*rest, 1, 1), 2: (rest[0], 1, rest[-1]), 3: tuple(rest)}[len(rest)]
        channels, height, width = whole
        names = {1: "C", 2: "CW", 3: "CHW"}[len(rest)]
        found = [axis(role, size) for role, size in zip(names, rest, strict=True)]
        leading = {batch: axis("B", shape[batch])}
        if time is not None:
            self.steps = shape[time]
            leading[time] = axis("T", shape[time])
        node = Node(
            op={},
            inputs=(),
            shape=(channels, height, width),
            varies=time is not None and shape[time] > 1,
        )
        self.nodes.append(node)
        return Followed(node=0, axes=(*(leading[i] for i in sorted(leading)), *found))

    def graph(self, logits: Any) -> Graph:
        """The graph of the layers that the logits depend on.

        Raises:
            UserError: they depend on what is not known.
        """
        found = self.of(logits)
        if found is None:
            raise UserError(
                "the logits do not follow from the input",
                where=type(self.model).__name__,
                remedy=_REMEDY,
            )
        try:
            if not found.problem:
                found = self._finished(found)
        except UnknownStepError as error:
            found = self.unknown(str(error))
        if found.problem:
            where, _, what = found.problem.partition(": ")
            raise UserError(what, where=where, remedy=_REMEDY)
        return self._written(found.node)

    def spikes(self) -> dict[str, Tensor]:
        """What each neuron gave, as :class:`Trace` has it."""
        found = {}
        for cell in (cell for cells in self._cells.values() for cell in cells if cell.nodes):
            shape = self.nodes[cell.nodes[-1]].shape
            steps = [_laid_out(tensor, axes, shape) for tensor, axes in cell.outputs]
            found[cell.name] = torch.cat(steps)
        return found

    def _finished(self, found: Followed) -> Followed:
        found = self.whole(found)
        steps = self.steps_so_far
        if found.step is not None and steps > 1:
            raise UnknownStepError(f"its logits are those of step {found.step} alone")
        if find(found.axes, "T") is not None and steps > 1:
            raise UnknownStepError("its logits are not averaged over time")
        for cells in self._cells.values():
            for cell in cells:
                expected = 1 if cell.reading.whole or not cell.reading.state else steps
                if cell.calls != expected and cell.reading.state:
                    raise UnknownStepError(
                        f"calls {cell.name} {cell.calls} times where there are {steps} time steps"
                    )
        self.set_steps(steps)
        node = self.nodes[found.node]
        if node.shape[1:] != (1, 1):
            raise UnknownStepError(f"its logits are a map {list(node.shape)}")
        if node.varies:
            found = replace(found, node=self.mean(found.node, time=True, positions=False))
        elif node.spikes:
            raise UnknownStepError("its logits are spikes of a neuron without a membrane")
        return found

    def _written(self, last: int) -> Graph:
        needed = {last}
        for index in range(last, 0, -1):
            if index in needed:
                needed.update(self.nodes[index].inputs)
        order = sorted(needed | {0})
        place = {node: i for i, node in enumerate(order)}
        channels, height, width = self.nodes[0].shape
        ops = []
        for index in order[1:]:
            node = self.nodes[index]
            ops.append({**node.op, "in": [place[i] for i in node.inputs]})
        return {
            "version": VERSION,
            "steps": self.steps or 1,
            "frames": (self.steps or 1) if self.frames else 1,
            "channels": channels,
            "height": height,
            "width": width,
            "classes": self.nodes[last].shape[0],
            "ops": ops,
        }


_REMEDY = (
    "Known are convolutions, linear layers, BatchNorm, max and average pooling, flatten, sums, "
    f"concatenation of channels, means over time, and {neurons.KNOWN}"
)


def _tensors(value: Any) -> Iterator[Tensor]:
    """The tensors in an output or a state, in order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _tensors(item)
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _tensors(item)


def _laid_out(tensor: Tensor, axes: Axes, shape: Shape) -> Tensor:
    """A tensor as ``[T, B, C, H, W]``."""
    atoms = [atom for one in axes for atom in plain(one)]
    order = sorted(range(len(atoms)), key=lambda i: "TBCHW".index(atoms[i][0]))
    parts = tensor.reshape([size for _, size in atoms]).permute(order)
    sides = dict(atoms)
    return parts.reshape(sides.get("T", 1), sides.get("B", 1), *shape)


def _is_explicit(states: Sequence[Any]) -> bool:
    """Whether the caller hands the neuron its state, or says that it starts anew."""
    return bool(states)
