"""The driver of a sweep: the only one that decides who does what.

It hands a task out under a token of its own (:class:`spiketicket.machine.claims.Fence`), hears
how it ended, and hands it out again where its worker was lost. All that matters is in the folder
of the runs, so a driver that dies is replaced by starting the sweep again. No clock of another
host is ever read: a worker is lost when its process or node is, not when it has been silent.
"""

from __future__ import annotations

import secrets
import socket
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spiketicket.errors import UserError, argument
from spiketicket.experiment.folder import SeedFolder
from spiketicket.machine.files import is_disk_full, write_bytes, write_json
from spiketicket.recipe.consent import Consent
from spiketicket.sweep.executor import Ended, Executor
from spiketicket.sweep.plan import Plan, Task, failure
from spiketicket.sweep.progress import Observer, Pace, View
from spiketicket.sweep.worker import Order, Outcome, error_of, read_beat

_TICK_S = 0.25
_BUSY_S = 3.0
"""How long to wait before a folder that another process holds is tried again."""


@dataclass(kw_only=True)
class TaskState:
    """Where a task is: ``waiting``, ``running``, ``done``, ``failed``, or ``blocked`` because a
    task before it failed.
    """

    task: Task
    state: str = "waiting"
    attempts: int = 0
    losses: int = 0
    token: str = ""
    not_before: float = 0.0
    error: Mapping[str, Any] | None = None
    outcome: Outcome | None = None

    def facts(self) -> dict[str, Any]:
        """For the sweep's own file."""
        error = None if self.error is None else self.error["message"]
        return {"state": self.state, "attempts": self.attempts, "error": error}


@dataclass(kw_only=True)
class Driver:
    """Carries out a plan; ``changed`` is called with all tasks whenever one of them changed.

    ``consent`` is the user's, to run a custom network, and is handed to every worker.
    """

    plan: Plan
    executor: Executor
    runs_dir: Path
    folder: Path
    observer: Observer
    retries: int
    changed: Callable[[Mapping[str, TaskState]], None]
    consent: Consent | None = None
    stopped: str = ""
    """Why no more tasks were handed out, if so."""
    _tasks: dict[str, TaskState] = field(default_factory=dict)
    _pace: Pace = field(default_factory=Pace)
    _told: set[str] = field(default_factory=set)

    def run(self, *, retry_failed: bool) -> Mapping[str, TaskState]:
        """Do all that can be done. Raises UserError where the executor cannot go on."""
        self._tasks = {task.id: TaskState(task=task) for task in self.plan.tasks}
        for state in self._tasks.values():
            self._recall(state, retry_failed)
        while True:
            try:
                self._hand_out()
                self.changed(self._tasks)
            except UserError as error:
                self._halt(error)
            if not self._running() and (self.stopped or not self._waiting()):
                break
            for ended in self.executor.wait(_TICK_S):
                self._hear(ended)
            self.observer.tick(self._view())
        return self._tasks

    def _recall(self, state: TaskState, retry_failed: bool) -> None:
        error = failure(state.task, self.runs_dir)
        if error is not None and retry_failed:
            SeedFolder(self.runs_dir / state.task.place).error.unlink(missing_ok=True)
        elif error is not None:
            self._fail(state, error)

    def _hand_out(self) -> None:
        if self.stopped or not self._waiting():
            return
        free = self.executor.slots() - len(self._running())
        if self.executor.slots() == 0:
            self._tell("no worker has the resources that a run asks for; waiting for one")
        for state in self._waiting():
            if free <= 0:
                return
            before = [self._tasks[need].state for need in state.task.needs]
            if all(s == "done" for s in before) and state.not_before <= time.monotonic():
                self._submit(state)
                free -= 1

    def _submit(self, state: TaskState) -> None:
        token = secrets.token_hex(16)
        write_bytes(self.folder / "tokens" / state.task.id, token.encode())
        state.state, state.token, state.attempts = "running", token, state.attempts + 1
        self.executor.submit(Order(state.task, state.attempts, token, self.consent))

    def _hear(self, ended: Ended) -> None:
        state = self._tasks[ended.order.task.id]
        if ended.order.token != state.token:
            return  # an attempt that was given up long ago
        outcome = ended.outcome
        if outcome is None:
            self._lost(state, ended.lost)
            return
        for message in outcome.messages:
            self._tell(message)
        state.outcome = outcome
        self._pace.note(state.task, outcome.epochs, outcome.seconds)
        if outcome.state == "done":
            state.state = "done"
        elif outcome.state == "failed":
            self._fail(state, outcome.error or {})
        elif outcome.state == "busy":
            state.state, state.not_before = "waiting", time.monotonic() + _BUSY_S
            self._tell(f"waiting: {(outcome.error or {})['message']}")
            return
        elif outcome.state == "halt":
            state.state = "waiting"
            self._stop(str((outcome.error or {})["message"]))
        else:
            state.state = "waiting"
            self._stop("another driver has taken this sweep over; see to it that there is one")
            return
        if outcome.state in ("done", "failed"):
            (self.folder / "tokens" / state.task.id).unlink(missing_ok=True)
        self.observer.finished(state.task, outcome)

    def _lost(self, state: TaskState, reason: str) -> None:
        state.losses += 1
        if state.losses <= self.retries:
            state.state = "waiting"
            self.observer.message(f"{state.task.label}: {reason}; going on from its checkpoint")
            return
        lost = UserError(
            f"lost its worker {state.losses} times; {reason}",
            where=state.task.label,
            remedy=f"Is there enough memory? Give {argument('retry_failed', True)} to try again",
        )
        error = {**error_of(lost, socket.gethostname(), state.attempts), "type": "WorkerLost"}
        # Whoever may still be at it must not write from here on.
        (self.folder / "tokens" / state.task.id).unlink(missing_ok=True)
        try:
            place = self.runs_dir / state.task.place
            place.mkdir(parents=True, exist_ok=True)
            write_json(SeedFolder(place).error, error)
        except (UserError, OSError) as problem:
            self._halt(problem)
        self._fail(state, error)
        self.observer.finished(
            state.task, Outcome(state="failed", host=error["host"], seconds=0.0, error=error)
        )

    def _fail(self, state: TaskState, error: Mapping[str, Any]) -> None:
        state.state, state.error = "failed", error
        lost = {state.task.id}
        for other in self._tasks.values():  # in an order in which each comes after its needs
            if lost & set(other.task.needs) and other.state != "failed":
                other.state = "blocked"
                lost.add(other.task.id)

    def _halt(self, error: UserError | OSError) -> None:
        if not is_disk_full(error):
            raise error
        self._stop(str(error))

    def _stop(self, reason: str) -> None:
        if not self.stopped:
            self.stopped = reason
            self.observer.message(f"no more runs are started: {reason}")

    def _tell(self, message: str) -> None:
        if message not in self._told:
            self._told.add(message)
            self.observer.message(message)

    def _running(self) -> list[TaskState]:
        return [s for s in self._tasks.values() if s.state == "running"]

    def _waiting(self) -> list[TaskState]:
        return [s for s in self._tasks.values() if s.state == "waiting"]

    def _view(self) -> View:
        running = tuple(
            (s.task, s.attempts, read_beat(self.folder, s.task.id)) for s in self._running()
        )
        waiting = [s.task for s in self._waiting()]
        left = self._pace.left_s(
            waiting, running, min(self.executor.slots(), len(waiting) + len(running))
        )
        return View(Counter(s.state for s in self._tasks.values()), running, left)
