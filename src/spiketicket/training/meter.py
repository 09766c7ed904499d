"""Losses and hits of steps, left on the device until they are read together."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from spiketicket.errors import UserError
from spiketicket.machine.workers import Workers
from spiketicket.training.checkpoint import Progress


class DivergedError(UserError):
    """A loss, a parameter or a statistic is not a number."""


@dataclass(frozen=True, kw_only=True)
class _Step:
    """Scalars of a step, on the device; ``rows`` samples of this process, ``seen`` of all."""

    number: int
    loss: Tensor
    hits: Tensor
    rows: int
    seen: int


class Meter:
    """Counts the steps of an epoch.

    Args:
        trained: parameters that must be numbers.
        workers: the processes over which losses and hits are added up.
        where: the training, for errors.
        lr: its learning rate, for errors.
    """

    def __init__(
        self, trained: list[nn.Parameter], workers: Workers, where: str, lr: float
    ) -> None:
        self.trained, self.workers, self.where, self.lr = trained, workers, where, lr
        self.unread: list[_Step] = []

    def add(self, at: Progress, loss: Tensor, hits: Tensor, rows: int, seen: int) -> None:
        """Keep a step's mean loss and number of hits, without waiting for them."""
        self.unread.append(_Step(number=at.step, loss=loss, hits=hits, rows=rows, seen=seen))

    def read(self, at: Progress) -> None:
        """Add the steps since the last time to the epoch's sums. Waits for the device.

        Raises:
            UserError: the loss of one of them, or a parameter, is not a number.
        """
        steps = self.unread
        losses = torch.stack([step.loss for step in steps]).tolist()  # waits
        hits = torch.stack([step.hits for step in steps]).tolist()
        own = [loss * step.rows for loss, step in zip(losses, steps, strict=True)]
        totals = self.workers.sums(*own, *hits)
        self._require(totals[: len(steps)], at)
        for step, loss, correct in zip(
            steps, totals[: len(steps)], totals[len(steps) :], strict=True
        ):
            at.loss_sum += loss
            at.correct += int(correct)
            at.seen += step.seen
        self.unread = []

    def require_numbers(self, at: Progress) -> None:
        """Refuse losses of this process, and parameters, that are not numbers. Waits.

        Raises:
            UserError: one is not.
        """
        self._require([step.loss.item() for step in self.unread], at)

    def _require(self, losses: list[float], at: Progress) -> None:
        for step, loss in zip(self.unread, losses, strict=True):
            if not math.isfinite(loss):
                raise self.diverged("the loss", loss, at.epoch, step.number)
        sums = torch.stack([parameter.detach().sum() for parameter in self.trained])
        if not bool(sums.isfinite().all()):  # waits, once for all parameters
            last = self.unread[-1].number if self.unread else at.step
            raise self.diverged("a parameter", math.nan, at.epoch, last)

    def diverged(self, what: str, value: float, epoch: int, step: int) -> DivergedError:
        """The error of something that is not a number."""
        return DivergedError(
            f"{what} is not a number at epoch {epoch}, step {step}",
            where=self.where,
            value=value,
            remedy=f"Likely causes: a learning rate that is too high (it is {self.lr}), bf16 where"
            " fp32 is needed, or a NaN in the input. The last checkpoint is kept",
        )
