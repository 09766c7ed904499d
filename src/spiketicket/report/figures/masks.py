"""The masks of a ticket as pictures: a panel per layer, an output channel per row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from spiketicket.report.figures.canvas import WIDTH, Figure, brief, drawing, text
from spiketicket.report.figures.recording import image
from spiketicket.report.markup import Markup, joined
from spiketicket.report.numbers import share
from spiketicket.ticket import TicketLayer

_MOST, _PANELS = 96, 24
"""Rows and columns of a picture, and pictures."""
_HIGH, _HEAD, _GAP = 72.0, 16.0, 10.0
_INK = np.array([0x0A, 0x6C, 0x8F], np.float64)
_PAPER = np.array([0xFF, 0xFF, 0xFF], np.float64)


def mask_picture(layers: Sequence[TicketLayer], title: str) -> Figure:
    """What is kept of each layer: a row per output channel, its inputs from left to right.

    A layer with more rows or columns than a picture has is drawn as shares of blocks.
    """
    shown = layers[:_PANELS]
    parts: list[Markup] = []
    for index, layer in enumerate(shown):
        y = index * (_HEAD + _HIGH + _GAP)
        words = f"{layer.kept:,} of {layer.size:,} ({share(layer.density)})"
        parts.append(text(0, y + 11, brief(layer.name, 28), "small"))
        parts.append(text(WIDTH, y + 11, words, "small dim", "end"))
        parts.append(image(_colours(blocks(layer.mask)), 0, y + _HEAD, WIDTH, _HIGH))
    caption = "Coloured: weights that are kept. A row is an output channel, its inputs go right."
    if len(layers) > len(shown):
        caption += f" The first {len(shown)} of {len(layers)} layers."
    height = max(1, len(shown)) * (_HEAD + _HIGH + _GAP)
    return Figure(
        name="masks",
        title=title,
        caption=caption,
        svg=drawing(height, joined(parts), label=title),
        columns=("layer", "weights", "kept", "density"),
        rows=tuple((layer.name, layer.size, layer.kept, layer.density) for layer in layers),
    )


def blocks(mask: NDArray[np.bool_], most: int = _MOST) -> NDArray[np.float64]:
    """The share kept in each of at most ``most`` x ``most`` blocks: float64, from 0 to 1.

    ``mask`` is bool ``[out, ...]``; a block is some neighbouring rows and columns of
    ``[out, all inputs]``, and blocks differ by one row or column at most.
    """
    flat = mask.reshape(len(mask), -1) if mask.ndim else mask.reshape(1, 1)
    total = flat.astype(np.float64)
    sizes = np.ones_like(total)
    for axis in (0, 1):
        count = total.shape[axis]
        starts = np.unique(np.linspace(0, count, min(most, count), endpoint=False).astype(np.intp))
        total = np.add.reduceat(total, starts, axis=axis)
        sizes = np.add.reduceat(sizes, starts, axis=axis)
    shares: NDArray[np.float64] = total / sizes
    return shares


def _colours(shares: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Colours [H, W, 3] from paper to ink."""
    mixed = _PAPER + shares[..., None] * (_INK - _PAPER)
    return np.asarray(np.round(mixed), np.uint8)
