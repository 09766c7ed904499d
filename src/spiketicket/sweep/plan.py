"""What a sweep has to do: runs as tasks, those that need each other in order.

A task is what one worker does at a time: the stages of one seed (``seed``), a stage that several
of them have in common (``stage``), or a run's verdict over its finished seeds (``verdict``). What
is finished already, by whichever command, is no task.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from spiketicket.errors import UserError
from spiketicket.experiment.conclude import is_finished
from spiketicket.experiment.folder import RunFolder, SeedFolder, StageFolder
from spiketicket.experiment.keys import stage_inputs, stage_keys
from spiketicket.experiment.provenance import versions
from spiketicket.experiment.tuning import FIRST, is_tuned
from spiketicket.machine.files import read_json
from spiketicket.methods.stages import Stage, halved, stages_of
from spiketicket.recipe import Recipe
from spiketicket.sweep.axes import Run

SHARED = ".shared"
"""Folder of the stages that runs have in common, beside the run folders."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """One thing to do; paths are below the folder of the run folders.

    Args:
        run: name of the run's folder.
        recipe: the run's; of a shared stage, those of any run that needs it.
        stages: what is to be done, in order.
        place: where: the folder of a seed, of a shared stage, or of the run.
        sources: stages to be taken over, and where from.
        needs: tasks that come before it.
        epochs: how many it trains, at most.
        measure: of a verdict: whether the run's nets are measured as well.
    """

    id: str
    kind: Literal["stage", "seed", "verdict"]
    run: str
    recipe: Recipe
    seeds: tuple[int, ...]
    place: str
    stages: tuple[str, ...] = ()
    sources: Mapping[str, str] | None = None
    needs: tuple[str, ...] = ()
    epochs: int = 0
    measure: bool = False

    @property
    def label(self) -> str:
        """The task in a few words."""
        if self.kind == "stage":
            return f"shared {self.stages[-1].replace('_', ' ')}, seed {self.seeds[0]}"
        if self.kind == "seed":
            return f"{self.run}, seed {self.seeds[0]}"
        return f"{self.run}, verdict"


@dataclass(frozen=True)
class Plan:
    """The tasks of a sweep in an order in which each comes after those it needs."""

    runs: tuple[Run, ...]
    tasks: tuple[Task, ...]


def make_plan(
    runs: Sequence[Run],
    runs_dir: Path,
    device: str = "cpu",
    *,
    judge_all: bool = False,
    measure: bool = False,
) -> Plan:
    """What is left to do of these runs; ``judge_all`` reads the finished ones' verdicts again, and
    ``measure`` counts the operations of all nets of every run.

    Raises:
        UserError: a run's stages cannot be (an empty ladder, say), or its files are damaged.
    """
    return _Planner(runs, runs_dir, device, measure).plan(judge_all)


def merged(recipes: Sequence[Recipe], seeds: int | Sequence[int]) -> list[Run]:
    """Recipes as runs; a number of seeds counts from each recipe's own. Equal recipes are one."""
    found: dict[str, Run] = {}
    for recipe in recipes:
        own = recipe.repetitions(seeds) if isinstance(seeds, int) else seeds
        run = Run(recipe, tuple(sorted(set(own))), {})
        found.setdefault(run.folder, run)
    return list(found.values())


class _Planner:
    def __init__(self, runs: Sequence[Run], runs_dir: Path, device: str, measure: bool) -> None:
        self.runs, self.dir, self.device, self.measure = tuple(runs), runs_dir, device, measure
        self.wanted: dict[str, int] = {}
        """Unfinished stages by key: how many seeds of runs have it."""
        self.finished: dict[str, str] = {}
        """Finished stages by key: where."""
        self.shared: dict[str, Task] = {}
        self.made_by = versions()
        self.open: set[tuple[str, int]] = set()
        """Seeds of runs of which a stage is not finished."""

    def plan(self, judge_all: bool) -> Plan:
        open_seeds = []
        verdicts = []
        for run in self.runs:
            for seed in run.seeds:
                keys = stage_keys(run.recipe, seed, self.device, self.made_by)
                if self._survey(run, seed, keys):
                    open_seeds.append((run, seed, keys))
                    self.open.add((run.folder, seed))
            if judge_all or self._is_open(run):
                verdicts.append(run)
        seeds = {(run.folder, seed): self._seed(run, seed, keys) for run, seed, keys in open_seeds}
        ends = [self._verdict(run, seeds) for run in verdicts]
        return Plan(self.runs, (*self.shared.values(), *_runs_together(seeds.values(), ends)))

    def _is_open(self, run: Run) -> bool:
        if not is_finished(run.recipe, run.seeds, runs_dir=self.dir):
            return True
        folder, names = RunFolder(self.dir / run.folder), [s.name for s in stages_of(run.recipe)]
        places = [folder.seed(seed).stage(name) for seed in run.seeds for name in names]
        return self.measure and not all(place.measure.exists() for place in places)

    def _survey(self, run: Run, seed: int, keys: Mapping[str, str]) -> bool:
        """Note what is finished; whether anything is not."""
        own = RunFolder(Path(run.folder)).seed(seed).path
        unfinished = False
        for name, key in keys.items():
            if self._is_finished(own / name):
                self.finished.setdefault(key, str(own / name))
            else:
                unfinished = True
                self.wanted[key] = self.wanted.get(key, 0) + 1
                common = Path(SHARED, key, name)
                if self._is_finished(common):
                    self.finished.setdefault(key, str(common))
        return unfinished

    def _is_finished(self, place: Path) -> bool:
        return StageFolder(self.dir / place).finished

    def _seed(self, run: Run, seed: int, keys: Mapping[str, str]) -> Task:
        own = RunFolder(Path(run.folder)).seed(seed).path
        epochs = {s.name: s.epochs(run.recipe) for s in stages_of(run.recipe)}
        left = [n for n in keys if not self._is_finished(own / n)]
        # What trains nothing is done as quickly as it is taken over.
        common = [n for n in left if epochs[n] and self._is_common(keys[n])]
        sources, needs = {}, []
        for name in common:
            sources[name], task = self._source(name, run, seed, keys)
            needs += [task] if task else []
        needs += self._tuned_first(run, seed)
        return Task(
            id=self._seed_id(run, seed),
            kind="seed",
            run=run.folder,
            recipe=run.recipe,
            seeds=(seed,),
            place=str(own),
            stages=tuple(keys),
            sources=sources,
            needs=tuple(needs),
            epochs=sum(
                epochs[s.name] + _trial_epochs(run.recipe, s, seed)
                for s in stages_of(run.recipe)
                if s.name in left and s.name not in sources
            ),
        )

    def _is_common(self, key: str) -> bool:
        return key in self.finished or self.wanted[key] > 1

    def _source(self, name: str, run: Run, seed: int, keys: Mapping[str, str]) -> tuple[str, str]:
        """Where a common stage is or will be, and the task that puts it there, if any."""
        key = keys[name]
        if key in self.finished:
            return self.finished[key], ""
        place = Path(SHARED, key)
        if key not in self.shared:
            earlier = _closure(name, run.recipe, seed)
            found = {n: self._source(n, run, seed, keys) for n in earlier}
            needs = tuple(task for _, task in found.values() if task)
            needs += self._rate_of_shared(name, run, seed)
            self.shared[key] = Task(
                id=f"shared-{key}",
                kind="stage",
                run=run.folder,
                recipe=run.recipe,
                seeds=(seed,),
                place=str(place),
                stages=(*earlier, name),
                sources={n: source for n, (source, _) in found.items()},
                needs=needs,
                epochs=sum(
                    s.epochs(run.recipe) + _trial_epochs(run.recipe, s, seed)
                    for s in stages_of(run.recipe)
                    if s.name == name
                ),
            )
        return str(place / name), self.shared[key].id

    def _tuned_first(self, run: Run, seed: int) -> list[str]:
        """The task of the seed that the others take their learning rates from, so that a worker
        does another run meanwhile. Of a single run the seeds go side by side and share the trials.
        """
        first = run.recipe.seed
        waits = run.recipe.train.tune != "off" and seed != first and len(self.runs) > 1
        return [self._seed_id(run, first)] if waits and (run.folder, first) in self.open else []

    def _rate_of_shared(self, name: str, run: Run, seed: int) -> tuple[str, ...]:
        """The same of a stage that runs have in common."""
        first = run.recipe.seed
        if run.recipe.train.tune == "off" or seed == first:
            return ()
        keys = stage_keys(run.recipe, first, self.device, self.made_by)
        if self.wanted.get(keys[name], 0) < 2 or keys[name] in self.finished:
            return ()
        _, task = self._source(name, run, first, keys)
        return (task,) if task else ()

    def _seed_id(self, run: Run, seed: int) -> str:
        return f"{run.folder}.seed-{seed}"

    def _verdict(self, run: Run, seeds: Mapping[tuple[str, int], Task]) -> Task:
        name = run.folder
        own = [seeds[name, seed] for seed in run.seeds if (name, seed) in seeds]
        return Task(
            id=f"{name}.verdict",
            kind="verdict",
            run=name,
            recipe=run.recipe,
            seeds=run.seeds,
            place=name,
            needs=tuple(task.id for task in own),
            measure=self.measure,
        )


def _trial_epochs(recipe: Recipe, stage: Stage, seed: int) -> int:
    """Epochs of the first three trials of a stage's learning rate, on the seed that has them."""
    if seed != recipe.seed or not is_tuned(recipe, stage):
        return 0
    return len(FIRST) * halved(stage, recipe).epochs(recipe)


def _closure(name: str, recipe: Recipe, seed: int) -> list[str]:
    """Every stage that a stage stands on, in the order they run."""
    inputs = stage_inputs(recipe, seed)
    found: set[str] = set()
    left = [name]
    while left:
        new = [n for n in inputs[left.pop()].needs if n not in found]
        found |= set(new)
        left += new
    return [n for n in inputs if n in found]


def _runs_together(seeds: Iterable[Task], verdicts: Iterable[Task]) -> list[Task]:
    """A run's verdict right after its seeds, so that results come as early as they can."""
    ends = {task.run: task for task in verdicts}
    order: list[Task] = []
    for task in seeds:
        end = ends.get(task.run)
        order.append(task)
        if end is not None and end.needs[-1] == task.id:
            order.append(ends.pop(end.run))
    return order + list(ends.values())


def failure(task: Task, runs_dir: Path) -> dict[str, Any] | None:
    """What an earlier attempt left in ``error.json``, if it failed for good."""
    path = SeedFolder(runs_dir / task.place).error
    found = read_json(path)
    if found is None:
        return None
    kinds = {"type": str, "message": str, "host": str, "attempt": int}
    if not isinstance(found, dict) or not all(
        isinstance(found.get(key), kind) for key, kind in kinds.items()
    ):
        remedy = "Delete it to try this task again"
        raise UserError("is damaged: is no record of a failure", where=str(path), remedy=remedy)
    return found
