"""The network of a ticket's graph in PyTorch, without the code that it was written in.

    net = spiketicket.from_ticket(ticket)      # of a custom network, with its graph

Layers lie at the paths they had, so that weights have their names. Inside, everything is
``[T, B, C, H, W]``, with T = 1 for what is the same at every step.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from spiketicket.errors import UserError
from spiketicket.models.blocks import Watched
from spiketicket.ticket import Ticket, TicketError
from spiketicket.ticket.schema import GRAPH

_PATH = re.compile(r"\w+(\.\w+)*", re.ASCII)
_LONGEST = 500
_WHERE = "network.graph"
Step = Callable[..., Tensor]
"""What an op computes, of its module (None where it has none) and its inputs."""
_MOST_VALUES = 1 << 28
"""Of a layer and one input, over all time steps."""


class TracedNeuron(nn.Module):
    """A neuron of a graph: ``[T, ...]`` or ``[1, ...]`` to spikes, or to numbers of ReLU and sign.

    The parameters are those of :class:`spiketicket.engine.ops.Neuron`, where the equations are.
    """

    def __init__(self, steps: int, parameters: Mapping[str, Any]) -> None:
        super().__init__()
        self.steps, self.kind = steps, str(parameters["kind"])
        self.charge = int(parameters.get("charge", 0))
        self.soft, self.strict, self.late, self.keep = (
            bool(parameters.get(key, False)) for key in ("soft", "strict", "late", "keep")
        )
        self.decay, self.tau, self.v_threshold, self.v_reset, self.v_rest = (
            float(parameters.get(key, default))
            for key, default in (
                ("decay", 0.0),
                ("tau", 1.0),
                ("v_threshold", 0.0),
                ("v_reset", 0.0),
                ("v_rest", 0.0),
            )
        )

    @property
    def spikes(self) -> bool:
        """Whether it gives 0 and 1."""
        return self.kind in ("lif", "step")

    def forward(self, current: Tensor) -> Tensor:
        if self.kind == "relu":
            return current.relu()
        if self.kind == "sign":
            return (current >= 0).to(current.dtype) * 2 - 1
        if self.kind == "step":
            return (current - self.v_threshold >= 0).to(current.dtype)
        v = torch.full_like(current[0], self.v_rest)
        spikes: list[Tensor] = []
        for step in range(self.steps):
            u = self._charged(v, current[step if len(current) > 1 else 0])
            if self.late and spikes:
                u = self._reset(u, spikes[-1])
            above = u - self.v_threshold
            fired = (above > 0 if self.strict else above >= 0).to(u.dtype)
            v = u if self.late or self.keep else self._reset(u, fired)
            spikes.append(fired)
        return torch.stack(spikes)

    def _reset(self, u: Tensor, fired: Tensor) -> Tensor:
        if self.soft:
            return u - fired * self.v_threshold
        return (1.0 - fired) * u + fired * self.v_reset

    def _charged(self, v: Tensor, z: Tensor) -> Tensor:
        if self.charge == 0:
            return v * self.decay + z
        if self.charge == 1:
            return v - (v - self.v_rest) / self.tau + z
        if self.charge == 2:
            return v + (z - (v - self.v_rest)) / self.tau
        if self.charge == 3:
            return v + (z - (v - self.v_rest)) * self.decay
        return v - (v - self.v_rest) * self.decay + z

    def margins(self, current: Tensor, spikes: Tensor) -> Tensor:
        """How far from its threshold a neuron of hard reset was, with these spikes before.

        Relative to the threshold, at least to 1; ``[T, ...]`` as ``spikes``.
        """
        v, found = torch.full_like(spikes[0], self.v_rest), []
        for step, fired in enumerate(spikes):
            z = current[step if len(current) > 1 else 0]
            u = z if self.kind == "step" else self._charged(v, z)
            v = self._reset(u, fired)
            found.append((u - self.v_threshold).abs() / max(1.0, abs(self.v_threshold)))
        return torch.stack(found)

    def extra_repr(self) -> str:
        return f"{self.kind}, v_threshold={self.v_threshold:g}"


class TracedNetwork(nn.Module):
    """Runs a graph. ``x`` is ``[B, C, H, W]``, or ``[T, B, C, H, W]`` of frames.

    Raises:
        TicketError: the graph does not go with the ticket's arrays.
    """

    def __init__(self, graph: Mapping[str, Any], ticket: Ticket) -> None:
        super().__init__()
        self.graph = graph
        self.timesteps = int(graph["steps"])
        self.shape = tuple(int(graph[key]) for key in ("channels", "height", "width"))
        arrays = {key: np.asarray(value) for key, value in ticket.tensors.items()}
        arrays |= {f"{layer.name}.weight": layer.weight() for layer in ticket.layers}
        self._plan: list[tuple[str, Step, list[int]]] = []
        self._last_use: dict[int, int] = {}
        for index, op in enumerate(graph["ops"]):
            inputs = list(op["in"])
            self._plan.append((*self._made(op, arrays), inputs))
            self._last_use.update(dict.fromkeys(inputs, index))

    def forward(self, x: Tensor) -> Tensor:
        frames = x if x.dim() == 5 else x.reshape(1, x.shape[0], *self.shape)
        known: dict[int, Tensor] = {0: frames}
        out = frames
        for index, (path, compute, inputs) in enumerate(self._plan):
            layer = self.get_submodule(path) if path else None
            out = compute(layer, *(known[i] for i in inputs))
            for i in inputs:
                if self._last_use[i] == index:
                    known.pop(i, None)
            if out.is_meta and out.numel() > x.shape[0] * _MOST_VALUES:
                raise TicketError("is too large a layer", where=f"{_WHERE}.ops[{index}]")
            known[index + 1] = out
        return out[0].flatten(1)

    def path(self, index: int) -> str:
        """Where the module of the graph's op ``index`` lies; "" if it has none."""
        return self._plan[index][0]

    # ---- what each op becomes

    def _made(
        self, op: Mapping[str, Any], arrays: Mapping[str, np.ndarray[Any, Any]]
    ) -> tuple[str, Step]:
        kind = op["op"]
        if kind == "synapse":
            path = self._put(op["name"], _synapse(op, arrays))
            return path, _flat_over_time if op.get("flatten") else _over_time
        if kind == "norm":
            return self._put(op["name"], _norm(op, arrays)), _over_time
        if kind == "neuron":
            neuron = TracedNeuron(self.timesteps, op)
            return self._put(op.get("name") or f"activation{len(self._plan)}", neuron), _fire
        return "", _PLAIN[kind](op, self.timesteps)

    def _put(self, given: str, module: nn.Module) -> str:
        """Add a module at a path, which is returned; one that is there already is taken again."""
        path = given.replace("#", "_")
        if len(path) > _LONGEST or not _PATH.fullmatch(path):
            raise TicketError("is no path of a layer", where=_WHERE, value=path[:80])
        *parents, own = path.split(".")
        place: nn.Module = self
        try:
            for name in parents:
                if name not in place._modules:
                    place.add_module(name, nn.Module())
                place = cast("nn.Module", place._modules[name])
            if own not in place._modules:
                place.add_module(own, module)
            elif type(place._modules[own]) is not type(module):
                raise TicketError("are two layers of one path", where=_WHERE, value=path)
        except KeyError as error:
            raise TicketError("is no path of a layer", where=_WHERE, value=path) from error
        return path


def traced_network(ticket: Ticket) -> TracedNetwork:
    """The network of a ticket's graph, in evaluation mode.

    Raises:
        TicketError: the graph does not go with the ticket's arrays.
    """
    graph = ticket.metadata["network"]["graph"]
    try:
        GRAPH.check(graph, _WHERE)
        net = TracedNetwork(graph, ticket).eval()
        # first without memory: a forged size must not be allocated
        shape = (net.timesteps, 1, *net.shape) if graph["frames"] > 1 else (1, *net.shape)
        logits = copy.deepcopy(net).to("meta")(torch.empty(shape, device="meta"))
        if tuple(logits.shape) != (1, graph["classes"]):
            raise TicketError("gives no logits", where=_WHERE, value=list(logits.shape))
    except UserError:
        raise
    except (
        KeyError,
        TypeError,
        ValueError,
        RuntimeError,
        AttributeError,
        ArithmeticError,
    ) as error:
        what = "does not go with the ticket's arrays"
        raise TicketError(what, where=_WHERE, value=f"{type(error).__name__}: {error}") from error
    for parameter in net.parameters():
        parameter.requires_grad_(False)
    return net


def _over_time(layer: Any, x: Tensor) -> Tensor:
    """A layer without a state, applied to all steps in one call."""
    y: Tensor = layer(x.flatten(0, 1))
    return torch.unflatten(y, 0, x.shape[:2])


def _flat_over_time(layer: Any, x: Tensor) -> Tensor:
    y: Tensor = layer(x.flatten(0, 1).flatten(1))
    return torch.unflatten(y, 0, x.shape[:2])[..., None, None]


def _fire(neuron: Any, *parts: Tensor) -> Tensor:
    """A neuron, or what was put in its place to watch it."""
    (x,) = parts
    if isinstance(neuron, Watched):
        out: Tensor = neuron.neuron(x)
        neuron.observer(out, lambda: x)
        return out
    return cast("Tensor", neuron(x))


def _synapse(op: Mapping[str, Any], arrays: Mapping[str, Any]) -> nn.Module:
    name = op["name"]
    weight = torch.from_numpy(np.array(arrays[f"{name}.weight"], np.float32))
    bias = (
        torch.from_numpy(np.array(arrays[f"{name}.bias"], np.float32)) if op.get("bias") else None
    )
    if op.get("flatten"):
        layer: nn.Module = nn.Linear(
            weight.shape[1], weight.shape[0], bias is not None, device="meta"
        )
    else:
        weight = weight.unsqueeze(2) if weight.dim() == 3 else weight
        layer = nn.Conv2d(
            weight.shape[1] * op["groups"],
            weight.shape[0],
            (weight.shape[2], weight.shape[3]),
            tuple(op["stride"]),
            tuple(op["padding"]),
            tuple(op["dilation"]),
            op["groups"],
            bias is not None,
            device="meta",
        )
    layer.register_parameter("weight", nn.Parameter(weight))
    if bias is not None:
        layer.register_parameter("bias", nn.Parameter(bias))
    return layer


def _norm(op: Mapping[str, Any], arrays: Mapping[str, Any]) -> nn.Module:
    name = op["name"]
    given = {
        key: torch.from_numpy(np.array(arrays[f"{name}.{key}"], np.float32))
        for key in ("running_mean", "running_var", "weight", "bias")
        if f"{name}.{key}" in arrays
    }
    layer = nn.BatchNorm2d(
        len(given["running_mean"]), op.get("eps", 1e-5), affine="weight" in given
    )
    with torch.no_grad():
        for key, value in given.items():
            cast("Tensor", getattr(layer, key)).copy_(value)
    return layer


def _pool(op: Mapping[str, Any], steps: int) -> Step:
    del steps
    pool = functional.max_pool2d if op["op"] == "maxpool" else functional.avg_pool2d
    window = tuple(op["kernel"]), tuple(op["stride"]), tuple(op["padding"])
    return lambda _, x: _over_time(lambda flat: pool(flat, *window), x)


def _vote(op: Mapping[str, Any], steps: int) -> Step:
    del steps
    size = int(op["size"])
    return lambda _, x: x.unflatten(2, (-1, size)).mean(3)


def _leak(op: Mapping[str, Any], steps: int) -> Step:
    rate, own = float(op["rate"]), bool(op.get("own"))

    def leak(_: Any, x: Tensor) -> Tensor:
        y, found = torch.zeros_like(x[0]), []
        for step in range(steps):
            y = (y + rate * y if own else y * rate) + x[step if len(x) > 1 else 0]
            found.append(y)
        return torch.stack(found)

    return leak


def _mean(op: Mapping[str, Any], steps: int) -> Step:
    del steps
    dims = [0] * bool(op["time"]) + [3, 4] * bool(op["positions"])
    return lambda _, x: x.mean(dims, keepdim=True)


def _scale(op: Mapping[str, Any], steps: int) -> Step:
    del steps
    factor = float(op["factor"])
    return lambda _, x: x * factor


def _concat(op: Mapping[str, Any], steps: int) -> Step:
    del op, steps

    def joined(_: Any, *parts: Tensor) -> Tensor:
        longest = max(len(part) for part in parts)
        return torch.cat([part.expand(longest, *part.shape[1:]) for part in parts], 2)

    return joined


def _sum(op: Mapping[str, Any], steps: int) -> Step:
    del op, steps
    return lambda _, x, y: x + y


def _product(op: Mapping[str, Any], steps: int) -> Step:
    del op, steps
    return lambda _, x, y: x * y


_PLAIN: Mapping[str, Callable[[Mapping[str, Any], int], Step]] = {
    "maxpool": _pool,
    "avgpool": _pool,
    "vote": _vote,
    "leak": _leak,
    "mean": _mean,
    "scale": _scale,
    "concat": _concat,
    "add": _sum,
    "mask": _product,
}
