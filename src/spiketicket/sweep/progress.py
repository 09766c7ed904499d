"""How a sweep tells what it is doing, and how long it will still take."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from spiketicket.experiment.folder import CHECKPOINT, RESULT
from spiketicket.sweep.plan import Plan, Task
from spiketicket.sweep.worker import Beat, Outcome


@dataclass(frozen=True)
class View:
    """A sweep at one moment: tasks by state, those that run, and seconds left if known."""

    counts: Mapping[str, int]
    running: tuple[tuple[Task, int, Beat | None], ...]
    """(task, number of the attempt, its newest report)."""
    left_s: float | None


class Observer(Protocol):
    """Listens to a sweep. Calls come from one thread.

    One that also has the method ``kept`` of :class:`Silent` is told what was done before.
    """

    def message(self, text: str) -> None:
        """Something a person should know: one line."""

    def finished(self, task: Task, outcome: Outcome) -> None:
        """An attempt ended, well or not."""

    def tick(self, view: View) -> None:
        """Called a few times per second."""


class Silent:
    """Listens and says nothing."""

    def message(self, text: str) -> None:
        """See :meth:`Observer.message`."""

    def finished(self, task: Task, outcome: Outcome) -> None:
        """See :meth:`Observer.finished`."""

    def tick(self, view: View) -> None:
        """See :meth:`Observer.tick`."""

    def kept(self, text: str) -> None:
        """What is there of an earlier sweep, in a line; called before the first task."""


def tell_kept(observer: Observer, plan: Plan, runs_dir: Path) -> None:
    """Tell an observer that listens to it what of some runs is there already."""
    seeds = sum(len(run.seeds) for run in plan.runs)
    left = [task for task in plan.tasks if task.kind == "seed"]
    begun = [task for task in left if _is_begun(runs_dir / task.place)]
    called = getattr(observer, "kept", None)
    if called is None or (len(left) == seeds and not begun):
        return
    going_on = f", of them begun before and going on: {len(begun)}" if begun else ""
    called(f"kept: {seeds - len(left)} of {seeds} seeds; to do: {len(left)}{going_on}")


def _is_begun(place: Path) -> bool:
    return any(any(place.glob(f"*/{file}")) for file in (CHECKPOINT, RESULT))


class Pace:
    """Seconds per epoch, measured, by kind of training; the mean of all where none was."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, float]] = {}

    def note(self, task: Task, epochs: int, seconds: float) -> None:
        """Epochs of a task and the seconds they took, with all that goes with them."""
        if not epochs:
            return
        for kind in (_kind(task), ""):
            known = self._seen.get(kind, (0, 0.0))
            self._seen[kind] = (known[0] + epochs, known[1] + seconds)

    def left_s(
        self, waiting: Iterable[Task], running: Iterable[tuple[Task, int, Beat | None]], slots: int
    ) -> float | None:
        """Seconds until all is done by ``slots`` workers; None before any epoch was measured."""
        if not self._seen.get("", (0, 0.0))[0]:
            return None
        left = sum(task.epochs * self._epoch_s(task) for task in waiting)
        for task, _, beat in running:
            done = 0.0 if beat is None else beat.done_epochs + beat.step / max(beat.steps, 1)
            left += max(0.0, task.epochs - done) * self._epoch_s(task)
        return left / max(slots, 1)

    def _epoch_s(self, task: Task) -> float:
        epochs, seconds = self._seen.get(_kind(task), (0, 0.0))
        epochs, seconds = (epochs, seconds) if epochs else self._seen[""]
        return seconds / epochs


def _kind(task: Task) -> str:
    recipe = task.recipe
    return f"{recipe.data!r} {recipe.model!r} {recipe.train.batch_size}"
