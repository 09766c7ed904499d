"""NIR, the Neuromorphic Intermediate Representation (Pedersen et al., Nature Communications 2024).

    input -> Conv2d -> LIF (-> AvgPool2d) -> ... -> Flatten -> Affine -> LIF -> ... -> output

One pass through the graph is one time step; the answer is the mean of the output over the steps.
BatchNorm is folded into the weights, every neuron parameter is an array of the layer's full shape,
and a static image is the input of every step. With dt = 0.1 ms the LIF neuron of ``lif.py`` is

    tau = dt / (1 - decay),  r = tau / dt (``decay_input``: 1),  v_leak = v_reset = 0

Left out by NIR itself are max pooling, products of activations (attention), soft reset and other
activations than LIF. Sums of branches (residuals) NIR has, but SpikingJelly and snnTorch were not
found to read them reliably. All of that is refused by the layer's name.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import numpy as np
from torch import Tensor, nn

from spiketicket.errors import UserError
from spiketicket.export.folding import folded
from spiketicket.export.needs import needed
from spiketicket.export.nir_traced import graph_refusals, nir_of_graph
from spiketicket.machine.files import explained
from spiketicket.machine.typed import typed
from spiketicket.models.blocks import Block, DataShape
from spiketicket.models.conv_pep import ConvPEP
from spiketicket.models.convnet import ConvNet
from spiketicket.models.encoder import encoder_of
from spiketicket.models.resnet19 import Residual
from spiketicket.models.traced.network import TracedNetwork
from spiketicket.models.transformer_blocks import SpikeDrivenProduct, SpikingProduct
from spiketicket.models.vgg9 import VGG9
from spiketicket.neurons.lif import LIF, Config
from spiketicket.recipe.shapes import ENCODER, FILTERS

DT_S = 1e-4
"""Seconds per time step: what SpikingJelly and snnTorch read a graph with."""


@typed
def to_nir(model: nn.Module, shape: DataShape, metadata: Mapping[str, Any] | None = None) -> Any:
    """The ``nir.NIRGraph`` of a network in evaluation mode.

    Args:
        model: as ``spiketicket.from_ticket`` makes it: ``vgg9`` or ``convnet`` with LIF neurons
            of hard reset to 0, halved by average pooling or strided convolutions; or a custom
            network of the parts that NIR has.
        shape: what it was built for.
        metadata: texts and numbers to put into the graph.

    Raises:
        UserError: NIR cannot represent a layer; names every one. Or ``nir`` is not installed.
    """
    nir = needed("nir", "nir")
    if isinstance(model, TracedNetwork):
        return nir_of_graph(nir, model, {"dt_s": DT_S, **(metadata or {})}, DT_S)
    if problems := refusals(model):
        raise UserError(
            f"NIR cannot represent {'; '.join(problems)}",
            where="export",
            remedy="Of the networks here, vgg9 and convnet with LIF neurons, v_reset 0,"
            " model.pooling average or stride, model.encoder none or whiten-lif can be exported",
        )
    graph = _Chain(nir, (shape.channels, shape.height, shape.width))
    if (encoder := encoder_of(model)) is not None:
        graph.synapse(FILTERS, encoder.convolution(), None)
        graph.neuron(f"{ENCODER}.neuron", encoder.neuron)
    for name in ("features", "hidden"):
        for index, block in enumerate(getattr(model, name, ())):
            graph.block(f"{name}.{index}", block)
    graph.flatten()
    graph.synapse("classifier", cast("Any", model).classifier, None)
    return graph.finished({"dt_s": DT_S, **(metadata or {})})


@typed
def write_nir(graph: Any, path: Path | str) -> None:
    """Write a graph as an HDF5 file, whole or not at all.

    Raises:
        UserError: it cannot be written, or ``nir`` is not installed.
    """
    nir = needed("nir", "nir")
    path = Path(path)
    temporary = path.with_name(f".{path.name}.tmp")
    with explained(path, "path"):
        try:
            nir.write(temporary, graph)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@typed
def read_nir(path: Path | str) -> Any:
    """The graph in a file.

    Raises:
        UserError: it cannot be read, or ``nir`` is not installed.
    """
    nir = needed("nir", "nir")
    with explained(Path(path), "path"):
        return nir.read(path)


def refusals(model: nn.Module) -> list[str]:
    """What of a network NIR cannot represent, ``"layer (reason)"`` each; empty if all can be."""
    if isinstance(model, TracedNetwork):
        return graph_refusals(model)
    found = []
    for name, module in model.named_modules():
        if reason := _reason(module):
            found.append(f"{name or type(model).__name__} ({reason})")
    if not found and not isinstance(model, VGG9 | ConvNet):
        found.append(f"{type(model).__name__} (not a chain of layers this package knows)")
    return found


_REASONS: dict[type[nn.Module], str] = {
    Residual: "a residual sum of two branches",
    ConvPEP: "max pooling and a residual sum",
    SpikingProduct: "attention, a product of activations",
    SpikeDrivenProduct: "attention, a product of activations",
}


def _reason(module: nn.Module) -> str:
    if reason := _REASONS.get(type(module)):
        return reason
    if isinstance(module, Block) and module.pool and not module.average:
        return "max pooling"
    if isinstance(module, LIF):
        return _lif_reason(module.config)
    if type(module).__module__.startswith("spiketicket.neurons."):
        return f"the activation {type(module).__name__.lower()}"
    return ""


def _lif_reason(config: Config) -> str:
    if config.v_reset == "soft":
        return "soft reset"
    if config.v_reset != 0:
        return f"reset to {config.v_reset}, which snnTorch does not read"
    if config.decay == 0:
        return "decay 0, which SpikingJelly does not read"
    return ""


class _Chain:
    """A graph that grows at its end; knows the shape ``[C, H, W]`` or ``[F]`` that comes out."""

    def __init__(self, nir: Any, shape: tuple[int, ...]) -> None:
        self.nir, self.shape = nir, shape
        self.nodes: dict[str, Any] = {"input": nir.Input({"input": np.array(shape)})}

    def block(self, name: str, block: Block) -> None:
        if isinstance(block.synapse, nn.Linear):
            self.flatten()
        self.synapse(f"{name}.synapse", block.synapse, block.norm)
        self.neuron(f"{name}.neuron", block.neuron)
        if block.average:
            channels, height, width = self.shape
            two, none = np.array([2, 2]), np.array([0, 0])
            self.nodes[f"{name}.pool"] = self.nir.AvgPool2d(two, two, none)
            self.shape = (channels, height // 2, width // 2)

    def neuron(self, name: str, neuron: nn.Module) -> None:
        self.nodes[name] = _lif(self.nir, cast("LIF", neuron).config, self.shape)

    def synapse(
        self, name: str, layer: nn.Conv2d | nn.Linear, norm: nn.BatchNorm1d | nn.BatchNorm2d | None
    ) -> None:
        weight, bias = folded(layer, norm)
        if isinstance(layer, nn.Linear):
            self.nodes[name] = self.nir.Affine(weight, bias)
            self.shape = (layer.out_features,)
            return
        height, width = self.shape[1:]
        stride, padding, dilation = (
            cast("tuple[int, int]", getattr(layer, key))
            for key in ("stride", "padding", "dilation")
        )
        self.nodes[name] = self.nir.Conv2d(
            (height, width), weight, stride, padding, dilation, layer.groups, bias
        )
        size = zip(self.shape[1:], layer.kernel_size, stride, padding, dilation, strict=True)
        after = tuple((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in size)
        self.shape = (layer.out_channels, *after)

    def flatten(self) -> None:
        if len(self.shape) == 3:
            # Counted from the end, because readers do not agree on whether axis 0 is the batch.
            self.nodes["flatten"] = self.nir.Flatten({"input": np.array(self.shape)}, -3, -1)
            self.shape = (int(np.prod(self.shape)),)

    def finished(self, metadata: Mapping[str, Any]) -> Any:
        self.nodes["output"] = self.nir.Output({"output": np.array(self.shape)})
        names = list(self.nodes)
        edges = list(pairwise(names))
        return self.nir.NIRGraph(nodes=self.nodes, edges=edges, metadata=dict(metadata))


def _lif(nir: Any, config: Config, shape: tuple[int, ...]) -> Any:
    def full(value: float) -> Tensor:
        # float32: dt / tau is then exact for decay 0.5 in both readers.
        return np.full(shape, value, np.float32)  # type: ignore[return-value]

    tau = DT_S * config.tau
    r = 1.0 if config.decay_input else config.tau
    return nir.LIF(
        tau=full(tau),
        r=full(r),
        v_leak=full(0.0),
        v_threshold=full(config.v_threshold),
        v_reset=full(0.0),
    )
