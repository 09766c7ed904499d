"""What a sweep would cost, see :mod:`spiketicket.experiment.cost`."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from pathlib import Path

from spiketicket.data import load_dataset
from spiketicket.experiment.cost import (
    Sizes,
    StageCost,
    cost_keys,
    costs_of,
    seconds_of,
    trials_s,
)
from spiketicket.experiment.folder import StageFolder
from spiketicket.experiment.setup import Context, prepare_experiment
from spiketicket.machine.parallel import fixed
from spiketicket.recipe import Recipe
from spiketicket.sweep.plan import Plan, Task


def estimate(
    plan: Plan, runs_dir: Path, device: str = "cpu", threads: int | None = None
) -> dict[str, float]:
    """Seconds that each task of a plan will take one worker, by its id.

    Raises:
        UserError: the data is missing, or a network cannot be.
    """
    found = _Estimator(device, threads)
    return {task.id: found.task_s(task, runs_dir) for task in plan.tasks}


class _Estimator:
    """Keeps what it has timed."""

    def __init__(self, device: str, threads: int | None) -> None:
        load = functools.lru_cache(maxsize=2)(load_dataset)
        self.context = Context(device=device, threads=threads, load=load)
        self.costs: dict[str, StageCost] = {}
        self.sizes: dict[str, Sizes] = {}

    def task_s(self, task: Task, runs_dir: Path) -> float:
        if task.kind == "verdict":
            return 0.0
        left = [
            name
            for name in task.stages
            if name not in (task.sources or {})
            and not StageFolder(runs_dir / task.place / name).finished
        ]
        recipe = task.recipe
        keys = cost_keys(recipe)
        sizes = self._measured(recipe, keys, left)
        costs = {name: self.costs[keys[name]] for name in left}
        seconds = sum(seconds_of(recipe, costs, sizes).values())
        return seconds + (trials_s(recipe, costs, sizes) if recipe.seed in task.seeds else 0.0)

    def _measured(self, recipe: Recipe, keys: Mapping[str, str], names: Iterable[str]) -> Sizes:
        """Time what is not known yet of some stages."""
        unknown = {keys[name]: name for name in names if keys[name] not in self.costs}
        data = f"{recipe.data!r} {recipe.train.batch_size} {recipe.seed}"
        if unknown or data not in self.sizes:
            with fixed():
                experiment = prepare_experiment(recipe, self.context)
                self.sizes[data], found = costs_of(experiment, unknown)
            self.costs |= found
        return self.sizes[data]


def wall_s(seconds: dict[str, float], plan: Plan, workers: int) -> float:
    """How long ``workers`` take: no less than their share, and than the longest chain of tasks."""
    ends: dict[str, float] = {}
    for task in plan.tasks:
        ends[task.id] = seconds[task.id] + max((ends[n] for n in task.needs), default=0.0)
    return max(sum(seconds.values()) / workers, max(ends.values(), default=0.0))
