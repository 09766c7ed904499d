"""What a person looks at: spikes and potentials of one sample, and the patches that were kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from spiketicket.measure.observe import watched
from spiketicket.models.blocks import time_first
from spiketicket.models.encoder import encoded
from spiketicket.models.transformer import SpikingTransformer
from spiketicket.neurons import lif
from spiketicket.neurons.lif import LIF

Array = NDArray[Any]

MOST_LAYERS, MOST_NEURONS, MOST_POTENTIALS = 8, 128, 6


@dataclass
class _Seen:
    """One layer of neurons for one sample: output and input ``[T, n]``, float32."""

    module: nn.Module
    output: Tensor
    current: Tensor


@torch.no_grad()
def trace(model: nn.Module, x: Tensor, position: int) -> dict[str, Array]:
    """Arrays of the sample at ``position`` of a batch ``[M, C, H, W]`` or ``[T, M, C, H, W]``.

    ``raster_names`` and ``raster_0..``, bool ``[T, n]``: which neurons gave something else than 0,
    at most 128 of a layer and 8 layers, evenly chosen. ``membrane`` float32 ``[T, m]``: the
    potential before firing, ``U[n]`` of :mod:`spiketicket.neurons.lif`, of up to six neurons of the
    middle layer with a membrane, those that fire first of all; with their spikes and ``threshold``
    (empty without a membrane). ``prediction``, ``logits``; and, where patches are dropped, the ids
    ``kept`` ``[M, k]`` of all samples and their ``grid``.
    """
    steps, batch = int(model.timesteps), x.shape[0 if x.dim() == 4 else 1]  # type: ignore[arg-type]
    seen: dict[str, _Seen] = {}

    def observer(
        name: str, module: nn.Module, output: Tensor, current: Callable[[], Tensor]
    ) -> None:
        if not name.startswith("selector."):
            own = (_of_sample(part, batch, position, steps) for part in (output, current()))
            seen[name] = _Seen(module, *own)

    with watched(model, observer):
        logits = model(x)[position].float()
    return {
        "prediction": np.array(int(logits.argmax())),
        "logits": logits.cpu().numpy(),
        **_rasters(seen),
        **_membrane(seen, steps),
        **_kept(model, x, steps),
    }


def _of_sample(x: Tensor, batch: int, position: int, steps: int) -> Tensor:
    own = x.reshape(len(x), batch, -1)[:, position].float().cpu()
    return own.expand(steps, -1)


def _rasters(seen: dict[str, _Seen]) -> dict[str, Array]:
    names = _evenly(list(seen), MOST_LAYERS)
    arrays: dict[str, Array] = {"raster_names": np.array(names, dtype=np.str_)}
    for i, name in enumerate(names):
        output = seen[name].output
        chosen = _evenly(range(output.shape[1]), MOST_NEURONS)
        arrays[f"raster_{i}"] = (output[:, list(chosen)] != 0).numpy()
    return arrays


def _membrane(seen: dict[str, _Seen], steps: int) -> dict[str, Array]:
    spiking = [(n, s, s.module.config) for n, s in seen.items() if isinstance(s.module, LIF)]
    if not spiking:
        return {
            "membrane_name": np.array(""),
            "membrane": np.zeros((steps, 0), np.float32),
            "membrane_spikes": np.zeros((steps, 0), np.bool_),
            "threshold": np.array(0.0),
        }
    name, layer, config = spiking[len(spiking) // 2]
    potential, spikes = potentials(layer.current, config)
    fired = layer.output != 0
    # A device that rounds otherwise than the definition could differ at the threshold itself.
    agree = torch.nonzero((spikes == fired).all(0)).flatten().tolist()
    firing = [i for i in agree if bool(fired[:, i].any())]
    chosen = list(_evenly(firing or agree, MOST_POTENTIALS))
    return {
        "membrane_name": np.array(name),
        "membrane": potential[:, chosen].numpy(),
        "membrane_spikes": fired[:, chosen].numpy(),
        "threshold": np.array(config.v_threshold),
    }


def potentials(current: Tensor, config: lif.Config) -> tuple[Tensor, Tensor]:
    """Potential before firing and spikes (bool), both ``[T, ...]``, by the definition."""
    v = torch.full_like(current[0], config.v_rest)
    before, fired = [], []
    for step in current.unbind(0):
        u = lif.charge(v, step, config)
        s = (u - config.v_threshold) >= 0
        if config.v_reset == "soft":
            v = u - s.to(u.dtype) * config.v_threshold
        else:
            v = torch.where(s, torch.full_like(u, config.v_reset), u)
        before.append(u)
        fired.append(s)
    return torch.stack(before), torch.stack(fired)


def _kept(model: nn.Module, x: Tensor, steps: int) -> dict[str, Array]:
    if not isinstance(model, SpikingTransformer) or model.kept == model.tokens:
        return {}
    ids = model.choose(time_first(encoded(model, x), steps), steps)
    if ids is None:
        return {}
    return {"kept": ids.cpu().numpy(), "grid": np.array(model.grid, np.int64)}


def _evenly(items: Sequence[Any], most: int) -> list[Any]:
    """At most ``most`` of the items, the first among them, in their order."""
    if len(items) <= most:
        return list(items)
    return [items[i * len(items) // most] for i in range(most)]
