"""The NIR graph of a custom network, from the graph that its ticket holds.

A neuron ``charge``s as :class:`spiketicket.engine.ops.Neuron` has it; here each is the forward
Euler step of a NIR node at ``DT_S``. Where a network fires *above* its threshold
only (snnTorch, norse), the threshold is the next float32 after it, as readers take
``v >= v_threshold`` or ``v > v_threshold``.

NIR answers with every step. A mean over time may stand before layers that are linear, and is left
out: the mean of what they give is the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from torch import nn

from spiketicket.errors import UserError
from spiketicket.export.folding import folded
from spiketicket.models.blocks import scale_and_shift
from spiketicket.models.traced.network import TracedNetwork

Shape = tuple[int, int, int]
_LINEAR = ("synapse", "norm", "avgpool", "vote", "scale", "add", "mean")
_REFUSED = {
    "maxpool": "max pooling",
    "concat": "a concatenation of channels",
    "mask": "a product of activations",
}
_KINDS = {"relu": "the activation relu", "sign": "the activation sign"}


def nir_of_graph(nir: Any, net: TracedNetwork, metadata: Mapping[str, Any], dt: float) -> Any:
    """The ``nir.NIRGraph`` of a custom network.

    Raises:
        UserError: NIR cannot represent a layer; names every one.
    """
    if problems := graph_refusals(net):
        raise UserError(
            f"NIR cannot represent {'; '.join(problems)}",
            where="export",
            remedy="NIR has convolutions, linear layers, average pooling, sums, and IF and LIF"
            " neurons that are reset to 0",
        )
    return _Graph(nir, net, dt).finished(metadata)


def graph_refusals(net: TracedNetwork) -> list[str]:
    """What of a custom network NIR cannot represent, ``"layer (reason)"`` each."""
    found, averaged = [], {0: False}
    for index, op in enumerate(net.graph["ops"]):
        name = op.get("name") or f"layer {index + 1}, {op['op']}"
        before = any(averaged[i] for i in op["in"])
        averaged[index + 1] = before or bool(op["op"] == "mean" and op["time"])
        reason = _REFUSED.get(op["op"], "")
        if op["op"] == "neuron":
            reason = _neuron_reason(op)
        if not reason and before and op["op"] not in _LINEAR:
            reason = "follows a mean over time"
        if reason:
            found.append(f"{name} ({reason})")
    return found


def _neuron_reason(op: Mapping[str, Any]) -> str:
    if op["kind"] != "lif":
        return _KINDS.get(op["kind"], "")
    if op.get("keep"):
        return "a neuron without reset"
    if op.get("soft"):
        return "soft reset"
    if op.get("v_reset", 0.0) or (op.get("charge", 0) and op.get("v_rest", 0.0)):
        return "reset or rest at another potential than 0"
    if op.get("charge", 0) == 0 and op["decay"] == 0:
        return "decay 0, which SpikingJelly does not read"
    return ""


@dataclass(frozen=True)
class _Register:
    """What an op gives: the sum of these nodes, of this shape."""

    nodes: tuple[str, ...]
    shape: Shape
    flat: bool


class _Graph:
    def __init__(self, nir: Any, net: TracedNetwork, dt: float) -> None:
        self.nir, self.net, self.dt = nir, net, dt
        shape = cast("Shape", tuple(net.shape))
        self.nodes: dict[str, Any] = {"input": nir.Input({"input": np.array(shape)})}
        self.edges: list[tuple[str, str]] = []
        self.known = {0: _Register(("input",), shape, False)}
        for index, op in enumerate(net.graph["ops"]):
            given = [self.known[i] for i in op["in"]]
            self.known[index + 1] = getattr(self, f"_{op['op']}")(index, op, *given)

    def finished(self, metadata: Mapping[str, Any]) -> Any:
        last = self.known[len(self.net.graph["ops"])]
        last = last if last.flat else self._flatten(last)
        self.nodes["output"] = self.nir.Output({"output": np.array(last.shape[:1])})
        self.edges += [(name, "output") for name in last.nodes]
        return self.nir.NIRGraph(nodes=self.nodes, edges=self.edges, metadata=dict(metadata))

    def _put(
        self, name: str, node: Any, given: _Register, shape: Shape, *, flat: bool = False
    ) -> _Register:
        taken, count = name.replace("#", "_"), 1
        while taken in (*self.nodes, "output"):
            count += 1
            taken = f"{name}_{count}".replace("#", "_")
        self.nodes[taken] = node
        self.edges += [(source, taken) for source in given.nodes]
        return _Register((taken,), shape, flat)

    def _full(self, given: _Register, value: float) -> Any:
        return np.full(given.shape[:1] if given.flat else given.shape, value, np.float32)

    def _flatten(self, given: _Register) -> _Register:
        size = int(np.prod(given.shape))
        # counted from the end, because readers do not agree on whether axis 0 is the batch
        node = self.nir.Flatten({"input": np.array(given.shape)}, -3, -1)
        return self._put("flatten", node, given, (size, 1, 1), flat=True)

    # ---- layers

    def _synapse(self, index: int, op: Mapping[str, Any], given: _Register) -> _Register:
        layer = cast("Any", self.net.get_submodule(self.net.path(index)))
        weight, bias = folded(layer, None)
        if isinstance(layer, nn.Linear):
            given = given if given.flat else self._flatten(given)
            shape = (layer.out_features, 1, 1)
            return self._put(op["name"], self.nir.Affine(weight, bias), given, shape, flat=True)
        size = zip(
            given.shape[1:],
            layer.kernel_size,
            layer.stride,
            layer.padding,
            layer.dilation,
            strict=True,
        )
        height, width = ((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in size)
        node = self.nir.Conv2d(
            given.shape[1:],
            _dense(weight, layer.groups),
            layer.stride,
            layer.padding,
            layer.dilation,
            1,
            bias,
        )
        return self._put(op["name"], node, given, (layer.out_channels, height, width))

    def _norm(self, index: int, op: Mapping[str, Any], given: _Register) -> _Register:
        """BatchNorm goes into the layer before it, where nothing else reads that."""
        norm = cast("Any", self.net.get_submodule(self.net.path(index)))
        a, b = (part.detach().cpu().double().numpy() for part in scale_and_shift(norm))
        if self._joined(op, given, a, b):
            return given
        weight, bias = a.astype(np.float32), b.astype(np.float32)
        if given.flat:
            node = self.nir.Affine(np.diag(weight), bias)
        else:
            wide = np.diag(weight)[:, :, None, None]
            node = self.nir.Conv2d(given.shape[1:], wide, 1, 0, 1, 1, bias)
        return self._put(op["name"], node, given, given.shape, flat=given.flat)

    def _joined(self, op: Mapping[str, Any], given: _Register, a: Any, b: Any) -> bool:
        """Make ``a x + b`` a part of the layer before, where nothing else reads that."""
        before = self.nodes[given.nodes[0]]
        readers = sum(op["in"][0] in other["in"] for other in self.net.graph["ops"])
        alone = len(given.nodes) == 1 and readers == 1
        if not alone or not isinstance(before, self.nir.Conv2d | self.nir.Affine):
            return False
        wide = a.reshape(-1, *[1] * (before.weight.ndim - 1))
        before.weight = (before.weight.astype(float) * wide).astype(np.float32)
        before.bias = (before.bias.astype(float) * a + b).astype(np.float32)
        return True

    def _avgpool(self, index: int, op: Mapping[str, Any], given: _Register) -> _Register:
        kernel, stride, padding = (np.array(op[key]) for key in ("kernel", "stride", "padding"))
        height, width = (np.array(given.shape[1:]) + 2 * padding - kernel) // stride + 1
        node = self.nir.AvgPool2d(kernel, stride, padding)
        return self._put(f"pool{index + 1}", node, given, (given.shape[0], int(height), int(width)))

    def _mean(self, index: int, op: Mapping[str, Any], given: _Register) -> _Register:
        if not op["positions"] or given.flat:
            return given
        sides = list(given.shape[1:])
        window = {"kernel": sides, "stride": sides, "padding": [0, 0]}
        return self._avgpool(index, window, given)

    def _vote(self, index: int, op: Mapping[str, Any], given: _Register) -> _Register:
        given = given if given.flat else self._flatten(given)
        count, size = given.shape[0] // op["size"], op["size"]
        weight = np.repeat(np.eye(count, dtype=np.float32), size, axis=1) / np.float32(size)
        node = self.nir.Affine(weight, np.zeros(count, np.float32))
        return self._put(f"vote{index + 1}", node, given, (count, 1, 1), flat=True)

    def _scale(self, index: int, op: Mapping[str, Any], given: _Register) -> _Register:
        if self._joined(op, given, np.full(given.shape[0], op["factor"]), 0.0):
            return given
        node = self.nir.Scale(self._full(given, op["factor"]))
        return self._put(f"scale{index + 1}", node, given, given.shape, flat=given.flat)

    def _add(
        self, index: int, op: Mapping[str, Any], one: _Register, other: _Register
    ) -> _Register:
        """Edges that end at one node are summed."""
        del op
        if one.flat != other.flat:
            one, other = (r if r.flat else self._flatten(r) for r in (one, other))
        if set(one.nodes) & set(other.nodes):
            node = self.nir.Scale(self._full(other, 1.0))
            other = self._put(f"sum{index + 1}", node, other, other.shape, flat=other.flat)
        return _Register((*one.nodes, *other.nodes), one.shape, one.flat)

    # ---- neurons

    def _neuron(self, index: int, op: Mapping[str, Any], given: _Register) -> _Register:
        threshold = np.float32(op["v_threshold"])
        if op.get("strict"):
            threshold = np.nextafter(threshold, np.float32(np.inf))
        name = op.get("name") or f"activation{index}"
        if op["kind"] == "step":
            node = self.nir.Threshold(self._full(given, float(threshold)))
            return self._put(name, node, given, given.shape, flat=given.flat)
        keep, r = self._rates(op)
        fires = {
            "v_threshold": self._full(given, float(threshold)),
            "v_reset": self._full(given, 0.0),
        }
        if keep == 1.0:
            node = self.nir.IF(r=self._full(given, r / self.dt), **fires)
        else:
            node = self.nir.LIF(
                tau=self._full(given, self.dt / (1 - keep)),
                r=self._full(given, r / (1 - keep)),
                v_leak=self._full(given, 0.0),
                **fires,
            )
        return self._put(name, node, given, given.shape, flat=given.flat)

    def _rates(self, op: Mapping[str, Any]) -> tuple[float, float]:
        """``a, b`` of ``v = a v + b z``."""
        charge = int(op.get("charge", 0))
        decay, tau = float(op.get("decay", 0.0)), float(op.get("tau", 1.0))
        charged: Sequence[tuple[float, float]] = (
            (decay, 1.0),
            (1 - 1 / tau, 1.0),
            (1 - 1 / tau, 1 / tau),
            (1 - decay, decay),
            (1 - decay, 1.0),
        )
        return charged[charge]

    def _leak(self, index: int, op: Mapping[str, Any], given: _Register) -> _Register:
        keep = 1 + op["rate"] if op.get("own") else op["rate"]
        if keep == 1.0:
            node = self.nir.I(r=self._full(given, 1 / self.dt))
        else:
            node = self.nir.LI(
                tau=self._full(given, self.dt / (1 - keep)),
                r=self._full(given, 1 / (1 - keep)),
                v_leak=self._full(given, 0.0),
            )
        name = op.get("name") or f"leak{index + 1}"
        return self._put(name, node, given, given.shape, flat=given.flat)


def _dense(weight: Any, groups: int) -> Any:
    """A grouped convolution with zeros: NIR's own check of shapes does not count groups."""
    if groups == 1:
        return weight
    cout, cin, *kernel = weight.shape
    dense = np.zeros((groups, cout // groups, groups, cin, *kernel), weight.dtype)
    own = np.arange(groups)
    dense[own, :, own] = weight.reshape(groups, cout // groups, cin, *kernel)
    return dense.reshape(cout, groups * cin, *kernel)
