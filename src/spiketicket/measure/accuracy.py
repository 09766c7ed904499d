"""Accuracy of a model over samples in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from spiketicket.data._batches import ordered_batches


@dataclass(frozen=True)
class Evaluation:
    """``loss`` is the mean cross entropy, ``accuracy`` a fraction, ``predictions`` int64 [N]."""

    loss: float
    accuracy: float
    predictions: Tensor


@torch.no_grad()
def evaluate(
    model: nn.Module, x: Tensor, y: Tensor, mean: Sequence[float], std: Sequence[float],
    batch_size: int,
) -> Evaluation:  # fmt: skip
    """Run every sample once, in order, in evaluation mode (the mode is put back afterwards).

    ``x`` is uint8 ``[N, C, H, W]``, ``y`` int64 ``[N]``.
    """
    training, loss, parts = model.training, 0.0, []
    model.eval()
    for images, classes in ordered_batches(x, y, mean, std, batch_size):
        logits = model(images.contiguous(memory_format=torch.channels_last)).float()
        loss += functional.cross_entropy(logits, classes, reduction="sum").item()
        parts.append(logits.argmax(1))
    model.train(training)
    predictions = torch.cat(parts)
    accuracy = (predictions == y).double().mean().item()
    return Evaluation(loss / len(y), accuracy, predictions.cpu())
