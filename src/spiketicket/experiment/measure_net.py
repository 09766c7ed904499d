"""What one net does with test images: operations, energy, sparsity, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from spiketicket.data.of_ticket import TicketData
from spiketicket.data.types import Dataset, Samples
from spiketicket.errors import UserError, argument
from spiketicket.experiment.provenance import versions
from spiketicket.measure import energy
from spiketicket.measure.activity import Operations
from spiketicket.measure.files import FORMAT, Measured
from spiketicket.measure.observe import observed
from spiketicket.measure.sparsity import LayerSparsity, layer_sparsity, summary
from spiketicket.models.of_ticket import custom_name, from_ticket
from spiketicket.recipe.registry import is_custom
from spiketicket.ticket import Ticket, TicketError
from spiketicket.ticket.codec import of_file
from spiketicket.ticket.schema import has_layers

USUAL_IMAGES = 256
"""First test images that are measured unless a number is given; all of a smaller set."""


def network_of(ticket: Ticket, path: Path | str) -> nn.Module:
    """The network of the ticket of a file, whose operations can be counted.

    Raises:
        TicketError: it is a custom one, and its ticket does not hold its graph.
    """
    with of_file(path):
        if not has_layers(ticket.metadata):
            require_counted(custom_name(ticket))
        return from_ticket(ticket)


def require_counted(network: str, where: str = "") -> None:
    """Refuse a custom network, whose operations nobody counts.

    Raises:
        TicketError: it is one.
    """
    if is_custom(network):
        raise TicketError(
            "operations and energy are counted of this package's networks, and of those whose"
            " layers the ticket holds",
            where=where,
            value=network,
            remedy="Test such a ticket with `spiketicket eval`, naming its network",
        )


def image_count(images: int | str | None, dataset: Dataset) -> int:
    """How many test images are asked for: a number, ``all``, or None for the usual ones.

    Raises:
        UserError: a test set has not so many.
    """
    available = len(dataset.test)
    if images is None:
        return min(USUAL_IMAGES, available)
    if images == "all":
        return available
    if not isinstance(images, int) or not 1 <= images <= available:
        raise UserError(
            f"must be from 1 to the {available} test images of {dataset.name}, or all",
            where=argument("images"),
            value=images,
        )
    return images


def measure_net(
    ticket: Ticket,
    model: nn.Module,
    data: TicketData,
    *,
    images: int,
    path: Path,
    device: str,
    samples: Samples | None = None,
) -> Measured:
    """Everything about one net on the first ``images`` of its test set, or of other ``samples``.

    Raises:
        TicketError: it computes values that are no numbers.
    """
    right = 0
    with observed(model) as seen:
        for x, y in data.batches_of(samples or data.dataset.test, device, images):
            logits = model(x)
            if not bool(torch.isfinite(logits).all()):
                raise TicketError("computes values that are not finite numbers", where=str(path))
            right += int((logits.argmax(1) == y).sum())
    counted, dataset = seen.operations(), data.dataset
    weights = layer_sparsity(model, ticket)
    layers = _layer_rows(counted, weights)
    found: Measured = {
        "format": FORMAT,
        "ticket_digest": ticket.digest(),
        "set": {
            "name": dataset.name,
            "part": "test",
            "checksum": dataset.checksum,
            "images": images,
            "of": len(dataset.test),
        },
        "timesteps": int(cast("Any", model).timesteps),
        "static": dataset.test.x.ndim == 4,
        "accuracy": 100 * right / images,
        "layers": layers,
        "neurons": _neuron_rows(counted),
        "groups": counted.groups(),
        "total": counted.total(),
        "sparsity": {
            **summary(weights, ticket, counted.activation_sparsity),
            "file_bytes": path.stat().st_size,
        },
        "versions": versions(),
    }
    found["energy"] = [energy.price(found, table) for table in energy.TABLES.values()]
    return found


def _layer_rows(counted: Operations, weights: Mapping[str, LayerSparsity]) -> list[Measured]:
    none = LayerSparsity(
        name="",
        shape=(),
        weights=0,
        kept=0,
        nonzero=0,
        filters=0,
        zero_filters=0,
        channels=0,
        zero_channels=0,
        binary=False,
    )
    rows = []
    for layer in counted.layers:
        own = asdict(weights.get(layer.name, none))
        rows.append({**own, "shape": list(own["shape"]) or None, **asdict(layer)})
    return rows


def _neuron_rows(counted: Operations) -> list[Measured]:
    rows = []
    for neuron in counted.neurons:
        row = asdict(neuron)
        del row["active"]
        outputs = neuron.outputs / counted.images
        rows.append({**row, "rate": list(neuron.rate), "outputs": outputs})
    return rows
