"""How a run shows itself while it goes on: a bar on a terminal, lines elsewhere, or nothing.

All of it goes to standard error, so that standard output holds the result alone; in a notebook the
lines go into the cell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich import progress as bars
from rich.console import Console
from rich.text import Text

from spiketicket.errors import plain
from spiketicket.experiment.whole import Whole
from spiketicket.machine.alive import alive, described_by
from spiketicket.machine.output import console, in_notebook, print_line, shown, tell
from spiketicket.progress import NullReporter, PlannedStage, Reporter, together

_WIDE = 130


@contextmanager
def reporting(
    command: str, *, progress: bool, reporter: Reporter | Sequence[Reporter] | None
) -> Iterator[Reporter]:
    """The reporter of a call from Python: those given, beside what shows itself."""
    given = [reporter] if isinstance(reporter, Reporter) else list(reporter or ())
    if not progress:
        yield together(given)
    elif in_notebook():
        lines = LineReporter(print_line)
        with alive(command, silent=False, tell=print_line), described_by(lines.whole.line):
            yield together([lines, *given])
    else:
        display = reporter_for(as_json=False, quiet=False)
        with alive(command, silent=False), display as shown_:
            yield together([shown_, *given])


@contextmanager
def reporter_for(*, as_json: bool, quiet: bool) -> Iterator[Reporter]:
    """The reporter that fits what was asked for and where standard error goes."""
    terminal = console(stderr=True)
    if as_json:
        yield NullReporter()
    elif quiet:
        yield QuietReporter()
    elif not terminal.is_terminal:
        lines = LineReporter()
        with described_by(lines.whole.line):
            yield lines
    else:
        with described_by(None), _bars(terminal) as display:
            yield BarReporter(display, wide=terminal.width >= _WIDE)


def _bars(console: Console) -> bars.Progress:
    wide = console.width >= _WIDE
    return bars.Progress(
        bars.TextColumn("{task.description}", style="bold", markup=False),
        bars.BarColumn(bar_width=20 if wide else 10),
        bars.TextColumn("{task.fields[state]}", markup=False),
        console=console,
        transient=True,
    )


class QuietReporter(NullReporter):
    """Prints what a person should know, and no progress."""

    def __init__(self, write: Callable[[str], None] = tell) -> None:
        self._write = write

    def message(self, text: str) -> None:
        """One line."""
        self._write(text)


class LineReporter(QuietReporter):
    """Prints a line when a stage is done, and where one goes on.

    ``whole`` says how far the run is, for the lines between.
    """

    def __init__(self, write: Callable[[str], None] = tell) -> None:
        super().__init__(write)
        self.whole = Whole()
        self._running = ("", 0)

    def run_planned(self, stages: Sequence[PlannedStage]) -> None:
        """Remembers them."""
        self.whole.planned(stages)

    def stage_started(self, stage: str, seed: int, epochs: int, steps_per_epoch: int) -> None:
        """Remembers the stage."""
        self._running = (stage, seed)
        self.whole.started(stage, seed, epochs, steps_per_epoch)

    def stage_resumed(self, epoch: int) -> None:
        """One line."""
        self.whole.resumed(epoch)
        epochs = self.whole.epochs
        place = f"goes on from epoch {epoch + 1} of {epochs}"
        kept = f"all {epochs} epochs are kept"
        self.message(f"{self.whole.title()}: {place if epoch < epochs else kept}")
        self._show()

    def step(
        self, epoch: int, step: int, loss: float, accuracy: float, images_per_s: float
    ) -> None:
        """Remembers the numbers."""
        self.whole.step(epoch, step, loss, accuracy, images_per_s)
        self._show()

    def doing(self, what: str) -> None:
        """Remembers it."""
        self.whole.doing(what)
        self._show()

    def stage_finished(self, stage: str, summary: str) -> None:
        """One line."""
        title = "{}, seed {}".format(*self._running) if self._running[0] == stage else stage
        kept = ", kept" if self.whole.kept else ""
        self._running = ("", 0)
        self.whole.finished()
        self._show()
        self.message(f"{title}: {summary}{kept}")

    def _show(self) -> None:
        """Called when something has changed."""


class BarReporter(LineReporter):
    """Draws one bar for the whole run, and leaves a line for each stage that is done."""

    def __init__(self, display: bars.Progress, *, wide: bool) -> None:
        super().__init__()
        self._display, self._wide = display, wide
        self._task: bars.TaskID | None = None

    def message(self, text: str) -> None:
        """One line above the bar."""
        self._display.console.print(Text(shown(text)))

    def _show(self) -> None:
        whole = self.whole
        number = whole.number()
        before = "" if number is None else "{}/{} ".format(*number)
        if number is not None and self._wide:
            before = "stage {} of {}: ".format(*number)
        if self._task is None:
            self._task = self._display.add_task(whole.title(), total=1.0, state="")
        self._display.update(
            self._task,
            description=plain(before + whole.title()),
            completed=whole.share(),
            state=self._state(),
        )

    def _state(self) -> str:
        whole, newest, wide = self.whole, self.whole.newest, self._wide
        parts = []
        if whole.epochs:
            epoch = f"{min(newest.epoch + 1, whole.epochs)}/{whole.epochs}"
            parts.append(f"epoch {epoch}" if wide else epoch)
        if whole.epochs and newest.step >= 0:
            parts += [f"loss {newest.loss:.3f}"] * wide
            parts.append(f"{'accuracy' if wide else 'acc.'} {newest.accuracy:.1%}")
            parts += [f"{newest.images_per_s:.0f} images/s"] * wide
        left = whole.left_s()
        if left is not None:
            minutes, seconds = divmod(round(left), 60)
            hours, minutes = divmod(minutes, 60)
            parts.append(f"{hours}:{minutes:02}:{seconds:02} left")
        return " ".join(parts)
