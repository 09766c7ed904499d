"""Doing one task of a sweep, on whatever host; the same for every executor.

A worker and its driver share nothing but the folder of the runs. Below ``<sweep>/`` there are

    tokens/<task>      which attempt at the task counts; written by the driver alone
    progress/<task>    how far the attempt is; written by the worker
"""

from __future__ import annotations

import contextlib
import functools
import json
import socket
import time
import traceback
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from spiketicket.data import Dataset, load_dataset
from spiketicket.errors import UserError
from spiketicket.experiment.conclude import conclude
from spiketicket.experiment.folder import RunFolder, SeedFolder
from spiketicket.experiment.measure import measure_run
from spiketicket.experiment.seed import run_seed, run_stages
from spiketicket.experiment.setup import Context, Experiment, prepare_experiment
from spiketicket.experiment.shared import Beside, adopt
from spiketicket.machine.bounded import parse_json, read_regular
from spiketicket.machine.claims import Fence, InUseError, SupersededError
from spiketicket.machine.files import is_disk_full, write_bytes, write_json
from spiketicket.machine.parallel import fixed
from spiketicket.progress import NullReporter
from spiketicket.recipe import DataConfig
from spiketicket.recipe.consent import Consent, given
from spiketicket.sweep.plan import Task

_BEAT_S = 1.0
"""The least time between two reports of progress."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What is the same for all tasks of a sweep."""

    runs_dir: str
    sweep: str
    """Name of the sweep's folder in ``runs_dir``."""
    device: str = "cpu"
    threads: int | None = None
    """Of every run; None: as many as pay, at most ``share``."""
    share: int = 1

    @property
    def folder(self) -> Path:
        """The sweep's folder."""
        return Path(self.runs_dir) / self.sweep


@dataclass(frozen=True)
class Order:
    """A task handed to a worker: the attempt's number and its token."""

    task: Task
    attempt: int
    token: str
    consent: Consent | None = None
    """The user's, to run a custom network: a worker has none of its own."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How an attempt ended.

    ``state`` is ``done``; ``failed``, with ``error`` as in ``error.json``; ``superseded``;
    ``busy`` where another process holds the folder; or ``halt`` where no task could go on, such
    as on a full disk. ``epochs`` is how many the attempt trained, ``seconds`` all that it took.
    """

    state: str
    host: str
    seconds: float
    error: Mapping[str, Any] | None = None
    messages: tuple[str, ...] = ()
    epochs: int = 0
    result: Mapping[str, Any] | None = None
    """Of a verdict: what ``find`` answers, and the line it records."""


def execute(order: Order, settings: Settings) -> Outcome:
    """Do a task; whatever goes wrong with it is in the outcome."""
    started, host = time.perf_counter(), socket.gethostname()
    reporter = _Reporter(file=settings.folder / "progress" / order.task.id)
    error: Mapping[str, Any] | None = None
    result: Mapping[str, Any] | None = None
    state = "done"
    try:
        _look_around(settings, host)
        fence = Fence(settings.folder / "tokens" / order.task.id, order.token)
        fence()
        with given(order.consent), fixed(settings.share):
            result = _do(order.task, settings, fence, reporter)
    except SupersededError:
        state = "superseded"
    except InUseError as problem:
        state, error = "busy", {"message": str(problem)}
    except _HaltError as problem:
        state, error = "halt", {"message": str(problem)}
    except Exception as problem:
        error = error_of(problem, host, order.attempt)
        state = "halt" if is_disk_full(problem) else "failed"
        if state == "failed":
            state = _keep(error, Path(settings.runs_dir) / order.task.place)
    with contextlib.suppress(OSError):
        reporter.file.unlink(missing_ok=True)
    return Outcome(
        state=state,
        host=host,
        seconds=time.perf_counter() - started,
        error=error,
        messages=tuple(reporter.messages),
        epochs=reporter.epochs,
        result=result,
    )


class _HaltError(Exception):
    pass


def _look_around(settings: Settings, host: str) -> None:
    if not (settings.folder / "tokens").is_dir():
        raise _HaltError(
            f"{host} does not see {settings.folder}: every node needs the folder of the runs at"
            " the same path. Mount it there, or take the node out, and start the sweep again"
        )


def error_of(problem: BaseException, host: str, attempt: int) -> dict[str, Any]:
    """The content of ``error.json``."""
    user = isinstance(problem, UserError)
    return {
        "type": type(problem).__name__,
        "message": str(problem) or type(problem).__name__,
        "traceback": "" if user else "".join(traceback.format_exception(problem)),
        "host": host,
        "attempt": attempt,
    }


def _keep(error: Mapping[str, Any], place: Path) -> str:
    try:
        place.mkdir(parents=True, exist_ok=True)
        write_json(SeedFolder(place).error, error)
    except (UserError, OSError) as problem:
        return "halt" if is_disk_full(problem) else "failed"
    return "failed"


def _do(
    task: Task, settings: Settings, fence: Fence, reporter: _Reporter
) -> Mapping[str, Any] | None:
    context = Context(
        device=settings.device,
        threads=settings.threads,
        reporter=reporter,
        guard=fence,
        adopt=_Adopter(settings, task, Beside(Path(settings.runs_dir), reporter)),
        sweep=settings.sweep,
        load=_load,
    )
    runs_dir = Path(settings.runs_dir)
    if task.kind == "verdict":
        found = conclude(task.recipe, task.seeds, runs_dir=runs_dir, context=context)
        if task.measure:
            measured = measure_run(
                found.folder,
                device=settings.device,
                reporter=reporter,
                dataset=_load(task.recipe.data),
            )
            reporter.messages += measured.failed
        return {"found": found.to_dict(), "record": found.record()}
    experiment = prepare_experiment(task.recipe, context)
    (seed,) = task.seeds
    if task.kind == "seed":
        run_seed(experiment, RunFolder(runs_dir / task.run), seed, context)
    else:
        stages = [stage for stage in experiment.stages if stage.name in task.stages]
        run_stages(experiment, SeedFolder(runs_dir / task.place), stages, seed, context)
    return None


@functools.lru_cache(maxsize=1)
def _load(config: DataConfig) -> Dataset:
    """Data that the tasks of a worker have in common is read once."""
    return load_dataset(config)


@dataclass(frozen=True)
class _Adopter:
    """Takes stages from where the sweep has put them, the others from the runs beside."""

    settings: Settings
    task: Task
    beside: Beside

    def __call__(self, experiment: Experiment, name: str, seed: int, folder: Path) -> None:
        source = (self.task.sources or {}).get(name)
        if source is None:
            self.beside(experiment, name, seed, folder)
        else:
            adopt(experiment, Path(self.settings.runs_dir) / source, folder)


@dataclass(kw_only=True)
class _Reporter(NullReporter):
    """Writes a file now and then that says how far the task is."""

    file: Path
    messages: list[str] = field(default_factory=list)
    epochs: int = 0
    _stage: str = ""
    _of: tuple[int, int] = (0, 0)
    _last: float = 0.0

    def stage_started(self, stage: str, seed: int, epochs: int, steps_per_epoch: int) -> None:
        """Remembers the stage."""
        self._stage, self._of = stage, (epochs, steps_per_epoch)

    def step(
        self, epoch: int, step: int, loss: float, accuracy: float, images_per_s: float
    ) -> None:
        """Writes, unless it did a moment ago."""
        now = time.monotonic()
        if now - self._last >= _BEAT_S:
            self._last = now
            epochs, steps = self._of
            beat = Beat(
                stage=self._stage,
                epoch=epoch,
                epochs=epochs,
                steps=steps,
                step=step,
                done_epochs=self.epochs,
            )
            with contextlib.suppress(OSError, UserError):  # progress is no reason to fail
                write_bytes(self.file, json.dumps(asdict(beat)).encode())

    def epoch_finished(
        self,
        epoch: int,
        train_loss: float,
        train_accuracy: float,
        val_accuracy: float,
        seconds: float,
    ) -> None:
        """Counts."""
        self.epochs += 1

    def message(self, text: str) -> None:
        """Kept for the driver."""
        self.messages.append(text)


@dataclass(frozen=True, kw_only=True)
class Beat:
    """How far an attempt is: the stage, its epoch and step, and what the task trained before."""

    stage: str
    epoch: int
    epochs: int
    steps: int
    step: int
    done_epochs: int


def read_beat(folder: Path, task: str) -> Beat | None:
    """The newest report on a task, if there is one."""
    try:
        beat = Beat(**parse_json(read_regular(folder / "progress" / task).decode()))
    except (OSError, ValueError, TypeError, UserError):
        return None
    numbers = (beat.epoch, beat.epochs, beat.steps, beat.step, beat.done_epochs)
    stage: object = beat.stage  # of a file, as the numbers are
    return beat if isinstance(stage, str) and all(isinstance(n, int) for n in numbers) else None
