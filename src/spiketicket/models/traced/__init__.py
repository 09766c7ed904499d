"""A custom network as a graph of layers, found by calling it once and watching what it does.

    graph = traced(model, x, forward, batch=0).graph

The graph is plain JSON, is kept in the ticket (``network.graph``) and needs no code of the network:
``engine/compile/traced.py`` makes a program of it. A network may be written for ``[T, B, ...]`` or
step by step: what is done alike at every step is one layer of the graph.

- ``recorder.py``: calls the network, and follows its tensors.
- ``functions.py``: what torch's functions do to a followed tensor.
- ``axes.py``: which axes of a tensor are time, batch, channels, height and width.
- ``neurons.py``: the neurons of this package, SpikingJelly, snnTorch and norse.
"""

from spiketicket.models.traced.recorder import Trace, traced

__all__ = ["Trace", "traced"]
