"""Tickets whose float weights are whole numbers of 8 bits: quantised after training.

One scale for each output channel, symmetric, the largest weight at 127, to the nearest, of equals
the even (Krishnamoorthi, arXiv 1806.08342, section 3.1). Nothing is trained. A layer on spikes adds
whole numbers then, which is exact, and multiplies once by the channel's scale. Needs no PyTorch.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import numpy as np

from spiketicket.machine.typed import typed
from spiketicket.ticket import Ticket, TicketError, as_ticket
from spiketicket.ticket.layer import MAX_CODE, TicketLayer

if TYPE_CHECKING:
    from numpy.typing import NDArray

_WEIGHT = ".weight"
_OF_OTHER_WEIGHTS = ("accuracy", "verdict", "early_exit", "operations")
"""Metadata that were measured with the float weights."""


@typed
def quantised(
    ticket: Ticket | str | os.PathLike[str], *, layers: Iterable[str] | None = None
) -> Ticket:
    """The ticket with int8 weights of one float32 scale an output channel; masks stay.

    ``layers`` are names, or patterns such as ``"encoder.*"``; None takes every layer with float
    weights, pruned or not. Binary layers stay as they are, at one bit per weight. What the ticket
    states of its accuracy, verdict and early exit is of the float weights, and is left out.

    Raises:
        TicketError: there is no such layer, a layer's range is degenerate (all weights are 0, or
            one is no finite number), or no layer has float weights.
    """
    ticket = as_ticket(ticket)
    found = _float_layers(ticket)
    chosen = _chosen(ticket, found, layers)
    made = {name: _codes(name, *found[name]) for name in chosen}
    own = [made.pop(layer.name, layer) for layer in ticket.layers]
    tensors = {k: v for k, v in ticket.tensors.items() if k.removesuffix(_WEIGHT) not in made}
    metadata: dict[str, Any] = {
        key: value for key, value in ticket.metadata.items() if key not in _OF_OTHER_WEIGHTS
    }
    metadata["quantised"] = {"layers": list(chosen), "of": ticket.digest()}
    return Ticket((*own, *made.values()), tensors, metadata)


def _float_layers(ticket: Ticket) -> dict[str, tuple[NDArray[np.float32], NDArray[np.bool_]]]:
    """Weight and mask of every layer with float weights, by name."""
    found = {
        layer.name: (layer.values, layer.mask)
        for layer in ticket.layers
        if layer.values is not None
    }
    for key, tensor in ticket.tensors.items():
        if key.endswith(_WEIGHT) and tensor.ndim >= 2 and tensor.dtype == np.float32:
            found[key.removesuffix(_WEIGHT)] = (tensor, np.ones(tensor.shape, np.bool_))
    return found


def _chosen(
    ticket: Ticket, found: Mapping[str, object], layers: Iterable[str] | None
) -> tuple[str, ...]:
    remedy = f"There are {', '.join(found) or 'none'}"
    if layers is None:
        if not found:
            raise TicketError("has no layer with float weights", where="quantise", remedy=remedy)
        return tuple(found)
    patterns = (layers,) if isinstance(layers, str) else tuple(layers)
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in found):
            kinds = {layer.name: layer.kind for layer in ticket.layers}
            what = f"is {kinds[pattern]} already" if pattern in kinds else "is no float layer"
            raise TicketError(what, where="layers", value=pattern, remedy=remedy)
    if not patterns:
        raise TicketError("names no layer", where="layers", remedy=remedy)
    return tuple(name for name in found if any(fnmatchcase(name, p) for p in patterns))


def _codes(name: str, weight: NDArray[np.float32], mask: NDArray[np.bool_]) -> TicketLayer:
    """The layer with codes in place of values."""
    rows = weight.reshape(len(weight), -1)
    most = np.abs(rows).max(axis=1)
    if not np.isfinite(most).all():
        raise TicketError("cannot be quantised: a weight is no finite number", where=name)
    tiny = np.finfo(np.float32).tiny
    scales: NDArray[np.float32] = np.asarray(most / np.float32(MAX_CODE), np.float32)
    if not scales.max() > tiny:
        what = "cannot be quantised: its range is degenerate, all its weights are 0 or next to it"
        raise TicketError(what, where=name, remedy="Leave it out of the layers to quantise")
    scales[scales <= tiny] = 1  # of a channel without weights
    codes = np.rint(rows.astype(np.float64) / scales[:, None]).clip(-MAX_CODE, MAX_CODE)
    codes = codes.astype(np.int8).reshape(weight.shape)
    return TicketLayer(
        name=name, shape=weight.shape, kind="int8", mask=mask.copy(), codes=codes, scales=scales
    )
