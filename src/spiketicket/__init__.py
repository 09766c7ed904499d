"""Find a lottery ticket inside a spiking neural network, test whether it wins, and ship it."""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING, Any

from spiketicket._version import __version__ as __version__
from spiketicket.machine import cores

if TYPE_CHECKING:
    from spiketicket.compare.methods import compare_methods
    from spiketicket.engine.engine import Engine
    from spiketicket.experiment.attach import Search, attach
    from spiketicket.experiment.classifier import TicketClassifier
    from spiketicket.experiment.evaluate import evaluate_ticket
    from spiketicket.experiment.find import find, train_dense
    from spiketicket.experiment.search import reset_state, search
    from spiketicket.experiment.tensorboard import TensorBoard
    from spiketicket.experiment.traced import with_graph
    from spiketicket.experiment.whiten import whiten
    from spiketicket.models.of_ticket import from_ticket, load_into, remove_masks, state_dict
    from spiketicket.online.session import live
    from spiketicket.recipe import load_recipe
    from spiketicket.sweep import sweep_recipe
    from spiketicket.ticket import Ticket, read_metadata
    from spiketicket.ticket.int8 import quantised


# The only place that is before PyTorch in every process of ours. Where a program has loaded PyTorch
# already the variables would change nothing, so its environment is left alone.
if "torch" not in sys.modules:
    cores.prepare(os.environ)

_HOME = {
    "Engine": "engine.engine",
    "Search": "experiment.attach",
    "TensorBoard": "experiment.tensorboard",
    "Ticket": "ticket",
    "TicketClassifier": "experiment.classifier",
    "attach": "experiment.attach",
    "compare_methods": "compare.methods",
    "evaluate_ticket": "experiment.evaluate",
    "find": "experiment.find",
    "from_ticket": "models.of_ticket",
    "live": "online.session",
    "load_into": "models.of_ticket",
    "load_recipe": "recipe",
    "quantised": "ticket.int8",
    "read_metadata": "ticket",
    "remove_masks": "models.of_ticket",
    "reset_state": "experiment.search",
    "search": "experiment.search",
    "state_dict": "models.of_ticket",
    "sweep_recipe": "sweep",
    "train_dense": "experiment.find",
    "whiten": "experiment.whiten",
    "with_graph": "experiment.traced",
}

__all__ = [
    "Engine",
    "Search",
    "TensorBoard",
    "Ticket",
    "TicketClassifier",
    "attach",
    "compare_methods",
    "evaluate_ticket",
    "find",
    "from_ticket",
    "live",
    "load_into",
    "load_recipe",
    "quantised",
    "read_metadata",
    "remove_masks",
    "reset_state",
    "search",
    "state_dict",
    "sweep_recipe",
    "train_dense",
    "whiten",
    "with_graph",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: reading a ticket must not import torch."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    """The public names, whether they were used or not."""
    return sorted([*__all__, "__version__"])
