"""How a sweep shows itself while it goes on: a table on a terminal, lines elsewhere, or nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.live import Live
from rich.table import Table
from rich.text import Text

from spiketicket.errors import plain
from spiketicket.machine.alive import alive, described_by
from spiketicket.machine.durations import in_words as time_text
from spiketicket.machine.output import console, in_notebook, print_line, shown, tell
from spiketicket.sweep.plan import Task
from spiketicket.sweep.progress import Observer, Silent, View
from spiketicket.sweep.worker import Beat, Outcome
from spiketicket.verdict.outcomes import in_words

_ROWS = 12
"""Running tasks that are shown; the others are counted."""
_IN_A_LINE = 3


@contextmanager
def observing(progress: bool, observer: Observer | None) -> Iterator[Observer]:
    """The observer of a call from Python: the one given, or what shows itself, or a silent one."""
    if observer is not None or not progress:
        yield observer or Silent()
        return
    tell_ = print_line if in_notebook() else tell
    with alive("sweep", silent=False, tell=tell_):
        if not in_notebook():
            with observer_for(as_json=False, quiet=False) as shown_:
                yield shown_
            return
        lines = _Lines(tell_)
        with described_by(lines.line):
            yield lines


@contextmanager
def observer_for(*, as_json: bool, quiet: bool) -> Iterator[Observer]:
    """The observer that fits what was asked for and where standard error goes."""
    terminal = console(stderr=True)
    if as_json:
        yield Silent()
    elif quiet:
        yield _Quiet()
    elif not terminal.is_terminal:
        lines = _Lines()
        with described_by(lines.line):
            yield lines
    else:
        live = Live(console=terminal, transient=True, refresh_per_second=4)
        with described_by(None), live:
            yield _Table(live)


class _Quiet(Silent):
    """Prints what a person should know."""

    def __init__(self, write: Callable[[str], None] = tell) -> None:
        self._write = write

    def message(self, text: str) -> None:
        """One line."""
        self._write(text)


class _Lines(_Quiet):
    """And a line for every task that ended."""

    _view: View | None = None

    def kept(self, text: str) -> None:
        """One line."""
        self.message(text)

    def tick(self, view: View) -> None:
        """Remembers how far all is."""
        self._view = view

    def line(self) -> str:
        """How far all is."""
        if self._view is None:
            return "planning the runs"
        view = self._view
        shown = view.running[:_IN_A_LINE]
        running = [f"{task.label}: {_position(beat)}" for task, _, beat in shown]
        if len(view.running) > _IN_A_LINE:
            running.append(f"and {len(view.running) - _IN_A_LINE} more")
        return "; ".join([_counted(view), *running])

    def finished(self, task: Task, outcome: Outcome) -> None:
        """One line."""
        self.message(finished_line(task, outcome))


class _Table(_Lines):
    """And a table of what is running, redrawn in place."""

    def __init__(self, live: Live) -> None:
        super().__init__()
        self._live = live

    def message(self, text: str) -> None:
        """One line above the table."""
        self._live.console.print(Text(shown(text)))

    def tick(self, view: View) -> None:
        """Redraws."""
        self._live.update(running_table(view))


def finished_line(task: Task, outcome: Outcome) -> str:
    """What became of a task, in a line."""
    if outcome.state == "done":
        found = (outcome.result or {}).get("found", {}).get("verdict", {})
        verdict = in_words(found.get("outcome", ""))
        end = f"{verdict}, " if verdict else ""
        return f"{task.label}: {end}{time_text(outcome.seconds)} on {outcome.host}"
    return f"{task.label}: {outcome.state}: {(outcome.error or {}).get('message', '')}"


def running_table(view: View) -> Table:
    """The sweep at one moment."""
    table = Table(box=None, title=_counted(view), title_justify="left", title_style="bold")
    for column in ("running", "stage", "epoch", "step", "attempt"):
        table.add_column(column, justify="left" if column in ("running", "stage") else "right")
    for task, attempt, beat in view.running[:_ROWS]:
        table.add_row(*(Text(plain(cell)) for cell in (task.label, *_beat(beat), str(attempt))))
    if len(view.running) > _ROWS:
        table.add_row(f"and {len(view.running) - _ROWS} more")
    return table


def _counted(view: View) -> str:
    counts = ", ".join(f"{n} {state}" for state, n in sorted(view.counts.items()))
    left = "" if view.left_s is None else f", about {time_text(view.left_s)} left"
    return f"{counts}{left}"


def _position(beat: Beat | None) -> str:
    stage, epoch, _ = _beat(beat)
    return "starting" if beat is None else f"{stage}, epoch {epoch}"


def _beat(beat: Beat | None) -> tuple[str, str, str]:
    if beat is None:
        return "-", "-", "-"
    return beat.stage, f"{beat.epoch + 1}/{beat.epochs}", f"{beat.step + 1}/{beat.steps}"
