"""Which layers a ticket covers, and what it keeps of them.

A ticket is made on the ``weight`` of every convolution and linear layer of a plain module, by
``torch.nn.utils.parametrize``; nothing else of the module is touched.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils import parametrize

from spiketicket.errors import UserError
from spiketicket.philox import Stream

PRUNABLE = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


def prunable(model: nn.Module) -> dict[str, nn.Module]:
    """Module path -> layer with a weight a ticket can cover, in the order of the module tree.

    Raises:
        UserError: there is none, or two layers share one weight.
    """
    layers: dict[str, nn.Module] = {
        name: m for name, m in model.named_modules() if isinstance(m, PRUNABLE)
    }
    if not layers:
        raise UserError("the network has no convolution and no linear layer to search")
    seen: dict[int, str] = {}
    for name, layer in layers.items():
        if parametrize.is_parametrized(layer, "weight"):
            raise UserError(
                "the weight is parametrized already",
                where=name,
                remedy="Give the network as it is before any search, or bake it first",
            )
        first = seen.setdefault(id(layer.weight), name)
        if first != name:
            raise UserError(
                f"shares its weight with {first}; a ticket needs them apart", where=name
            )
    return layers


def kept_count(size: int, density: float, where: str) -> int:
    """``density * size`` weights, rounded half up: the exact number a ticket keeps.

    Raises:
        UserError: the number would be 0; names the smallest density that keeps one.
    """
    kept = math.floor(density * size + 0.5)
    if kept < 1:
        raise UserError(
            f"keeps no weight of the {size} of {where}",
            where="ticket.density",
            value=density,
            remedy=f"The smallest feasible density here is {0.5 / size:.3g}",
        )
    return kept


def top_mask(magnitude: Tensor, kept: int) -> Tensor:
    """Boolean mask of exactly ``kept`` largest entries; among equals the earlier one is kept.

    ``magnitude``: float32, any shape, no NaN. Memory layout does not matter: the order is that
    of the logical index.
    """
    flat = magnitude.detach().reshape(-1)
    size = flat.numel()
    if kept >= size:
        return torch.ones_like(magnitude, dtype=torch.bool)
    if flat.device.type == "cpu":
        values = flat.numpy()
        threshold = torch.from_numpy(
            np.partition(values, size - kept)[size - kept : size - kept + 1]
        )
    else:
        threshold = torch.topk(flat, kept, sorted=True).values[-1:]
    mask = flat > threshold
    missing = kept - int(mask.sum())
    if missing:
        mask[torch.nonzero(flat == threshold)[:missing, 0]] = True
    return mask.view(magnitude.shape)


def random_masks(
    shapes: Mapping[str, tuple[int, ...]], kept: Mapping[str, int], stream: Stream
) -> dict[str, Tensor]:
    """A uniformly random mask a layer with exactly ``kept[name]`` entries."""
    masks = {}
    for name, shape in shapes.items():
        flat = np.zeros(math.prod(shape), dtype=bool)
        flat[stream.child(name).permutation(flat.size)[: kept[name]]] = True
        masks[name] = torch.from_numpy(flat.reshape(shape))
    return masks


def initial_weight(kind: str, shape: tuple[int, ...], fan: float, stream: Stream) -> Tensor:
    """A random weight: ``kaiming_normal`` N(0, 2/fan), or ``signed_constant`` +-sqrt(2/fan).

    ``fan`` is the fan-in, times the density where the caller asks for it (Ramanujan et al. 2020,
    "scaled" initialisation). Comes from our own counter stream: the same bytes everywhere.
    """
    count, std = math.prod(shape), math.sqrt(2.0 / fan)
    values: NDArray[np.float32]
    if kind == "signed_constant":
        values = stream.signs(count).astype(np.float32) * np.float32(std)
    else:
        values = stream.normal(count) * np.float32(std)
    return torch.from_numpy(values.reshape(shape))


def fan_in(shape: tuple[int, ...]) -> int:
    """Inputs of one output: all axes of a weight but the first."""
    return math.prod(shape[1:])


def effective_weights(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Path and weight as the forward pass uses it, of every covered layer."""
    for name, module in model.named_modules():
        if isinstance(module, PRUNABLE):
            with torch.no_grad():
                yield name, module.weight.detach()
