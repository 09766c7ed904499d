"""Losses and accuracies of a run for TensorBoard."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from spiketicket.errors import UserError
from spiketicket.machine.typed import typed
from spiketicket.progress import Reporter


class TensorBoard(Reporter):
    """Writes what a run tells into a folder that TensorBoard shows.

    find("digits-binw", reporter=TensorBoard("logs"))

    Every stage with every seed is a run of its own in it, ``<stage>-seed<seed>``, so that their
    curves lie over each other: ``loss/train`` and ``accuracy/train`` by optimizer step, from 1 on,
    ``accuracy/validation`` by the step that an epoch ends with, ``speed/images_per_s``. Accuracies
    are fractions. A stage whose result was there already writes nothing.

    Raises:
        UserError: TensorBoard is not installed.
    """

    @typed
    def __init__(self, folder: Path | str = "tensorboard") -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ModuleNotFoundError as error:
            raise UserError(
                "TensorBoard is not installed", remedy="pip install 'spiketicket[tensorboard]'"
            ) from error
        self._make, self._folder = SummaryWriter, Path(folder)
        self._writer: Any = None
        self._steps = 1

    def stage_started(self, stage: str, seed: int, epochs: int, steps_per_epoch: int) -> None:
        """Open the stage's own run."""
        del epochs
        self.close()
        name = "".join(c if c.isalnum() else "-" for c in stage)
        self._steps = steps_per_epoch
        self._place = self._folder / f"{name}-seed{seed}"

    def step(
        self, epoch: int, step: int, loss: float, accuracy: float, images_per_s: float
    ) -> None:
        """Three points."""
        at = epoch * self._steps + step + 1
        self._add("loss/train", loss, at)
        self._add("accuracy/train", accuracy, at)
        self._add("speed/images_per_s", images_per_s, at)

    def epoch_finished(
        self,
        epoch: int,
        train_loss: float,
        train_accuracy: float,
        val_accuracy: float,
        seconds: float,
    ) -> None:
        """A point of the validation, where there is one."""
        del train_loss, train_accuracy, seconds
        if not math.isnan(val_accuracy):
            self._add("accuracy/validation", val_accuracy, (epoch + 1) * self._steps)
        if self._writer is not None:
            self._writer.flush()

    def stage_finished(self, stage: str, summary: str) -> None:
        """Close the stage's run."""
        del stage, summary
        self.close()

    def close(self) -> None:
        """Write out what is left."""
        if self._writer is not None:
            self._writer.close()
        self._writer = None

    def _add(self, tag: str, value: float, at: int) -> None:
        if self._writer is None:
            self._writer = self._make(str(self._place))
        self._writer.add_scalar(tag, value, at)
