"""The images peers run on, and the logits they have to give."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from spiketicket.bench.job import Array
from spiketicket.data.of_ticket import find_test_data
from spiketicket.models.of_ticket import from_ticket
from spiketicket.ticket import Ticket
from spiketicket.ticket.codec import of_file

CALIBRATION = 128
"""Training images that quantisers see."""


@dataclass(frozen=True)
class Checked:
    """Test images, training images for calibration, and the model's logits of the first.

    Images are float32 [N, C, H, W] or frames [N, T, C, H, W], normalised as the ticket says;
    ``logits`` are float32 [N, classes] of the PyTorch model by its definition, step by step.
    """

    images: Array
    calibration: Array
    logits: Array


def load_samples(ticket: Ticket, path: Path, *, count: int, root: str = "") -> Checked:
    """The first ``count`` test images of the data a ticket was made for, or all where it has fewer.

    Raises:
        TicketError: the ticket does not name its data, or no network of this package.
        UserError: the data is missing, or is other data.
    """
    with of_file(path):
        model = from_ticket(ticket, kernel="eager")
    data = find_test_data(ticket, path, root=root)
    count = min(count, len(data.dataset.test))
    images, logits = [], []
    with torch.inference_mode():
        for x, _ in data.batches("cpu", count):
            logits.append(model(x).numpy())
            images.append(_batch_first(x))
    training = data.batches_of(data.dataset.train, "cpu", CALIBRATION)
    calibration = [_batch_first(x) for x, _ in training]
    return Checked(np.concatenate(images), np.concatenate(calibration), np.concatenate(logits))


def _batch_first(x: Tensor) -> Array:
    """``[T, b, C, H, W]`` to ``[b, T, C, H, W]``; images stay as they are."""
    return np.ascontiguousarray((x.transpose(0, 1) if x.dim() == 5 else x).numpy())
