"""What a method does while its network is trained."""

from __future__ import annotations

import torch


class Callback:
    """Called by the training loop; every method does nothing, or says what is usual.

    Epochs count from 0. What a callback keeps must lie in the model's state or follow from it and
    from the number of the step, so that a training resumed from a checkpoint ends the same.
    """

    def on_optimizer(self, optimizer: torch.optim.Optimizer) -> None:
        """Called once with the optimizer, for what also changes its state."""

    def on_state_loaded(self) -> None:
        """Called after a state was loaded into the model."""

    def on_step_end(self, epochs: float) -> None:
        """Called after every optimizer step with the epochs done so far (fractional)."""

    def on_averaged(self, epochs: float) -> None:
        """Called when running means stand in for what is trained, after so many epochs.

        Masks that follow from it are made anew here. The model's state is put back afterwards, and
        :meth:`on_state_loaded` is called.
        """

    def is_complete(self, epoch: int) -> bool:
        """Whether the model after an epoch is what was asked for, as when a density ramp is over.

        Only such epochs are chosen from.
        """
        del epoch
        return True

    def should_stop(self, epoch: int) -> bool:
        """Whether the training ends with an epoch, although the schedule has more."""
        del epoch
        return False


class StopAfter(Callback):
    """Ends a training after so many epochs; the last of them is the one that is taken."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def is_complete(self, epoch: int) -> bool:
        """Whether it is the last one."""
        return epoch + 1 >= self.epochs

    def should_stop(self, epoch: int) -> bool:
        """Whether it is the last one."""
        return epoch + 1 >= self.epochs
