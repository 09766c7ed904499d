"""The program of ``models/resnet19.py``."""

from __future__ import annotations

from spiketicket.engine import ops
from spiketicket.engine.compile.net import Net
from spiketicket.engine.compile.settings import Table
from spiketicket.recipe.shapes import resnet19_strides


def compile_network(net: Net, model: Table) -> None:
    """A stem, eight residual blocks, one hidden linear layer, a linear classifier."""
    model.ignore("width")
    x = net.block("stem", net.input, pad=1)
    for i, stride in enumerate(resnet19_strides(model.whole("first_stride", 1, low=1, high=2))):
        x = _residual(net, f"blocks.{i}", x, stride)
    x = net.builder.add(ops.Mean, x, time=False, positions=True)
    x = net.block("hidden", x)
    x = net.builder.add(ops.Mean, x, time=True, positions=False)
    net.synapse("classifier", x, flatten=True)


def _residual(net: Net, name: str, x: int, stride: int) -> int:
    h = net.block(f"{name}.first", x, pad=1, stride=stride)
    h = net.synapse(f"{name}.second", h, norm=f"{name}.norm", pad=1)
    if net.has(f"{name}.shortcut"):
        x = net.synapse(f"{name}.shortcut", x, norm=f"{name}.shortcut_norm", stride=stride)
    return net.fire(net.neuron, f"{name}.neuron", h, x)
