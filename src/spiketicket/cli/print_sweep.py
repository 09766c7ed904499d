"""A sweep as a person reads it: while it goes on, before it starts, and at its end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.live import Live
from rich.table import Table
from rich.text import Text

from spiketicket.cli.alive import described_by
from spiketicket.cli.console import print_line, print_table, time_text
from spiketicket.cli.print_result import percent
from spiketicket.errors import plain
from spiketicket.machine.output import console, shown, tell
from spiketicket.sweep import Observer, Silent
from spiketicket.sweep.plan import Plan, Task
from spiketicket.sweep.progress import View
from spiketicket.sweep.worker import Beat, Outcome
from spiketicket.verdict.outcomes import in_words

_ROWS = 12
"""Running tasks that are shown; the others are counted."""
_IN_A_LINE = 3


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

    def message(self, text: str) -> None:
        """One line."""
        tell(text)


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


def print_plan(plan: Plan, seconds: Mapping[str, float], wall_s: float, workers: int) -> None:
    """What would be done, and what it would cost."""
    rows = [_planned(run, plan, seconds) for run in plan.runs]
    keys = _keys([run.axes for run in plan.runs])
    columns = (*keys, "run", "seeds", "stages to train", "shared", "time")
    print_table(columns, [[*axes, *rest] for axes, rest in rows], left=len(keys) + 1)
    shared = [task for task in plan.tasks if task.kind == "stage"]
    if shared:
        names: dict[str, list[float]] = {}
        for task in shared:
            names.setdefault(task.stages[-1], []).append(seconds[task.id])
        print_table(
            ("stage in common", "how many", "time"),
            [[name, str(len(each)), time_text(sum(each))] for name, each in names.items()],
        )
    print_line(
        f"{len(plan.runs)} runs, {len(plan.tasks)} tasks to do: {time_text(sum(seconds.values()))}"
        f" of work, about {time_text(wall_s)} with {workers} worker{'s' * (workers != 1)}"
    )
    print_line(
        "Estimated from a few training steps of every distinct network, timed here and now with"
        " the threads of one worker, as if it had the processor to itself; other machines, and busy"
        " ones, take another time."
    )


def _planned(run: Any, plan: Plan, seconds: Mapping[str, float]) -> tuple[list[str], list[str]]:
    name = run.folder
    own = [t for t in plan.tasks if t.kind == "seed" and t.run == name]
    shared = sum(len(t.sources or {}) for t in own)
    stages = sum(len(t.stages) for t in own) - shared
    cost = time_text(sum(seconds[t.id] for t in own)) if own else "finished"
    seeds = ", ".join(str(s) for s in run.seeds)
    return list(run.axes.values()), [name, seeds, str(stages), str(shared), cost]


def print_sweep(result: Mapping[str, Any]) -> None:
    """A row for every run, then what failed and what stopped the sweep."""
    rows = result["runs"]
    keys = _keys([row["axes"] for row in rows])
    columns = (*keys, "run", "ticket %", "dense %", "verdict")
    print_table(
        columns,
        [[*row["axes"].values(), *_outcome(row)] for row in rows],
        title=f"{result['sweep']}: {len(rows)} runs",
        left=len(keys) + 1,
    )
    if any(len(row.get("ticket") or ()) == 1 for row in rows):
        print_line("One seed: no verdict.")
    for error in result["failed"]:
        where = f" (attempt {error['attempt']} on {error['host']})" if "host" in error else ""
        print_line(f"failed   {error['task']}: {error.get('message', '')}{where}", "red")
        print_line(f"         {error['place']}/error.json")
    if result["failed"]:
        print_line("Give --retry-failed to try the failed ones again.")
    if result["stopped"]:
        print_line(f"stopped: {result['stopped']}", "bold red")
    if written := [row["report"] for row in rows if "report" in row]:
        print_line(f"reports  report.html in {len(written)} run folders")
    print_line(f"sweep    {result['folder']}")


def _outcome(row: Mapping[str, Any]) -> list[str]:
    run = f"{row['name']}-{row['hash']}"
    if row["state"] != "done":
        return [run, "-", "-", row["state"]]
    return [run, percent(row["ticket"]), percent(row["dense"] or ()), in_words(row["outcome"])]


def _keys(axes: Sequence[Mapping[str, str]]) -> list[str]:
    return list(axes[0]) if axes else []
