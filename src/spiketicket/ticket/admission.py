"""Whether a ticket file may be read: judged by its header alone, before an array is decoded."""

from __future__ import annotations

import math
from collections.abc import Container, Mapping
from typing import Any, Final

from spiketicket.errors import UserError, argument
from spiketicket.machine.bounded import MEMORY_VARIABLE
from spiketicket.recipe.shapes import FILTERS
from spiketicket.recipe.weight_shapes import Shape, Weights
from spiketicket.ticket import codec
from spiketicket.ticket.codec import MAX_WEIGHTS, TicketError
from spiketicket.ticket.schema import (
    FILE_SCHEMA,
    check_metadata,
    network_encoder,
    network_weights,
)

BYTES_A_WEIGHT: Final = 40
"""Of memory that reading takes at most, for every weight of a layer that the header declares."""
_BYTES_A_BYTE: Final = 3
"""The file's content, its arrays, and the ticket's own copies of them."""
MISFIT: Final = "its arrays do not fit the network it names"


def checked(metadata: dict[str, Any]) -> dict[str, Any]:
    """The metadata of a header, if it is what a ticket's must be.

    Raises:
        TicketError: names the first key that is off.
    """
    FILE_SCHEMA.check(metadata, "")
    check_metadata(metadata)
    return metadata


def admit(metadata: dict[str, Any], arrays: Mapping[str, Any], size: int, max_memory: int) -> None:
    """Refuse a file of ``size`` bytes whose header is off, or declares more than there may be.

    ``arrays`` are the names of those that it has.

    Raises:
        TicketError: a key of the metadata is off, the layers are not those of the network it
            names, or reading it would take more than ``max_memory`` bytes of memory.
    """
    checked(metadata)
    layers = _declared(metadata.get("layers", []))
    weights = sum(map(math.prod, layers.values()))
    if weights > MAX_WEIGHTS:
        raise TicketError(f"a ticket has at most {MAX_WEIGHTS} weights", value=weights)
    check_weights(metadata, layers, {name.removeprefix("state/") for name in arrays})
    needed = BYTES_A_WEIGHT * weights + _BYTES_A_BYTE * size
    if needed > max_memory:
        raise TicketError(
            f"may take {needed} bytes of memory to read, more than the {max_memory} allowed",
            value=f"{weights} weights",
            remedy=f"Allow more: {argument(MEMORY_VARIABLE, f'{(needed >> 20) + 1}MiB')}",
        )


def check_weights(
    metadata: Mapping[str, Any], layers: Mapping[str, Shape], others: Container[str]
) -> None:
    """Compare pruned ``layers`` and the keys of the ``others`` with the network that is named.

    Raises:
        TicketError: a weight or an encoder's filters are missing, or a weight has another shape
            than the network's.
    """
    if network_encoder(metadata) != "none" and FILTERS not in others:
        raise TicketError(MISFIT, where=FILTERS, value=metadata["network"].get("name"))
    weights = network_weights(metadata)
    if weights is None:
        return
    try:
        wrong = _first_difference(weights, layers, others)
    except UserError as error:  # of the settings and the image
        raise TicketError(MISFIT, where=error.where, value=error.value) from error
    if wrong:
        raise TicketError(MISFIT, where=wrong, value=metadata["network"]["name"])


def _first_difference(weights: Weights, layers: Mapping[str, Shape], others: Container[str]) -> str:
    """Looks at no more weights than are present, and one."""
    left = dict(layers)
    for name, shape in weights:
        declared = left.pop(name, None)
        # What is not pruned lies in the state dict whole, where its shape is compared later.
        if declared != shape and (declared is not None or f"{name}.weight" not in others):
            return name
    return next(iter(left), "")


def _declared(entries: object) -> dict[str, Shape]:
    """The layers of a header by name. What makes no sense is left to who reads it."""
    found = {}
    for entry in entries if isinstance(entries, list) else []:
        table = entry if isinstance(entry, dict) else {}
        name, shape = table.get("name"), table.get("shape")
        if isinstance(name, str) and isinstance(shape, list):
            codec.entry_count(shape, name)
            found[name] = tuple(shape)
    return found
