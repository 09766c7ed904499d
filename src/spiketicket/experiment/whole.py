"""How far a whole run is, and how long it will still take."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from spiketicket.machine.durations import duration
from spiketicket.progress import PlannedStage


@dataclass(kw_only=True)
class Newest:
    """The newest numbers of the running stage."""

    epoch: int = 0
    step: int = -1
    loss: float = 0.0
    accuracy: float = 0.0
    images_per_s: float = 0.0


class Whole:
    """Hears what a reporter hears, and says how far the run is; times are in seconds.

    The estimate: an epoch takes what the epochs of the stages with its title have taken in this
    process, their validation and all pauses between them included; where none was trained, what an
    epoch of any stage has. A stage is timed from its first step on, which is slower than the
    others; what was kept of an earlier process is no measure.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._stages: list[PlannedStage] = []
        self._over: set[int] = set()
        self._seen: dict[str, tuple[float, float]] = {}
        """Epochs and seconds by title."""
        self._at: int | None = None
        self._since = self._began = clock()
        self._first = 0.0
        """Epochs of the running stage that are no measure."""
        self._epochs = self._steps = 0
        self._now = ""
        self.newest = Newest()

    def planned(self, stages: Sequence[PlannedStage]) -> None:
        """All stages that will come."""
        self._stages, self._over, self._at = list(stages), set(), None
        self._over = {k for k, stage in enumerate(self._stages) if stage.done}

    def started(self, title: str, seed: int, epochs: int, steps: int) -> None:
        """A stage begins."""
        self._at = self._find(title, seed, epochs)
        self._since, self._first, self.newest = self._clock(), 0.0, Newest()
        self._epochs, self._steps, self._now = epochs, steps, ""

    def resumed(self, epoch: int) -> None:
        """The stage goes on with this epoch."""
        self._first, self.newest = float(epoch), Newest(epoch=epoch)

    def step(
        self, epoch: int, step: int, loss: float, accuracy: float, images_per_s: float
    ) -> None:
        """A step was taken."""
        first = self.newest.step < 0
        self.newest, self._now = (
            Newest(epoch=epoch, step=step, loss=loss, accuracy=accuracy, images_per_s=images_per_s),
            "",
        )
        if first:
            self._first, self._since = self._done(), self._clock()

    def doing(self, what: str) -> None:
        """What goes on that is no step."""
        self._now = what

    def finished(self) -> None:
        """The running stage is done; it may have ended before its last epoch."""
        if self._at is None:
            return
        title = self._stages[self._at].title
        epochs, seconds = self._seen.get(title, (0.0, 0.0))
        trained = self._done_here()
        if trained > 0:
            self._seen[title] = (epochs + trained, seconds + self._clock() - self._since)
        self._over.add(self._at)
        self._at, self._now = None, ""

    @property
    def kept(self) -> bool:
        """Whether the running stage's result was there before."""
        return self._at is not None and self._stages[self._at].done

    @property
    def epochs(self) -> int:
        """Epochs of the running stage; 0 where nothing is trained."""
        return self._epochs if self._at is not None else 0

    def share(self) -> float:
        """How much is done, from 0 to 1: epochs of all epochs, or stages where none has any."""
        total = sum(stage.epochs for stage in self._stages)
        if not total:
            return len(self._over) / len(self._stages) if self._stages else 0.0
        done = float(sum(self._stages[k].epochs for k in self._over))
        if self._at is not None and self._at not in self._over:
            done += self._done()
        return min(1.0, done / total)

    def left_s(self) -> float | None:
        """Seconds that the training of all stages still takes; None before anything was timed."""
        seen = dict(self._seen)
        if self._at is not None and (here := self._done_here()) > 0:
            title = self._stages[self._at].title
            epochs, seconds = seen.get(title, (0.0, 0.0))
            seen[title] = (epochs + here, seconds + self._clock() - self._since)
        epochs, seconds = (sum(part) for part in zip((0.0, 0.0), *seen.values(), strict=True))
        if epochs <= 0:
            return None
        left = 0.0
        for k, stage in enumerate(self._stages):
            if k not in self._over:
                known = seen.get(stage.title, (epochs, seconds))
                still = stage.epochs - (self._done() if k == self._at else 0.0)
                left += max(0.0, still) * known[1] / known[0]
        return left

    def title(self) -> str:
        """The running stage and its seed, or what goes on between stages."""
        if self._at is None:
            return self._now or ("preparing the next stage" if self._over else "starting")
        stage = self._stages[self._at]
        return f"{stage.title}, seed {stage.seed}"

    def number(self) -> tuple[int, int] | None:
        """Which stage runs, from 1, and how many there are; None where that is not known."""
        many = len(self._stages) > 1
        return (self._at + 1, len(self._stages)) if self._at is not None and many else None

    def line(self) -> str:
        """All of it in one line."""
        number, newest = self.number(), self.newest
        parts = [
            self.title() if number is None else "stage {} of {}: {}".format(*number, self.title())
        ]
        if self._at is None:
            parts.append(f"{duration(self._clock() - self._began)} so far")
        elif self.epochs:
            parts.append(f"epoch {min(newest.epoch + 1, self.epochs)} of {self.epochs}")
            if newest.step >= 0:
                parts.append(f"step {newest.step + 1} of {self._steps}, loss {newest.loss:.3f}")
                parts.append(f"accuracy {100 * newest.accuracy:.1f} %")
        if self._at is not None and self._now:
            parts.append(self._now)
        left = self.left_s()
        if left is not None:
            parts.append(f"{100 * self.share():.0f} % of all, about {duration(left)} left")
        return ", ".join(parts)

    def _find(self, title: str, seed: int, epochs: int) -> int:
        """The place of a stage in the plan; one that was not planned is added."""
        for k, stage in enumerate(self._stages):
            if (stage.title, stage.seed) == (title, seed):
                return k
        self._stages.append(PlannedStage(title, seed, epochs))
        return len(self._stages) - 1

    def _done(self) -> float:
        """Epochs of the running stage that are done."""
        if self.newest.step < 0:
            return self._first
        return self.newest.epoch + (self.newest.step + 1) / max(self._steps, 1)

    def _done_here(self) -> float:
        return self._done() - self._first
