"""The program of ``models/sdt.py``."""

from __future__ import annotations

from spiketicket.engine.compile._transformer import compile_transformer
from spiketicket.engine.compile.net import Net
from spiketicket.engine.compile.settings import Table


def compile_network(net: Net, model: Table) -> None:
    """Tokens, encoder, head: see :func:`compile_transformer`."""
    compile_transformer(net, model, membrane=True)
