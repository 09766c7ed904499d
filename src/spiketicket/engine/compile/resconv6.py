"""The program of ``models/resconv6.py``."""

from __future__ import annotations

from spiketicket.engine import ops
from spiketicket.engine.compile.net import Net
from spiketicket.engine.compile.settings import Table
from spiketicket.recipe.shapes import resconv6_pools


def compile_network(net: Net, model: Table) -> None:
    """Six convolutions in pairs, a linear classifier on the mean over positions and steps."""
    model.ignore("width", "channels")
    shortcuts = model.flag("shortcuts", False)
    norm = "logit_norm" if model.flag("logit_norm", True) else ""
    x, current = net.input, 0
    for i, pooled in enumerate(resconv6_pools(net.shape)):
        name, before = f"features.{i}", current
        current = net.synapse(
            f"{name}.synapse", x, norm=f"{name}.norm", pad=1, pool=2 if pooled else 1
        )
        joined = (before,) if shortcuts and i % 2 else ()
        x = net.fire(net.neuron, f"{name}.neuron", current, *joined)
    x = net.builder.add(ops.Mean, x, time=True, positions=True)
    net.synapse("classifier", x, norm=norm, flatten=True)
