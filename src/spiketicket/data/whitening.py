"""Filters that whiten the patches of images: a fixed function of training samples, without labels.

Whitening of 2x2 patches as the frozen first layer of a network: airbench (Jordan 2024,
arXiv 2404.00498). With M = E[p p^T] over all patches p of normalised images, and its
eigenvalues d and eigenvectors v,

    filter_i = v_i / sqrt(d_i + 5e-4),    the largest eigenvalue first

so that what the filters give has the second moments of white noise, but for the 5e-4 that keeps
small ones from being blown up. The sums over pixels are of whole numbers, and so exact: they do
not depend on threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from spiketicket.data.split import draw
from spiketicket.errors import UserError
from spiketicket.recipe.shapes import filter_count
from spiketicket.streams import Stream

SIDE: Final = 2
"""Pixels of a patch's side."""
EPSILON: Final = 5e-4
MOST_SAMPLES, LEAST_SAMPLES = 5000, 100
_NOTHING: Final = 1e-10
"""Share of the largest eigenvalue below which a direction is one in which patches do not vary."""
_WHERE: Final = "model.encoder"


def whitening_samples(y: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Indices int64 of the training samples that filters are computed from, increasing.

    They are :data:`MOST_SAMPLES`, drawn evenly over the classes ``y`` by seed, or all of fewer.

    Raises:
        UserError: there are fewer than :data:`LEAST_SAMPLES`.
    """
    if len(y) < LEAST_SAMPLES:
        raise UserError(
            f"whitening needs {LEAST_SAMPLES} training samples or more, and there are {len(y)}",
            where=_WHERE,
            remedy='Use more data (data.train_limit), or model.encoder = "none"',
        )
    return draw(y, min(len(y), MOST_SAMPLES), Stream(seed, "input encoder"))


def whitening_filters(
    x: NDArray[np.uint8] | NDArray[np.int32], mean: Sequence[float], std: Sequence[float]
) -> NDArray[np.float32]:
    """The filters, float32 [k, C, 2, 2] with k = min(12, 4C), of images that are not augmented.

    Args:
        x: pixels [N, C, H, W], or counts of all frames [N, T, C, H, W].
        mean: of every channel, as ``Dataset.mean``: pixels are normalised by it before.
        std: of every channel.

    The sign of each is such that the first of its large numbers is positive. A filter is 0 where
    patches do not vary in its direction, as where three channels are equal.

    Raises:
        UserError: the images are smaller than a patch, or constant.
    """
    channels, height, width = x.shape[-3:]
    _require_patches(height, width)
    images = x.reshape(-1, channels, height, width)
    return _filters(_second_moments(images, mean, std), channels)


def float_filters(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """As :func:`whitening_filters`, of float images [N, C, H, W] that are normalised already.

    Raises:
        UserError: as there.
    """
    _require_patches(*images.shape[-2:])
    channels, size = images.shape[1], images.shape[1] * SIDE * SIDE
    products = np.zeros((size, size))
    for image in images:
        patches = _patches(image)
        # In one order whatever the number of threads, as a matrix product is not.
        products += np.einsum("ip,jp->ij", patches, patches)
    return _filters(products / (len(images) * patches.shape[1]), channels)


def _filters(moments: NDArray[np.float64], channels: int) -> NDArray[np.float32]:
    size, across = len(moments), np.eye(SIDE * SIDE) - 1 / SIDE**2
    varying = float(np.trace(np.kron(np.eye(channels), across) @ moments)) / size
    if not varying > _NOTHING:
        raise UserError(
            "the training images are constant: there is nothing to whiten",
            where=_WHERE,
            remedy='Use model.encoder = "none", or look at the data',
        )
    values, vectors = np.linalg.eigh(moments)
    kept = np.argsort(-values, kind="stable")[: filter_count(channels)]
    found = vectors[:, kept].T / np.sqrt(values[kept].clip(0) + EPSILON)[:, None]
    found[values[kept] < _NOTHING * values.max()] = 0
    for row in found:
        large = np.abs(row) >= 0.5 * np.abs(row).max()
        row *= 1.0 if row[np.argmax(large)] >= 0 else -1.0
    return found.reshape(-1, channels, SIDE, SIDE).astype(np.float32)


def _require_patches(height: int, width: int) -> None:
    if min(height, width) < SIDE:
        raise UserError(
            "whitening needs images of at least 2x2 pixels", where=_WHERE, value=(height, width)
        )


def _patches(image: NDArray[Any]) -> NDArray[np.float64]:
    """All patches of an image [C, H, W], a column each: [4C, (H - 1) * (W - 1)]."""
    windows = np.lib.stride_tricks.sliding_window_view(image, (SIDE, SIDE), (1, 2))
    rows = windows.transpose(0, 3, 4, 1, 2)
    return rows.reshape(SIDE * SIDE * len(image), -1).astype(np.float64)


def _second_moments(
    images: NDArray[np.uint8] | NDArray[np.int32], mean: Sequence[float], std: Sequence[float]
) -> NDArray[np.float64]:
    """E[p p^T] of the normalised patches, float64 [4C, 4C]; a patch is [C, 2, 2]."""
    _, channels, height, width = images.shape
    size, places = channels * SIDE * SIDE, (height - 1) * (width - 1)
    sums, products = np.zeros(size, np.int64), np.zeros((size, size), np.int64)
    for image in images:
        # Of whole numbers below 2^53, which a float64 holds exactly in whatever order they add up.
        patches = _patches(image)
        sums += patches.sum(1).astype(np.int64)
        products += (patches @ patches.T).astype(np.int64)
    count = len(images) * places
    first, second = sums / count, products / count
    scale = np.repeat(1 / (255 * np.asarray(std, np.float64)), SIDE * SIDE)
    shift = np.repeat(-np.asarray(mean, np.float64) / np.asarray(std, np.float64), SIDE * SIDE)
    mixed = np.outer(scale * first, shift)
    moments: NDArray[np.float64] = np.outer(scale, scale) * second + mixed + mixed.T
    return moments + np.outer(shift, shift)
