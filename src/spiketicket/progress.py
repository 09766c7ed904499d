"""How a run tells what it is doing, without knowing who listens.

The library calls a :class:`Reporter`; the command line brings one that draws progress bars.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class PlannedStage:
    """A stage that a run will have: its title and seed as in :meth:`Reporter.stage_started`, its
    epochs at most, and whether its result is there already.
    """

    title: str
    seed: int
    epochs: int
    done: bool = False


class Reporter:
    """Listens to a run; a class derives from it and overrides what it hears.

    Calls come from one thread, in order, stage after stage.

    Epochs and steps count from 0; accuracies are fractions in [0, 1]; times are in seconds.
    A stage that goes on from a checkpoint starts at a later epoch and step than 0.

    One that does not derive from it may be without ``run_planned``, ``stage_resumed`` and
    ``doing``; it is not told then.
    """

    def stage_started(self, stage: str, seed: int, epochs: int, steps_per_epoch: int) -> None:
        """A stage begins: the search, or one of its controls.

        Args:
            stage: a title to show: ``"ticket"``, ``"dense"``, ``"random mask, trained"``.
            seed: the seed of this repetition.
            epochs: how many epochs the whole stage has; 0 when nothing is trained.
            steps_per_epoch: how many optimizer steps an epoch has.
        """

    def step(
        self, epoch: int, step: int, loss: float, accuracy: float, images_per_s: float
    ) -> None:
        """The optimizer step ``step`` of ``epoch`` was taken; called for some or all steps.

        ``loss`` and ``accuracy`` are of the epoch's training samples, as they were last read from
        the device: after the epoch's first step, and every few steps.
        """

    def epoch_finished(
        self,
        epoch: int,
        train_loss: float,
        train_accuracy: float,
        val_accuracy: float,
        seconds: float,
    ) -> None:
        """An epoch and its validation are done."""

    def stage_finished(self, stage: str, summary: str) -> None:
        """A stage is done, or its result was there already; ``summary`` is one line."""

    def message(self, text: str) -> None:
        """Something a person should know: one line, shown even where progress is not."""

    def run_planned(self, stages: Sequence[PlannedStage]) -> None:
        """All stages that will come, in order; called before the first one starts."""

    def stage_resumed(self, epoch: int) -> None:
        """The stage that has just started goes on with ``epoch``, counted from 0.

        It is as large as the number of epochs where only the test is left.
        """

    def doing(self, what: str) -> None:
        """What goes on that is no step: ``"reading the data"``, ``"validating"``."""


class NullReporter(Reporter):
    """Listens and says nothing."""


def together(reporters: Sequence[Reporter]) -> Reporter:
    """One reporter for several, which are told in order."""
    return reporters[0] if len(reporters) == 1 else _Several(tuple(reporters))


class _Several(Reporter):
    """Hands everything on."""

    def __init__(self, reporters: tuple[Reporter, ...]) -> None:
        self._reporters = reporters

    def stage_started(self, stage: str, seed: int, epochs: int, steps_per_epoch: int) -> None:
        for each in self._reporters:
            each.stage_started(stage, seed, epochs, steps_per_epoch)

    def step(
        self, epoch: int, step: int, loss: float, accuracy: float, images_per_s: float
    ) -> None:
        for each in self._reporters:
            each.step(epoch, step, loss, accuracy, images_per_s)

    def epoch_finished(
        self,
        epoch: int,
        train_loss: float,
        train_accuracy: float,
        val_accuracy: float,
        seconds: float,
    ) -> None:
        for each in self._reporters:
            each.epoch_finished(epoch, train_loss, train_accuracy, val_accuracy, seconds)

    def stage_finished(self, stage: str, summary: str) -> None:
        for each in self._reporters:
            each.stage_finished(stage, summary)

    def message(self, text: str) -> None:
        for each in self._reporters:
            each.message(text)

    def run_planned(self, stages: Sequence[PlannedStage]) -> None:
        for each in self._reporters:
            tell_plan(each, stages)

    def stage_resumed(self, epoch: int) -> None:
        for each in self._reporters:
            tell_resumed(each, epoch)

    def doing(self, what: str) -> None:
        for each in self._reporters:
            tell_doing(each, what)


def tell_plan(reporter: Reporter, stages: Sequence[PlannedStage]) -> None:
    """Call ``run_planned`` of a reporter that has it."""
    _call(reporter, "run_planned", stages)


def tell_resumed(reporter: Reporter, epoch: int) -> None:
    """Call ``stage_resumed`` of a reporter that has it."""
    _call(reporter, "stage_resumed", epoch)


def tell_doing(reporter: Reporter, what: str) -> None:
    """Call ``doing`` of a reporter that has it."""
    _call(reporter, "doing", what)


def _call(reporter: Reporter, method: str, argument: Any) -> None:
    called = getattr(reporter, method, None)
    if called is not None:
        called(argument)
