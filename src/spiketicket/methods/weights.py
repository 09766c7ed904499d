"""Trained weights, for the dense net and the random-mask controls: optional fixed mask, optional
binary weights with the straight-through estimator.

    W_eff  = W * M    or    alpha * sign(W) * M,  alpha = sum(|W|*M) / sum(M)
    dL/dW := dL/dW_eff * M

(BinaryConnect/XNOR-Net: Courbariaux et al. 2015, Rastegari et al. 2016.) A masked weight can
never come back: the mask is part of the forward pass, not a correction after the step.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils import parametrize

from spiketicket.models.prunable import TrainedWeight, prunable
from spiketicket.streams import Stream

_CORRECTIONS = 8
"""Steps after which the mean of latent weights is as near to alpha as float32 can come."""


@dataclass(frozen=True)
class WeightStart:
    """How weights start: ``kaiming_normal`` is N(0, 2/fan), ``signed_constant`` +-sqrt(2/fan).

    ``fan`` is the fan-in times ``fan_scale`` (the density, in the "scaled" initialisation of
    Ramanujan et al. 2020).
    """

    kind: Literal["kaiming_normal", "signed_constant"]
    fan_scale: float = 1.0


def initial_weight(start: WeightStart, shape: tuple[int, ...], stream: Stream) -> Tensor:
    """A random weight from our own counter stream: the same bytes everywhere."""
    count, std = math.prod(shape), math.sqrt(2.0 / (fan_in(shape) * start.fan_scale))
    values: NDArray[np.float32]
    if start.kind == "signed_constant":
        values = stream.signs(count).astype(np.float32) * np.float32(std)
    else:
        values = stream.normal(count) * np.float32(std)
    return torch.from_numpy(values.reshape(shape))


def fan_in(shape: tuple[int, ...]) -> int:
    """Inputs of one output: all axes of a weight but the first."""
    return math.prod(shape[1:])


def norm_parameters(model: nn.Module) -> list[nn.Parameter]:
    """Scales and shifts of all normalisation layers."""
    kinds = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm)
    return [p for m in model.modules() if isinstance(m, kinds) for p in m.parameters()]


def attach_trained(
    model: nn.Module,
    *,
    binary: bool,
    seed: int,
    start: WeightStart,
    frozen: bool,
    masks: Mapping[str, Tensor] | None = None,
) -> list[nn.Parameter]:
    """Give every prunable layer fresh weights of the seed, a mask if any, and return the weights.

    The weights start from the same streams as a ticket search with the same seed does; ``frozen``
    leaves them untrained, so that only BatchNorm statistics move.
    """
    for name, layer in prunable(model).items():
        weight = cast("nn.Parameter", layer.weight)
        shape = tuple(weight.shape)
        value = initial_weight(start, shape, Stream(seed, "weight", name))
        with torch.no_grad():
            weight.copy_(value)
        mask = None if masks is None else masks[name].to(weight.device)
        parametrize.register_parametrization(
            layer, "weight", TrainedWeight(mask, binary), unsafe=True
        )
        cast("nn.Parameter", cast("Any", layer).parametrizations.weight.original).requires_grad_(
            not frozen
        )
    return [p for p in model.parameters() if p.requires_grad]


def attach_kept(
    model: nn.Module, layers: Mapping[str, Any], *, seed: int | None
) -> list[nn.Parameter]:
    """Keep the weights a model has now, under the masks of a ticket's layers.

    ``layers`` are :class:`~spiketicket.ticket.TicketLayer` by path; a layer without one is dense
    and float. With a seed everything is trained, binary weights from latent ones of that seed (see
    :func:`latent_weight`), and returned; without one nothing is.
    """
    for name, layer in prunable(model).items():
        known, weight = layers.get(name), cast("nn.Parameter", layer.weight)
        mask = None if known is None else torch.from_numpy(known.mask.copy()).to(weight.device)
        binary = known is not None and known.kind == "binary"
        if known is not None and binary and seed is not None:
            latent = latent_weight(known.weight(), known.mask, Stream(seed, "latent weight", name))
            with torch.no_grad():
                weight.copy_(torch.from_numpy(latent))
        parametrize.register_parametrization(
            layer, "weight", TrainedWeight(mask, binary), unsafe=True
        )
    for parameter in model.parameters():
        parameter.requires_grad_(seed is not None)
    return [] if seed is None else list(model.parameters())


def latent_weight(
    weight: NDArray[np.float32], mask: NDArray[np.bool_], stream: Stream
) -> NDArray[np.float32]:
    r"""Latent weights from which a binary layer goes on training, float32 like ``weight``.

    A binary layer computes with $\alpha \cdot \text{sign}(w)$, and a sign changes only where
    its latent weight w passes 0. A ticket has $|w| = \alpha$ everywhere, so far from 0 that short
    training changes none. Here $|w|$ is drawn from $|N(0, 1)|$ where the mask keeps the weight,
    and scaled so that its mean, as :meth:`TrainedWeight.scale` computes it, is exactly alpha: the
    net before its first step is the ticket. Pruned weights are 0.

    ``weight`` is the layer's own: $\pm\alpha$ where ``mask`` keeps it. Both are of one shape.
    """
    kept = np.flatnonzero(mask)
    latent = np.zeros(weight.size, np.float32)
    if kept.size:
        own = weight.reshape(-1)[kept]
        alpha = np.abs(own[0])
        drawn = np.abs(stream.normal(weight.size)[kept]).astype(np.float64)
        size = (drawn * (float(alpha) / drawn.mean())).astype(np.float32)
        largest = int(size.argmax())
        # Rounding each to float32 can leave the mean a hair beside alpha; the largest makes up.
        for _ in range(_CORRECTIONS):
            if np.float32(size.sum(dtype=np.float64) / size.size) == alpha:
                break
            missing = float(alpha) * size.size - size.sum(dtype=np.float64)
            size[largest] += np.float32(missing)
        latent[kept] = np.copysign(size, own)
    return latent.reshape(weight.shape)


def flipped_signs(model: nn.Module, layers: Mapping[str, Any]) -> dict[str, int]:
    """How many binary weights the ``layers`` of a ticket keep (``signs``), and how many of them
    have another sign in the model now (``signs_flipped``); empty where no layer is binary.
    """
    signs = flipped = 0
    for name, module in model.named_modules():
        known = layers.get(name)
        if known is not None and known.kind == "binary":
            now = cast("Tensor", cast("Any", module).weight).detach().cpu().numpy()
            signs += known.kept
            flipped += int(np.count_nonzero(((now < 0) != (known.signs < 0)) & known.mask))
    return {"signs": signs, "signs_flipped": flipped} if signs else {}


@torch.no_grad()
def flip_signs(model: nn.Module, seed: int) -> None:
    """Flip the sign of every weight by a coin of the seed, in place; pruned ones stay zero."""
    for name, layer in prunable(model).items():
        weight = cast("nn.Parameter", layer.weight)
        coins = Stream(seed, "flipped sign", name).signs(weight.numel()).astype(np.float32)
        weight.mul_(torch.from_numpy(coins).view(weight.shape).to(weight.device))
