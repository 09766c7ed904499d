"""Many runs: a recipe's axes, or any list of recipes, on one machine or on a cluster.

from spiketicket.sweep import Local, run_sweep
result = run_sweep(recipes, seeds=3, runs_dir="runs", executor=Local(workers=2))

<runs>/<name>-<hash>/     run folders, as `find` makes them
<runs>/.shared/<key>/     stages that runs have in common; may be deleted when all is done
<runs>/sweep-<name>/      sweep.json: the runs, and how far they are
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from spiketicket.errors import UserError, argument
from spiketicket.experiment.conclude import is_finished
from spiketicket.experiment.folder import RunFolder
from spiketicket.experiment.record import add_record, check_record
from spiketicket.experiment.results import filled_result
from spiketicket.experiment.schemas import RunResult
from spiketicket.machine.above import Drawn, brief, notebook
from spiketicket.machine.claims import claimed
from spiketicket.machine.files import explained, is_disk_full, read_json, refuse_link, write_json
from spiketicket.machine.typed import typed
from spiketicket.methods.stages import stages_of, ticket_of
from spiketicket.recipe import Recipe, given_tables, setting_texts
from spiketicket.recipe.consent import Consent, given, require_recipe
from spiketicket.sweep.axes import Run, make_runs, parse_axes
from spiketicket.sweep.driver import Driver, TaskState
from spiketicket.sweep.executor import Executor
from spiketicket.sweep.local import Local
from spiketicket.sweep.plan import SHARED, make_plan, merged
from spiketicket.sweep.progress import Observer, Silent, tell_kept
from spiketicket.sweep.ray_cluster import RayCluster

__all__ = [
    "Executor",
    "Local",
    "Observer",
    "RayCluster",
    "Run",
    "Silent",
    "SweepResult",
    "run_runs",
    "run_sweep",
    "sweep_recipe",
]
_SAVE_S = 2.0


@dataclass(frozen=True, kw_only=True)
class SweepResult(Drawn):
    """What became of a sweep.

    ``rows`` has one for every run: ``name``, ``hash``, ``folder``, ``axes``, ``seeds``, ``state``
    (``done``, ``failed``, ``blocked`` or ``waiting``), ``errors``, and where it is done
    ``ticket`` and ``dense`` (test accuracies in percent, one per seed) and ``outcome``.
    ``stopped`` says why not all was tried.
    """

    drawn_by: ClassVar[str] = "sweep_html"

    name: str
    folder: Path
    rows: tuple[Mapping[str, Any], ...]
    failed: tuple[Mapping[str, Any], ...]
    stopped: str = ""

    def __repr__(self) -> str:
        states = [row["state"] for row in self.rows]
        counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
        told = [f"stopped: {brief(self.stopped)}"] if self.stopped else []
        lines = [f"SweepResult {brief(self.name)}: {counts}", *told, f"folder {brief(self.folder)}"]
        return "<" + "\n  ".join(lines) + ">"

    @property
    def verdict(self) -> dict[str, str]:
        """The outcome of every finished run, by the name of its folder."""
        return {Path(r["folder"]).name: r["outcome"] for r in self.rows if r["state"] == "done"}

    def plot(self) -> Any:
        """The accuracy of the finished runs over what differs between them, as figures that a
        notebook shows; see :meth:`FindResult.plot`.
        """
        return notebook("run_figures", self._finished())

    def report(self, output: Path | str | None = None) -> Path:
        """Write one page of all finished runs, and return it; by default into the sweep's folder.

        Raises:
            UserError: no run is finished, or the page cannot be written.
        """
        where = self.folder / "report.html" if output is None else Path(output)
        found: Path = notebook("runs_report", self._finished(), where)
        return found

    def _finished(self) -> list[Path]:
        found = [Path(row["folder"]) for row in self.rows if row["state"] == "done"]
        if not found:
            raise UserError("no run is finished", where=str(self.folder))
        return found

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "sweep": self.name,
            "folder": str(self.folder),
            "stopped": self.stopped,
            "runs": list(self.rows),
            "failed": list(self.failed),
        }


@typed
def sweep_recipe(
    recipe: Recipe | Mapping[str, Any] | str | os.PathLike[str],
    axes: Sequence[str] | Mapping[str, Any],
    overrides: Sequence[str] | Mapping[str, Any] = (),
    *,
    zipped: bool = False,
    runs_dir: Path | str = "runs",
    workers: int = 1,
    executor: Executor | None = None,
    name: str = "",
    retry_failed: bool = False,
    observer: Observer | None = None,
    network: str = "",
    options: Mapping[str, Any] | None = None,
    trust_options: bool = False,
    progress: bool = True,
    **settings: Any,
) -> SweepResult:
    """Do what ``find`` does for every combination of some values, as ``spiketicket sweep``.

    sweep_recipe("digits-binw", {"ticket.density": [0.5, 0.2], "seed": range(3)}, workers=2)

    Args:
        recipe, overrides, settings: those of :func:`spiketicket.load_recipe`.
        axes: keys of the recipe, each with its values; ``seed`` is for repetitions. Or
            ``section.key=values`` texts, as on the command line.
        zipped: take the axes' values together, not their product.
        runs_dir, name, retry_failed, network, options, trust_options: as in :func:`run_runs`.
        workers: processes on this machine; or an ``executor``, such as :class:`RayCluster`.
        observer: is told what happens; without one the sweep shows itself, as a table on a terminal
            and as lines elsewhere, unless ``progress`` is False.

    Raises:
        UserError: as :func:`run_runs`.
        RecipeError: a recipe or an axis makes no sense.
    """
    from spiketicket.sweep.display import observing

    if executor is not None and workers != 1:
        raise UserError("is for no executor", where=argument("workers"), value=workers)
    tables, source = given_tables(recipe)
    texts = setting_texts(overrides, settings)
    made = make_runs(tables, parse_axes(axes, texts), texts, zipped=zipped, source=source)
    carrier = executor or Local(workers)
    with observing(progress, observer) as listener:
        return run_runs(
            made,
            runs_dir,
            carrier,
            name=name,
            retry_failed=retry_failed,
            observer=listener,
            network=network,
            options=options,
            trust_options=trust_options,
        )


def run_sweep(
    recipes: Sequence[Recipe],
    seeds: int | Sequence[int] = 1,
    runs_dir: Path | str = "runs",
    executor: Executor | None = None,
    **options: Any,
) -> SweepResult:
    """Do what ``find`` does for every recipe, with each of the seeds.

    A number of seeds counts from each recipe's own. See :func:`run_runs` for the rest.
    """
    return run_runs(merged(recipes, seeds), runs_dir, executor, **options)


@typed
def run_runs(
    runs: Sequence[Run],
    runs_dir: Path | str = "runs",
    executor: Executor | None = None,
    *,
    name: str = "",
    retry_failed: bool = False,
    restart_plan: bool = False,
    retries: int = 2,
    record: Path | None = None,
    measure: bool = False,
    observer: Observer | None = None,
    network: str = "",
    options: Mapping[str, Any] | None = None,
    trust_options: bool = False,
) -> SweepResult:
    """Do runs in parallel; what is finished is not done again, what several need is done once.

    Args:
        runs: each its own recipe.
        runs_dir: the folder of the run folders; on a cluster every node sees it at this path.
        executor: :class:`Local` or :class:`RayCluster`; default one local worker.
        name: of the sweep; default a hash of its runs.
        retry_failed: whether runs that failed before are tried again.
        restart_plan: whether another set of runs may take this name over.
        retries: how often a task whose worker was lost is taken up again.
        record: file of results that every run's is added to, as ``spiketicket find --record`` does.
        measure: whether every net of a finished run is measured, as ``find`` does for its report.
        observer: is told what happens.
        network, options, trust_options: a custom network that the recipes name, as in
            :func:`spiketicket.find`; every worker is told.

    Raises:
        UserError: a recipe that cannot be run or needs your consent, a folder that cannot be
            written, a sweep of this name that has other runs or is being driven by another
            process, no such executor.
    """
    executor, observer = executor or Local(), observer or Silent()
    consent = Consent(network, options, trust_options)
    place = Path(runs_dir).absolute()
    name = name or _hash([[run.folder, list(run.seeds)] for run in runs])
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}", name):
        raise UserError("must be letters, digits, - and _", where=argument("name"), value=name)
    folder = place / f"sweep-{name}"
    if record is not None:
        check_record(record)
    refuse_link(folder, place / SHARED)
    with given(consent), claimed(folder, deep=False):
        require_consent(runs)
        refuse_link(*(folder / part for part in ("tokens", "progress")))
        with explained(folder):
            for part in ("tokens", "progress"):
                (folder / part).mkdir(exist_ok=True)
        file = _SweepFile(folder / "sweep.json", name, runs, restart_plan)
        plan = make_plan(
            runs, place, executor.device, judge_all=record is not None, measure=measure
        )
        tell_kept(observer, plan, place)
        executor.open(str(place), folder.name)
        try:
            driver = Driver(
                plan=plan,
                executor=executor,
                runs_dir=place,
                folder=folder,
                observer=observer,
                retries=retries,
                changed=file.save,
                consent=consent,
            )
            tasks = driver.run(retry_failed=retry_failed)
        finally:
            executor.close()
        full = _finish(file, tasks, record)
        stopped = driver.stopped or full
        rows = _rows(runs, place, tasks)
    failed = tuple(
        {"task": s.task.label, "place": str(place / s.task.place), **(s.error or {})}
        for s in tasks.values()
        if s.state == "failed"
    )
    return SweepResult(name=name, folder=folder, rows=rows, failed=failed, stopped=stopped)


def _finish(file: _SweepFile, tasks: Mapping[str, TaskState], record: Path | None) -> str:
    """Write what is left to write; the reason where there is no space for it."""
    try:
        file.save(tasks, last=True)
        for state in tasks.values():
            result = state.outcome.result if state.outcome else None
            if record is not None and result is not None:
                add_record(record, result["record"])
    except UserError as error:
        if not is_disk_full(error):
            raise
        return str(error)
    return ""


class _SweepFile:
    """``sweep.json``: what the sweep is, so that a second start means the same, and its state."""

    def __init__(self, path: Path, name: str, runs: Sequence[Run], restart_plan: bool) -> None:
        self.path = path
        listed = [{"folder": r.folder, "seeds": list(r.seeds), "axes": dict(r.axes)} for r in runs]
        self.content: dict[str, Any] = {"format": 1, "name": name, "runs": listed}
        known: Any = read_json(path) or self.content
        if not isinstance(known, dict) or not isinstance(known.get("runs"), list):
            remedy = "Delete it to start the sweep again; finished stages are kept"
            raise UserError("is damaged: names no runs", where=str(path), remedy=remedy)
        before, now = (set(map(_text, content["runs"])) for content in (known, self.content))
        if before != now and not restart_plan:
            raise _edited(path, before, now)
        self._saved, self._at = "", 0.0

    def save(self, tasks: Mapping[str, TaskState], *, last: bool = False) -> None:
        """Write the state, now and then."""
        if not last and self._saved and time.monotonic() - self._at < _SAVE_S:
            return
        facts = {name: state.facts() for name, state in tasks.items()}
        text = _text(facts)
        if text != self._saved:
            write_json(self.path, {**self.content, "tasks": facts})
            self._saved = text
        self._at = time.monotonic()


def _edited(path: Path, before: set[str], now: set[str]) -> UserError:
    what = (
        f"this sweep was started with other runs: {len(before - now)} of {len(before)} are no"
        f" longer asked for, {len(now - before)} of {len(now)} are new; the recipe was edited, or"
        " its defaults have changed"
    )
    restart = argument("restart_plan", True)
    remedy = f"Give it another {argument('name')}, or {restart} to go on with the new runs"
    return UserError(what, where=str(path.parent), remedy=remedy)


def require_consent(runs: Sequence[Run]) -> None:
    """Refuse runs of which a recipe has a custom network that the user did not name.

    Raises:
        UserError: as :func:`spiketicket.recipe.consent.require`.
    """
    for run in runs:
        require_recipe(run.recipe)


def _rows(
    runs: Sequence[Run], place: Path, tasks: Mapping[str, TaskState]
) -> tuple[dict[str, Any], ...]:
    of_run: dict[str, list[TaskState]] = {}
    for state in tasks.values():
        if state.task.kind != "stage":
            of_run.setdefault(state.task.run, []).append(state)
    return tuple(_row(run, place, of_run.get(run.folder, [])) for run in runs)


def _row(run: Run, runs_dir: Path, own: Sequence[TaskState]) -> dict[str, Any]:
    recipe, name = run.recipe, run.folder
    row = {
        "name": recipe.name,
        "hash": recipe.hash,
        "folder": str(runs_dir / name),
        "axes": dict(run.axes),
        "seeds": list(run.seeds),
    }
    errors = [s.error["message"] for s in own if s.error]
    bad = {s.state for s in own} - {"done", "running"}
    if bad or not is_finished(recipe, run.seeds, runs_dir=runs_dir):
        worst = [state for state in ("failed", "blocked", "waiting") if state in bad]
        return {**row, "state": (worst or ["waiting"])[0], "errors": errors}
    found = filled_result(RunFolder(runs_dir / name).result, RunResult)
    stages = {stage["stage"]: stage["test_accuracy"] for stage in found["stages"]}
    return {
        **row,
        "state": "done",
        "errors": [],
        "ticket": stages[ticket_of(stages_of(recipe)).name],
        "dense": stages.get("dense"),
        "outcome": found["verdict"]["outcome"],
    }


def _hash(value: Any) -> str:
    return hashlib.sha256(_text(value).encode()).hexdigest()[:10]


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
