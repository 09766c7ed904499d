"""Ticket to program: one file a network, named as in ``models/``; no PyTorch.

A file has ``compile_network(net, model)``, which adds the network's ops to ``net`` and reads its
settings from ``model``.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from spiketicket.engine.compile.net import Net
from spiketicket.engine.compile.settings import Table, read_neuron
from spiketicket.engine.compile.traced import compile_graph
from spiketicket.engine.program import MAX_STEPS, Program
from spiketicket.errors import UserError
from spiketicket.recipe.shapes import DataShape, Encoder
from spiketicket.ticket import Ticket, TicketError
from spiketicket.ticket.schema import has_layers

__all__ = ["compile_ticket", "normalisation", "supported_networks"]


def supported_networks() -> tuple[str, ...]:
    """The networks whose tickets can be compiled."""
    files = Path(__file__).parent.glob("*.py")
    return tuple(sorted(f.stem for f in files if b"\ndef compile_network(" in f.read_bytes()))


def compile_ticket(ticket: Ticket) -> Program:
    """The program that computes what ``spiketicket.from_ticket(ticket)`` computes.

    Registers are named by the modules of the network: ``features.0.neuron``.

    Raises:
        TicketError: it names no network of this package, or its arrays do not fit.
        UserError: the network does something that has no program; says what and what to do.
    """
    network = ticket.metadata.get("network")
    if isinstance(network, dict) and has_layers(ticket.metadata):
        return compile_graph(ticket, network["graph"], lambda channels: _table(ticket, channels))
    name, args = _network(ticket)
    neuron = read_neuron(Table(args.get("neuron"), "neuron"))
    shape = _shape(Table(args.get("shape"), "network.args.shape"))
    model = Table(args.get("model"), "model")
    model.ignore("name", "weights", "bn_affine")
    steps = model.whole("timesteps", 4, low=1, high=64)
    if steps > MAX_STEPS:
        raise UserError(
            f"the engine runs at most {MAX_STEPS} time steps",
            where="model.timesteps",
            value=steps,
            remedy='Evaluate this ticket with PyTorch: "spiketicket eval"',
        )
    net = Net(ticket, shape, steps, neuron, _table(ticket, shape.channels))
    net.encode(model.text("encoder", get_args(Encoder), "none"))
    importlib.import_module(f"{__name__}.{name}").compile_network(net, model)
    model.done()
    return net.program()


def normalisation(ticket: Ticket, channels: int) -> tuple[NDArray[np.float32], ...] | None:
    """Scale and shift float32 ``[channels]`` of raw values, or None where the ticket has none.

    The two constants and the two operations are those of ``data._augment.normalise``.
    """
    given = ticket.metadata.get("normalisation")
    if not isinstance(given, dict):
        return None
    mean, std = (_numbers(given.get(key), channels, key) for key in ("mean", "std"))
    if min(std) <= 0:
        raise TicketError("must be > 0", where="normalisation.std", value=std)
    scale = np.array([1 / (255 * s) for s in std], np.float32)
    shift = np.array([-m / s for m, s in zip(mean, std, strict=True)], np.float32)
    return scale, shift


def _table(ticket: Ticket, channels: int) -> NDArray[np.float32] | None:
    constants = normalisation(ticket, channels)
    if constants is None:
        return None
    scale, shift = constants
    values = np.arange(256, dtype=np.float32)
    table: NDArray[np.float32] = values * scale[:, None] + shift[:, None]
    return table


def _network(ticket: Ticket) -> tuple[str, Mapping[str, Any]]:
    network = ticket.metadata.get("network")
    name = network.get("name") if isinstance(network, dict) else None
    args = network.get("args") if isinstance(network, dict) else None
    known = supported_networks()
    if isinstance(network, dict) and isinstance(reason := network.get("untraced"), str):
        raise TicketError(
            f"its network cannot be run without PyTorch: {reason}",
            value=name,
            remedy="Change that layer, or run it with spiketicket.load_into(model, ticket)",
        )
    if not isinstance(args, dict) or name not in known:
        raise TicketError(
            "its network cannot be run without PyTorch",
            value=name,
            remedy=f"The engine knows {', '.join(known)}; run a custom network with "
            "spiketicket.load_into(model, ticket)",
        )
    return str(name), args


def _shape(table: Table) -> DataShape:
    sides = [table.whole(key, low=1, high=65536) for key in ("channels", "height", "width")]
    classes = table.whole("classes", low=1, high=65536)
    frames = table.whole("frames", 1, low=1, high=64)
    table.done()
    return DataShape(
        channels=sides[0], height=sides[1], width=sides[2], classes=classes, frames=frames
    )


def _numbers(given: object, count: int, key: str) -> list[float]:
    where = f"normalisation.{key}"
    if not isinstance(given, list) or len(given) != count:
        raise TicketError(f"must be {count} numbers, one per channel", where=where, value=given)
    if not all(type(v) in (int, float) and math.isfinite(v) for v in given):
        raise TicketError("must be finite numbers", where=where, value=given)
    return [float(v) for v in given]
