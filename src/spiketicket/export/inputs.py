"""Inputs to check an export on: the ticket's own test data, or noise where that is not here."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from spiketicket.data.of_ticket import find_test_data
from spiketicket.errors import UserError, argument
from spiketicket.machine.bounded import MEMORY_VARIABLE, max_memory
from spiketicket.models.blocks import DataShape
from spiketicket.streams import Stream
from spiketicket.ticket import Ticket, TicketError

_BYTES_A_VALUE = 16
"""Of an input that is drawn, while it becomes a tensor."""


def shape_of(ticket: Ticket) -> DataShape:
    """What a ticket's network was built for.

    Raises:
        TicketError: it does not say.
    """
    try:
        shape = cast("dict[str, Any]", ticket.metadata["network"])["args"]["shape"]
        return DataShape(**{key: int(value) for key, value in shape.items()})
    except (KeyError, TypeError, ValueError) as error:
        raise TicketError("does not say what its network was built for") from error


def check_inputs(
    ticket: Ticket, path: Path | str, count: int, *, root: str = ""
) -> tuple[Tensor, str]:
    """Normalised inputs ``[B, C, H, W]`` or ``[T, B, C, H, W]``, and where they are from.

    The first ``count`` test samples, or seeded noise of variance 1 where the data is not here.
    """
    shape = shape_of(ticket)
    try:
        data = find_test_data(ticket, path, root=root)
        parts = [x for x, _ in data.batches("cpu", count)]
    except UserError:
        size: tuple[int, ...] = (count, shape.channels, shape.height, shape.width)
        size = size if shape.frames == 1 else (shape.frames, *size)
        if _BYTES_A_VALUE * math.prod(size) > max_memory():
            raise UserError(
                "inputs of that size do not fit into the memory allowed",
                where=argument("samples"),
                value=f"{count} of {math.prod(size) // count} values",
                remedy=f"Give fewer, or allow more: {argument(MEMORY_VARIABLE)}",
            ) from None
        noise = Stream(0, "check inputs").normal(math.prod(size))
        return torch.from_numpy(noise.reshape(size)).float(), "noise: the ticket's data is not here"
    axis = 1 if parts[0].dim() == 5 else 0
    return torch.cat(parts, axis), f"test samples of {data.dataset.name}"


def facts_of(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """What a user of the exported network has to know, as JSON: normalisation, classes, origin."""

    def name(section: str) -> object:
        table = metadata.get(section)
        return table.get("name") if isinstance(table, dict) else None

    found = {
        "made by": "spiketicket",
        "network": name("network"),
        "data": name("data"),
        "recipe": name("recipe"),
        "recipe hash": metadata.get("recipe_hash"),
        "seed": metadata.get("seed"),
        "normalisation": metadata.get("normalisation"),
        "classes": metadata.get("classes"),
        "accuracy": metadata.get("accuracy"),
    }
    return {key: value for key, value in found.items() if value is not None}


def plain_text(value: object) -> str:
    """A text as it is, and anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value)
