"""BatchNorm statistics, estimated anew before a network is judged."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from spiketicket.training.forward import called, drawing

STATISTICS_BATCHES = 100
"""Training batches that BatchNorm statistics are estimated on."""


@torch.no_grad()
def estimate_statistics(model: nn.Module, batches: Iterator[tuple[Tensor, Tensor]]) -> None:
    """Set BatchNorm statistics to their plain averages over the first batches, in place.

    Normalisations that ``model.train()`` leaves in evaluation mode stay as they are.
    """
    model.train()
    kinds = (nn.BatchNorm1d, nn.BatchNorm2d)
    norms = [m for m in model.modules() if isinstance(m, kinds) and m.training]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    for step, (x, y) in enumerate(itertools.islice(batches, STATISTICS_BATCHES)):
        with drawing(model, x.device, 0, step):
            called(model, x, len(y))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def set_momentum(model: nn.Module, momentum: float | None) -> None:
    """Give BatchNorm's running statistics so large a share of each batch; None leaves all as is."""
    for norm in model.modules():
        if momentum is not None and isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
            norm.momentum = momentum
