"""Checkpoints of one training: everything the next step depends on, in one atomic file."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from spiketicket.errors import UserError
from spiketicket.machine.bounded import max_memory, read_regular
from spiketicket.machine.files import write_bytes

_FORMAT = 2
_DIGEST = 32


@dataclass(kw_only=True)
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
    path: Path,
    key: str,
    progress: Progress,
    *,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    best: dict[str, torch.Tensor],
    means: Sequence[torch.Tensor] = (),
) -> None:
    """Write a checkpoint; ``key`` says which training it belongs to.

    ``means`` are the running means of what is trained, if there are any.
    """
    content = {
        "format": _FORMAT,
        "key": key,
        "progress": asdict(progress),
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "best": best,
        **({"means": list(means)} if means else {}),
    }
    buffer = io.BytesIO()
    torch.save(content, buffer)
    payload = buffer.getvalue()
    write_bytes(path, hashlib.sha256(payload).digest() + payload)


def load(
    path: Path,
    key: str,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    means: Sequence[torch.Tensor] = (),
) -> tuple[Progress, dict[str, torch.Tensor]] | None:
    """Load a checkpoint into model, optimizer and ``means``; None where there is none.

    Never runs code from the file (``weights_only``).

    Raises:
        UserError: the file is damaged or belongs to another training.
    """
    remedy = "Delete it to start this stage again"
    try:
        stored = read_regular(path, max_memory())
    except FileNotFoundError:
        return None
    payload = stored[_DIGEST:]
    if hashlib.sha256(payload).digest() != stored[:_DIGEST]:
        raise UserError("the checkpoint is damaged", where=str(path), remedy=remedy)
    try:
        _require_unpacked(payload)
        content: dict[str, Any] = torch.load(
            io.BytesIO(payload), map_location="cpu", weights_only=True
        )
        if content["format"] != _FORMAT or content["key"] != key:
            what = "the checkpoint belongs to another training"
            raise UserError(what, where=str(path), value=content["key"], remedy=remedy)
        progress, best = _progress(content["progress"]), content["best"]
        _require_state("model", content["model"], model)
        if best or progress.best_epoch >= 0:
            _require_state("best", best, model)
        stored_means = _means(content.get("means", []), means)
        model.load_state_dict(content["model"])
        _load_optimizer(optimizer, content["optimizer"])
        for own, value in zip(means, stored_means, strict=True):
            own.copy_(value)
    except UserError:
        raise
    # torch and pickle raise errors of many types on what is not theirs.
    except Exception as error:
        what = f"the checkpoint does not fit: {type(error).__name__}: {error}"
        raise UserError(what, where=str(path), remedy=remedy) from error
    return progress, best


def _require_unpacked(payload: bytes) -> None:
    """Refuse what takes more memory than the file: PyTorch unpacks, and writes nothing packed."""
    with zipfile.ZipFile(io.BytesIO(payload)) as archive:
        members = archive.infolist()
    packed = any(member.compress_type != zipfile.ZIP_STORED for member in members)
    if packed or sum(member.file_size for member in members) > len(payload):
        raise ValueError("it is packed")


def _progress(values: Any) -> Progress:
    """The progress of plain numbers, each of its own type. Raises TypeError or ValueError."""
    progress = Progress(**values)
    for name, usual in asdict(Progress()).items():
        value = getattr(progress, name)
        if type(value) is not type(usual) and not (type(usual) is float and type(value) is int):
            raise TypeError(f"progress.{name} is of type {type(value).__name__}")
        if type(usual) is int and value < (-1 if name == "best_epoch" else 0):
            raise ValueError(f"progress.{name} is {value}")
    for record in progress.history:
        if type(record) is not dict or not all(
            type(key) is str and type(value) in (int, float) for key, value in record.items()
        ):
            raise TypeError("progress.history is not of numbers")
    if len(progress.history) > progress.epoch:
        raise ValueError(f"{len(progress.history)} epochs in a history of {progress.epoch}")
    return progress


def _require_state(what: str, state: Any, model: nn.Module) -> None:
    """Refuse what is no state of the model. Raises TypeError or ValueError."""
    own = model.state_dict()
    if not isinstance(state, dict) or set(state) != set(own):
        raise ValueError(f"{what} has other entries than the network")
    for key, value in own.items():
        found = state[key]
        if not isinstance(found, torch.Tensor):
            raise TypeError(f"{what} {key} is no tensor")
        if found.shape != value.shape or found.dtype != value.dtype:
            raise ValueError(f"{what} {key} has another shape or type")


def _means(found: Any, own: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """The running means of a checkpoint. Raises TypeError or ValueError where they are not."""
    if not isinstance(found, list) or not all(isinstance(value, torch.Tensor) for value in found):
        raise TypeError("means are no tensors")
    kinds = [[(value.shape, value.dtype) for value in values] for values in (found, own)]
    if kinds[0] != kinds[1]:
        raise ValueError("means have other shapes or types")
    return found


def _load_optimizer(optimizer: torch.optim.Optimizer, state: Any) -> None:
    """Take over an optimizer's state, whose settings must be of the same kinds."""
    kinds = [{key: type(value) for key, value in g.items()} for g in optimizer.param_groups]
    optimizer.load_state_dict(state)
    if kinds != [{key: type(value) for key, value in g.items()} for g in optimizer.param_groups]:
        raise ValueError("the optimizer has other settings")
    for parameter, values in optimizer.state.items():
        for name, value in values.items():
            if isinstance(value, torch.Tensor) and value.shape not in ((), parameter.shape):
                raise ValueError(f"the optimizer's {name} has another shape")
