"""Checkpoints of one training: everything the next step depends on, in one atomic file."""

from __future__ import annotations

import hashlib
import io
import pickle
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from spiketicket._files import write_bytes
from spiketicket.errors import UserError

_FORMAT = 2
_DIGEST = 32


@dataclass
class Progress:
    """Where a training stands, between two optimizer steps.

    ``loss_sum`` and ``correct`` are of the ``seen`` samples of the epoch so far; ``history`` has
    one record for every finished epoch; ``best_epoch`` is -1 before the first validation;
    ``stopped`` says that it has ended before the schedule.
    """

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    correct: int = 0
    seen: int = 0
    wall_s: float = 0.0
    epoch_wall_s: float = 0.0
    best_epoch: int = -1
    best_accuracy: float = -1.0
    history: list[dict[str, float]] = field(default_factory=list)
    stopped: bool = False


def save(
    path: Path, key: str, progress: Progress, model: nn.Module,
    optimizer: torch.optim.Optimizer, best: dict[str, torch.Tensor],
) -> None:  # fmt: skip
    """Write a checkpoint; ``key`` says which training it belongs to."""
    content = {
        "format": _FORMAT,
        "key": key,
        "progress": asdict(progress),
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "best": best,
    }
    buffer = io.BytesIO()
    torch.save(content, buffer)
    payload = buffer.getvalue()
    write_bytes(path, hashlib.sha256(payload).digest() + payload)


def load(
    path: Path, key: str, model: nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[Progress, dict[str, torch.Tensor]] | None:
    """Load a checkpoint into model and optimizer; None where there is none.

    Never runs code from the file (``weights_only``).

    Raises:
        UserError: the file is damaged or belongs to another training.
    """
    if not path.exists():
        return None
    remedy = "Delete it to start this stage again"
    stored = path.read_bytes()
    payload = stored[_DIGEST:]
    if hashlib.sha256(payload).digest() != stored[:_DIGEST]:
        raise UserError("the checkpoint is damaged", where=str(path), remedy=remedy)
    try:
        content: dict[str, Any] = torch.load(
            io.BytesIO(payload), map_location="cpu", weights_only=True
        )
        if content["format"] != _FORMAT or content["key"] != key:
            what = "the checkpoint belongs to another training"
            raise UserError(what, where=str(path), value=content["key"], remedy=remedy)
        model.load_state_dict(content["model"])
        optimizer.load_state_dict(content["optimizer"])
        return Progress(**content["progress"]), content["best"]
    except (pickle.UnpicklingError, RuntimeError, KeyError, TypeError, ValueError) as error:
        what = f"the checkpoint does not fit: {type(error).__name__}"
        raise UserError(what, where=str(path), remedy=remedy) from error
