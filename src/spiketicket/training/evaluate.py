"""Accuracy of a model over samples in memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from spiketicket.machine.parallel import fixed, in_chunks


@dataclass(frozen=True)
class Evaluation:
    """``loss`` is the mean cross entropy, ``accuracy`` a fraction, ``predictions`` int64 [N]."""

    loss: float
    accuracy: float
    predictions: Tensor


@torch.no_grad()
def evaluate(
    model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], *, flip: bool = False
) -> Evaluation:
    """Run every batch once, in order, in evaluation mode (the mode is put back afterwards).

    ``batches`` are inputs as the model takes them and classes int64 ``[b]``. With ``flip`` the
    logits are the mean of those for the inputs and for their left to right mirror images.
    """
    training = model.training
    loss, truth, parts = 0.0, [], []
    model.eval()
    with fixed():
        for x, y in batches:
            with in_chunks():
                logits = model(x).float()
                if flip:
                    logits = (logits + model(x.flip(-1)).float()) / 2
            loss += functional.cross_entropy(logits, y, reduction="sum").item()  # waits
            parts.append(logits.argmax(1))
            truth.append(y)
    model.train(training)
    predictions, classes = torch.cat(parts), torch.cat(truth)
    accuracy = (predictions == classes).double().mean().item()  # waits
    return Evaluation(loss / len(classes), accuracy, predictions.cpu())
