"""The program of ``models/convnet.py``."""

from __future__ import annotations

from spiketicket.engine import ops
from spiketicket.engine.compile.net import Net
from spiketicket.engine.compile.settings import Table
from spiketicket.recipe.shapes import convnet_pools


def compile_network(net: Net, model: Table) -> None:
    """Three convolutions and a linear classifier."""
    model.ignore("width", "channels")
    x = net.conv_blocks(model, net.input, convnet_pools(net.shape))
    x = net.builder.add(ops.Mean, x, time=True, positions=False)
    net.synapse("classifier", x, flatten=True)
