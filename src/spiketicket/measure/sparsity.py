"""Four kinds of sparsity, never mixed.

mask            weights that the ticket keeps, of those it could
weight zeros    weights that are 0, whatever the reason
structured      whole output filters (rows), whole input channels (columns) without a weight
activations     outputs of neurons that are 0; ``observe.Operations.activation_sparsity``

and the bytes of the file beside them, which only the mask and the signs make small.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from torch import Tensor, nn

from spiketicket.models.encoder import InputEncoder
from spiketicket.ticket import Ticket, describe


@dataclass(frozen=True, kw_only=True)
class LayerSparsity:
    """Weights of one convolution or linear layer, counted."""

    name: str
    shape: tuple[int, ...]
    weights: int
    kept: int
    """What the ticket's mask keeps; all of them where the layer has no mask."""
    nonzero: int
    filters: int
    zero_filters: int
    channels: int
    zero_channels: int
    binary: bool
    """Whether all non-zero weights have one magnitude: the layer is signs times a scale."""


def layer_sparsity(model: nn.Module, ticket: Ticket) -> dict[str, LayerSparsity]:
    """Every convolution and linear layer of a model made from a ticket, by name, and its encoder.

    Of that the negatives of its filters are not counted, as no file has them.
    """
    kept = {layer.name: layer.kept for layer in ticket.layers}
    weights = {
        name: module.filters if isinstance(module, InputEncoder) else module.weight.detach()
        for name, module in model.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear | InputEncoder)
    }
    return {name: _layer(name, weight, kept.get(name)) for name, weight in weights.items()}


def _layer(name: str, weight: Tensor, kept: int | None) -> LayerSparsity:
    live = weight != 0
    rows, columns = live.flatten(1), live.transpose(0, 1).flatten(1)
    sizes = weight[live].abs()
    return LayerSparsity(
        name=name,
        shape=tuple(weight.shape),
        weights=weight.numel(),
        kept=weight.numel() if kept is None else kept,
        nonzero=int(live.sum()),
        filters=len(rows),
        zero_filters=int((~rows.any(1)).sum()),
        channels=len(columns),
        zero_channels=int((~columns.any(1)).sum()),
        binary=len(sizes) > 0 and bool((sizes == sizes[0]).all()),
    )


def summary(
    layers: Mapping[str, LayerSparsity], ticket: Ticket, activation_sparsity: float
) -> dict[str, Any]:
    """Totals over the net, the selector of its patches included where it has one.

    ``mask_density`` is over the layers the ticket lists; ``zero_weights`` is the share of zeros in
    the weights of all layers. ``entropy_bytes`` is what no code can beat on average for masks and
    signs of these counts, the rest of the file as it is; ``fp32_bytes`` the same with every weight
    as a float32.
    """
    sizes = describe(ticket)
    names = ("filters", "zero_filters", "channels", "zero_channels", "weights", "nonzero")
    total = {
        key: sum(cast("int", getattr(layer, key)) for layer in layers.values()) for key in names
    }
    return {
        "mask_density": sizes.density,
        "zero_weights": (total["weights"] - total["nonzero"]) / total["weights"],
        "activation_sparsity": activation_sparsity,
        **total,
        "file_bytes": sizes.file_bytes,
        "fp32_bytes": sizes.dense_bytes,
        "entropy_bytes": sizes.entropy_bytes + sizes.state_bytes,
    }
