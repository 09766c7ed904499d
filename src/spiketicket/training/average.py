"""A running mean of what is trained, which is judged and kept in its place (``train.average``).

After step n of a training, counted from 0, each trained tensor w moves its mean m:

    m <- d m + (1 - d) w,   d = min(decay, (1 + n) / (10 + n))

so that the start is forgotten soon, as in TensorFlow's ``ExponentialMovingAverage`` (the idea:
Polyak & Juditsky, SIAM Journal on Control and Optimization 30, 1992).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from spiketicket.training.callback import Callback


class Average:
    """The means of the ``trained`` parameters; with a decay of 0 there are none.

    ``means`` are part of a checkpoint.
    """

    def __init__(self, trained: Sequence[nn.Parameter], decay: float) -> None:
        self.trained, self.decay = list(trained), decay
        self.means: list[Tensor] = [p.detach().clone() for p in trained] if decay else []

    @torch.no_grad()
    def move(self, step: int) -> None:
        """Take in the parameters after a step, counted from 0."""
        if self.means:
            share = 1.0 - min(self.decay, (1 + step) / (10 + step))
            torch._foreach_lerp_(self.means, [p.detach() for p in self.trained], share)

    @contextlib.contextmanager
    def in_place(
        self, model: nn.Module, callbacks: Sequence[Callback], epochs: float
    ) -> Iterator[None]:
        """Inside, the model has the means and what follows from them; afterwards it is as before.

        ``epochs`` are those done so far.
        """
        if not self.means:
            yield
            return
        own = {key: value.detach().clone() for key, value in model.state_dict().items()}
        with torch.no_grad():
            torch._foreach_copy_([p.detach() for p in self.trained], self.means)
        for callback in callbacks:
            callback.on_averaged(epochs)
        yield
        model.load_state_dict(own)
        for callback in callbacks:
            callback.on_state_loaded()
