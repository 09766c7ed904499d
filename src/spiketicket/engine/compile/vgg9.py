"""The program of ``models/vgg9.py``."""

from __future__ import annotations

from spiketicket.engine import ops
from spiketicket.engine.compile.net import Net
from spiketicket.engine.compile.settings import Table
from spiketicket.recipe.shapes import vgg9_pools


def compile_network(net: Net, model: Table) -> None:
    """Six convolutions, two hidden linear layers, a linear classifier."""
    model.ignore("width", "hidden", "channels")
    pools = model.maybe_whole("pools", low=3, high=6)
    x = net.conv_blocks(model, net.input, vgg9_pools(net.shape, pools))
    for i in range(2):
        x = net.block(f"hidden.{i}", x)
    x = net.builder.add(ops.Mean, x, time=True, positions=False)
    net.synapse("classifier", x, flatten=True)
