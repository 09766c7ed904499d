"""Reporters of the command line: bars on a terminal, a line a stage elsewhere, or nothing.

All of it goes to standard error, so that standard output holds the result alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich import progress as bars
from rich.console import Console
from rich.text import Text

from spiketicket._plain import plain
from spiketicket._streams import console, tell
from spiketicket.reporting import NullReporter, Reporter

_WIDE = 105


@contextmanager
def reporter_for(*, as_json: bool, quiet: bool) -> Iterator[Reporter]:
    """The reporter that fits what was asked for and where standard error goes."""
    terminal = console(stderr=True)
    if as_json:
        yield NullReporter()
    elif quiet:
        yield QuietReporter()
    elif not terminal.is_terminal:
        yield LineReporter()
    else:
        with _bars(terminal) as display:
            yield BarReporter(display)


def _bars(console: Console) -> bars.Progress:
    narrow = console.width < _WIDE
    columns = (
        bars.TextColumn("{task.description}", style="bold"),
        bars.BarColumn(bar_width=20),
        bars.TextColumn(
            ("" if narrow else "epoch ") + "{task.fields[epoch]}/{task.fields[epochs]}"
        ),
        bars.TextColumn("loss {task.fields[loss]:.3f}"),
        bars.TextColumn(("acc." if narrow else "accuracy") + " {task.fields[accuracy]:.1%}"),
        bars.TextColumn("{task.fields[images_per_s]:.0f} images/s"),
        bars.TimeRemainingColumn(),
    )
    # The bar goes first where there is no room: numbers cut off say less than none.
    shown = [c for c in columns if not (narrow and isinstance(c, bars.BarColumn))]
    return bars.Progress(*shown, console=console, transient=True)


class QuietReporter(NullReporter):
    """Prints what a person should know, and no progress."""

    def message(self, text: str) -> None:
        """One line."""
        tell(text)


class LineReporter(QuietReporter):
    """Prints a line when a stage is done."""

    def __init__(self) -> None:
        self._running = ("", 0)

    def stage_started(self, stage: str, seed: int, epochs: int, steps_per_epoch: int) -> None:
        """Remembers the stage."""
        self._running = (stage, seed)

    def stage_finished(self, stage: str, summary: str) -> None:
        """One line."""
        self.message(_finished_line(self._running, stage, summary))
        self._running = ("", 0)


class BarReporter(NullReporter):
    """Draws a bar for the running stage, and leaves a line for each that is done."""

    def __init__(self, display: bars.Progress) -> None:
        self._display = display
        self._running = ("", 0)
        self._epochs = 0
        self._steps = 0
        self._task: bars.TaskID | None = None

    def stage_started(self, stage: str, seed: int, epochs: int, steps_per_epoch: int) -> None:
        """Remembers the stage; its bar comes with the first step."""
        self._drop()
        self._running = (stage, seed)
        self._epochs, self._steps = epochs, steps_per_epoch

    def step(
        self, epoch: int, step: int, loss: float, accuracy: float, images_per_s: float
    ) -> None:
        """Moves the bar."""
        done = epoch * self._steps + step + 1
        if self._task is None:
            # The steps before a checkpoint are no measure of the speed: they are where it starts.
            self._task = self._display.add_task(
                "{}, seed {}".format(*self._running),
                total=self._epochs * self._steps,
                completed=done - 1,
                epoch=0,
                epochs=self._epochs,
                loss=0.0,
                accuracy=0.0,
                images_per_s=0.0,
            )
        self._display.update(
            self._task,
            completed=done,
            epoch=epoch + 1,
            loss=loss,
            accuracy=accuracy,
            images_per_s=images_per_s,
        )

    def stage_finished(self, stage: str, summary: str) -> None:
        """Turns the bar into a line."""
        self._drop()
        self.message(_finished_line(self._running, stage, summary))
        self._running = ("", 0)

    def message(self, text: str) -> None:
        """One line above the bar."""
        self._display.console.print(Text(plain(text)))

    def _drop(self) -> None:
        if self._task is not None:
            self._display.remove_task(self._task)
            self._task = None


def _finished_line(running: tuple[str, int], stage: str, summary: str) -> str:
    """A stage whose result was there already never started, so its seed is not known."""
    title = f"{stage}, seed {running[1]}" if running[0] == stage else stage
    return f"{title}: {summary}"
