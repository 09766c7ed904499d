"""A spiking convnet in plain numpy, float64, from the arrays of a ticket: no torch, nothing shared.

Written from the definitions alone: a 3x3 convolution padded by one, BatchNorm by its running
statistics, ``U[n] = decay V[n-1] + I[n]``, a spike from the threshold on, a hard reset to 0, the
largest of 2x2, the mean over time, a linear layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spiketicket.ticket import Ticket

Array = NDArray[np.float64]
_EPSILON = 1e-5
_POOLED = (True, True, False)
"""Of images of 8x8 pixels."""


@dataclass
class Seen:
    """Logits [N, classes], and what went into each layer: [calls, N, ...]."""

    logits: Array
    inputs: dict[str, Array]
    margins: dict[str, float]
    """How near the nearest potential of each layer of neurons came to the threshold."""


def run(ticket: Ticket, images: NDArray[np.uint8]) -> Seen:
    """Logits of images uint8 [N, C, 8, 8]."""
    arguments: dict[str, Any] = ticket.metadata["network"]["args"]
    steps, neuron = arguments["model"]["timesteps"], arguments["neuron"]
    assert neuron["v_reset"] == 0
    assert not neuron["decay_input"]
    norm = ticket.metadata["normalisation"]
    mean, std = (np.array(norm[k]).reshape(1, -1, 1, 1) for k in ("mean", "std"))
    x = ((images / 255.0 - mean) / std)[None]
    weights = {layer.name: weight_of(layer) for layer in ticket.layers}
    inputs, margins = {}, {}
    for index, pooled in enumerate(_POOLED):
        name = f"features.{index}"
        inputs[f"{name}.synapse"] = x
        current = np.stack([convolve(step, weights[f"{name}.synapse"]) for step in x])
        current = batch_norm(current, ticket, f"{name}.norm")
        every = np.broadcast_to(current, (steps, *current.shape[1:]))
        x, margins[f"{name}.neuron"] = fire(every, neuron["decay"], neuron["v_threshold"])
        x = pool(x) if pooled else x
    features = x.reshape(steps, len(images), -1).mean(axis=0)
    inputs["classifier"] = features[None]
    return Seen(features @ weights["classifier"].T, inputs, margins)


def weight_of(layer: Any) -> Array:
    """Scale times sign, where the mask keeps."""
    values: Array = np.zeros(layer.shape)
    kept = np.nonzero(layer.mask)
    values[kept] = np.float64(layer.alpha) * layer.signs[kept]
    return values


def convolve(x: Array, weight: Array) -> Array:
    """Correlation of [N, C, H, W] with [O, C, 3, 3], one place of the kernel after another."""
    height, width = x.shape[2:]
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    out = np.zeros((len(x), len(weight), height, width))
    for a in range(3):
        for b in range(3):
            part = padded[:, :, a : a + height, b : b + width]
            out += np.einsum("nchw,oc->nohw", part, weight[:, :, a, b], optimize=True)
    return out


def batch_norm(x: Array, ticket: Ticket, name: str) -> Array:
    """By the running statistics, without scale and shift."""
    assert f"{name}.weight" not in ticket.tensors
    mean, var = (
        ticket.tensors[f"{name}.running_{k}"].astype(np.float64).reshape(-1, 1, 1)
        for k in ("mean", "var")
    )
    normed: Array = (x - mean) / np.sqrt(var + _EPSILON)
    return normed


def fire(current: Array, decay: float, threshold: float) -> tuple[Array, float]:
    """Spikes [T, ...] of the current, and the least distance from the threshold."""
    potential = np.zeros(current.shape[1:])
    spikes = np.zeros(current.shape)
    margin = np.inf
    for step in range(len(current)):
        potential = decay * potential + current[step]
        margin = min(margin, float(np.abs(potential - threshold).min()))
        spikes[step] = potential >= threshold
        potential = np.where(spikes[step] == 1, 0.0, potential)
    return spikes, margin


def pool(x: Array) -> Array:
    """The largest of each 2x2."""
    *rest, height, width = x.shape
    largest: Array = x.reshape(*rest, height // 2, 2, width // 2, 2).max(axis=(-3, -1))
    return largest
