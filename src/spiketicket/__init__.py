"""Find the winning lottery ticket inside a spiking neural network, prove it, and ship it."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spiketicket.bake import from_ticket, load_into
    from spiketicket.engine.engine import Engine
    from spiketicket.own_network import reset_state, search
    from spiketicket.recipe import load_recipe
    from spiketicket.run import evaluate_ticket, find, train_dense
    from spiketicket.ticket import Ticket, read_metadata

__version__ = "0.2.0"

_HOME = {
    "Engine": "engine.engine",
    "Ticket": "ticket",
    "evaluate_ticket": "run",
    "find": "run",
    "from_ticket": "bake",
    "load_into": "bake",
    "load_recipe": "recipe",
    "read_metadata": "ticket",
    "reset_state": "own_network",
    "search": "own_network",
    "train_dense": "run",
}

__all__ = [
    "Engine",
    "Ticket",
    "evaluate_ticket",
    "find",
    "from_ticket",
    "load_into",
    "load_recipe",
    "read_metadata",
    "reset_state",
    "search",
    "train_dense",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: reading a ticket must not import torch."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
