"""A NIR graph computed by NIR's own equations, one forward Euler step per time step.

The other readers know a part of NIR each; this one reads what is written here, from the file, and
needs none of them. It is no export: it is what exports are checked with.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from spiketicket.errors import UserError


class NirNetwork(nn.Module):
    """``[T, B, ...]`` to ``[T, B, classes]``; ``spikes`` has what each neuron gave.

    Raises:
        UserError: the graph has a loop.
    """

    def __init__(self, graph: Any, dt: float) -> None:
        super().__init__()
        self.nodes, self.dt = graph.nodes, dt
        self.sources: dict[str, list[str]] = {name: [] for name in graph.nodes}
        for source, target in graph.edges:
            self.sources[target].append(source)
        self.order = self._ordered()
        self.spikes: dict[str, list[Tensor]] = {}

    def _ordered(self) -> list[str]:
        found: list[str] = []
        while len(found) < len(self.nodes):
            ready = [
                name
                for name, sources in self.sources.items()
                if name not in found and all(source in found for source in sources)
            ]
            if not ready:
                raise UserError("the graph has a loop, which is not read", where="nir")
            found += ready
        return found

    @torch.no_grad()
    def forward(self, frames: Tensor) -> Tensor:
        """The outputs of all steps."""
        self.spikes, state, outputs = {}, dict[str, Tensor](), []
        for frame in frames:
            known: dict[str, Tensor] = {}
            for name in self.order:
                given = [known[source] for source in self.sources[name]]
                x = sum(given[1:], given[0]) if given else frame
                known[name] = self._applied(name, x, state)
            outputs.append(known["output"])
        return torch.stack(outputs)

    def _applied(self, name: str, x: Tensor, state: dict[str, Tensor]) -> Tensor:
        node = self.nodes[name]
        kind = type(node).__name__
        part = {key: _tensor(value, x) for key, value in vars(node).items()}
        if kind in ("Input", "Output"):
            y = x
        elif kind == "Affine":
            y = functional.linear(x, part["weight"], part["bias"])
        elif kind == "Conv2d":
            stride, padding, dilation = (
                _pair(getattr(node, k)) for k in ("stride", "padding", "dilation")
            )
            groups = int(node.groups)
            y = functional.conv2d(
                x, part["weight"], part["bias"], stride, padding, dilation, groups
            )
        elif kind == "AvgPool2d":
            size, stride, padding = (
                _pair(getattr(node, k)) for k in ("kernel_size", "stride", "padding")
            )
            y = functional.avg_pool2d(x, size, stride, padding)
        elif kind == "Flatten":
            y = x.flatten(int(node.start_dim), int(node.end_dim))
        elif kind == "Scale":
            y = x * part["scale"]
        elif kind == "Threshold":
            y = self._fired(name, x >= part["threshold"])
        else:
            y = self._moved(name, kind, part, x, state)
        return y

    def _moved(
        self, name: str, kind: str, part: dict[str, Any], x: Tensor, state: dict[str, Tensor]
    ) -> Tensor:
        """A node with a membrane."""
        v: Tensor = state.get(name, torch.zeros_like(x))
        if kind in ("IF", "I"):
            v = v + self.dt * part["r"] * x
        elif kind in ("LIF", "LI"):
            v = v + self.dt / part["tau"] * (part["v_leak"] - v + part["r"] * x)
        else:
            raise UserError("is no node that is known here", where="nir", value=kind)
        if kind in ("LI", "I"):
            state[name] = v
            return v
        fired = v >= part["v_threshold"]
        state[name] = torch.where(fired, part["v_reset"], v)
        return self._fired(name, fired)

    def _fired(self, name: str, fired: Tensor) -> Tensor:
        self.spikes.setdefault(name, []).append(fired.float())
        return fired.to(torch.float64)


def _tensor(value: Any, like: Tensor) -> Any:
    return torch.as_tensor(value).to(like) if hasattr(value, "dtype") and value.ndim else value


def _pair(value: Any) -> tuple[int, int]:
    found = [int(v) for v in (value if hasattr(value, "__len__") else (value, value))]
    return found[0], found[-1]
