"""What a training is of, what it is fed with, and what it gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Protocol

from torch import Tensor, nn

from spiketicket.machine.claims import Guard, unguarded
from spiketicket.recipe import OptimizerConfig
from spiketicket.training.callback import Callback
from spiketicket.training.evaluate import Evaluation


@dataclass(frozen=True, kw_only=True)
class Trainee:
    """A model and what the optimizer may move in it.

    Args:
        model: maps a batch ``[B, ...]`` to logits ``[B, classes]``.
        parameters: what is trained; nothing else of the model is.
        optimizer: its settings.
        callbacks: what a method does while the model is trained, in order. An epoch is chosen from
            where all of them say that it is complete; the first that asks for it ends the training.
        also: further parameters with settings of their own, such as the scores of a part.
        fresh_statistics: whether BatchNorm statistics are estimated anew before an epoch is
            judged. The running averages lag behind a mask that still moves.
        start_step: optimizer steps of the schedule that lie behind the model as it is given, as
            after rewinding; the learning rate and the batches go on from there.
    """

    model: nn.Module
    parameters: list[nn.Parameter]
    optimizer: OptimizerConfig
    _: KW_ONLY
    callbacks: tuple[Callback, ...] = ()
    also: tuple[list[nn.Parameter], OptimizerConfig] | None = None
    fresh_statistics: bool = False
    start_step: int = 0


class Batches(Protocol):
    """Training batches that are a function of (epoch, step)."""

    @property
    def steps(self) -> int:
        """Batches in an epoch."""

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Inputs and classes int64 ``[b]`` of every batch of an epoch, from batch ``start`` on."""


Validate = Callable[[nn.Module], Evaluation]
"""Measures the model on the validation split; leaves its mode as it found it."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """One training: its title, seed, the two files it writes, and the key of its checkpoint.

    ``guard`` is called before every write.
    """

    title: str
    seed: int
    checkpoint: Path
    log: Path
    key: str
    guard: Guard = unguarded


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """What a training gives: the model holds the best epoch's state.

    ``validation`` is that epoch's accuracy (a fraction, NaN without validation); ``wall_s``
    counts all parts of the training, before and after any interruption; ``epochs`` are those that
    were trained here.
    """

    best_epoch: int
    validation: float
    wall_s: float
    history: list[dict[str, float]]
    epochs: float = 0
