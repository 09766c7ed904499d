"""Masks: which weights a density keeps."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from spiketicket.errors import UserError
from spiketicket.methods.densities import Distribution, kept_count, kept_counts
from spiketicket.streams import Stream

Scope = Literal["layer", "global"]
"""One threshold a layer, or one for all layers."""


def top_mask(magnitude: Tensor, kept: int) -> Tensor:
    """Boolean mask of exactly ``kept`` largest entries; among equals the earlier one is kept.

    ``magnitude``: float32, any shape, no NaN. Memory layout does not matter: the order is that
    of the logical index.
    """
    flat = magnitude.detach().reshape(-1)
    size = flat.numel()
    if kept >= size:
        return torch.ones_like(magnitude, dtype=torch.bool)
    if flat.device.type != "cpu":
        return top_by_order(flat, kept).view(magnitude.shape)
    values = flat.numpy()
    threshold = torch.from_numpy(np.partition(values, size - kept)[size - kept : size - kept + 1])
    mask = flat > threshold
    missing = kept - int(mask.sum())
    if missing:
        mask[torch.nonzero(flat == threshold)[:missing, 0]] = True
    return mask.view(magnitude.shape)


def top_by_order(flat: Tensor, kept: int) -> Tensor:
    """The mask of :func:`top_mask` without waiting for the device: no number of it is asked for."""
    first = torch.sort(flat, descending=True, stable=True).indices[:kept]
    return torch.zeros_like(flat, dtype=torch.bool).index_fill_(0, first, True)


def largest_masks(
    magnitudes: Mapping[str, Tensor],
    density: float,
    scope: Scope,
    distribution: Distribution = "uniform",
) -> dict[str, Tensor]:
    """A boolean mask per layer that keeps the largest magnitudes: exactly ``density`` of them, of
    all layers together, or of each layer as many as the distribution says.

    Raises:
        UserError: nothing would be kept, or a global threshold would empty a layer.
    """
    if scope == "layer":
        shapes = {name: tuple(m.shape) for name, m in magnitudes.items()}
        kept = kept_counts(shapes, density, distribution)
        return {name: top_mask(m, kept[name]) for name, m in magnitudes.items()}
    masks = global_masks(magnitudes, density)
    some = torch.stack([mask.any() for mask in masks.values()]).tolist()  # waits for the device
    for name, has_some in zip(masks, some, strict=True):
        if not has_some:
            raise UserError(
                "the global threshold removed every weight of this layer",
                where=name,
                remedy='Use ticket.scope = "layer" or a higher density',
            )
    return masks


def global_masks(magnitudes: Mapping[str, Tensor], density: float) -> dict[str, Tensor]:
    """The same over all layers together, even where nothing is left of a layer."""
    flat = torch.cat([m.detach().reshape(-1) for m in magnitudes.values()])
    chosen = top_mask(flat, kept_count(flat.numel(), density, "the network"))
    parts = chosen.split([m.numel() for m in magnitudes.values()])
    return {n: part.view(m.shape) for (n, m), part in zip(magnitudes.items(), parts, strict=True)}


def random_masks(
    shapes: Mapping[str, tuple[int, ...]], kept: Mapping[str, int], stream: Stream
) -> dict[str, Tensor]:
    """A uniformly random mask per layer with exactly ``kept[name]`` entries."""
    masks = {}
    for name, shape in shapes.items():
        flat = np.zeros(math.prod(shape), dtype=bool)
        flat[stream.child(name).permutation(flat.size)[: kept[name]]] = True
        masks[name] = torch.from_numpy(flat.reshape(shape))
    return masks


def shuffled_masks(masks: Mapping[str, Tensor], stream: Stream) -> dict[str, Tensor]:
    """Each layer's mask shuffled inside every output's row: as many weights of each output.

    ``masks``: boolean, ``[outputs, ...]``, by layer.
    """
    found = {}
    for name, mask in masks.items():
        rows = mask.cpu().flatten(1).numpy()
        order = np.argsort(stream.child(name).uniform(rows.size).reshape(rows.shape), axis=1)
        shuffled = np.take_along_axis(rows, order, axis=1)
        found[name] = torch.from_numpy(shuffled.reshape(mask.shape))
    return found


def inverted_masks(masks: Mapping[str, Tensor], scores: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """As many weights of every layer as a ticket's masks keep, those of the smallest |score|.

    Weights that the ticket keeps come last, whatever their score: up to half of a layer, no weight
    is both in the ticket and here.
    """
    found = {}
    for name, mask in masks.items():
        own, size = mask.cpu(), mask.numel()
        magnitude = scores[name].cpu().abs().float()
        order = torch.sort(magnitude.reshape(-1), stable=True).indices
        kept = own.reshape(-1)[order]
        chosen = torch.cat([order[~kept], order[kept]])[: int(own.sum())]
        flat = torch.zeros(size, dtype=torch.bool)
        flat[chosen] = True
        found[name] = flat.view(mask.shape)
    return found
