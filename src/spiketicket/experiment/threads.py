"""How many threads a run computes with, where the user does not say.

It changes no byte of a result, see :mod:`spiketicket.machine.parallel`; it follows from the recipe
and the cores alone, so that a run takes as long each time.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from spiketicket.machine import cores, parallel
from spiketicket.methods.building import build_network
from spiketicket.models.blocks import DataShape
from spiketicket.models.encoder import InputEncoder
from spiketicket.recipe import Recipe

MACS_A_THREAD = 64_000_000
"""Multiply-accumulates of a batch's forward pass below which another thread does not pay."""
_WEIGHTED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


def threads_for(macs: int, most: int) -> int:
    """Threads for steps whose forward pass has ``macs`` multiply-accumulates, from 1 to ``most``.

    Rule: one for every :data:`MACS_A_THREAD`, rounded down. A batch of ``digits-binw`` (64 images,
    convnet, T=4) has 152 million and is given two, on two cores as on sixty. There a second thread
    brings next to nothing already, so less is not shared; ``benchmarks/busy.py --races steps``
    measures smaller and larger nets.
    """
    return max(1, min(most, macs // MACS_A_THREAD))


def choose(recipe: Recipe, shape: DataShape) -> int:
    """Threads for a recipe on this machine: as many as pay, and at most what is there.

    That is the cores this process may use, and what PyTorch was told (``OMP_NUM_THREADS``,
    ``torch.set_num_threads``).
    """
    most = min(parallel.threads(), cores.cores())
    return most if most == 1 else threads_for(batch_macs(recipe, shape), most)


def batch_macs(recipe: Recipe, shape: DataShape) -> int:
    """Multiply-accumulates of a training batch's forward pass at all time steps.

    Those of convolutions and linear layers, as if no weight and no input were zero; counted while
    the network of the recipe runs on two inputs.
    """
    # Whichever kernel computes the neurons, the layers are the same; this one needs no compiler.
    train = recipe.train.model_copy(update={"kernel": "eager"})
    size = (2, shape.channels, shape.height, shape.width)
    x = torch.zeros(shape.frames, *size) if shape.frames > 1 else torch.zeros(size)
    total = 0

    def count(layer: Any, inputs: Any, output: Tensor) -> None:
        nonlocal total
        if isinstance(layer, InputEncoder):
            image = inputs[0]
            images = image.shape[:-3].numel()
            total += images * layer.macs(*image.shape[-2:])
        else:
            total += output.numel() * layer.weight[0].numel()

    with torch.random.fork_rng(devices=[]), torch.no_grad():
        network = build_network(recipe.model_copy(update={"train": train}), shape).eval()
        for layer in network.modules():
            if isinstance(layer, (*_WEIGHTED, InputEncoder)):
                layer.register_forward_hook(count)
        network(x)
    return total * recipe.train.batch_size // 2
