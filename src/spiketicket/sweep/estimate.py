"""What a sweep would cost: a few samples of every distinct training, timed here and now.

A training is built as it would be, but from nets that were never trained. Its forward and backward
passes take as long as their samples, so they are timed on as many as fit into a moment, at every
number of time steps of ``train.timestep_ramp``; the optimizer's step is timed by itself. Numbers of
steps, epochs, and samples for validation and test give the rest. Trainings that differ only in what
costs nothing (density, seed, rates, epochs, names) are timed once.

On a processor, time is that which the computing thread gets, so that what else the machine does
changes little; a GPU has no such clock. It holds for this machine and these threads.
"""

from __future__ import annotations

import functools
import json
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from spiketicket.data import load_dataset
from spiketicket.data.batches import ordered_batches
from spiketicket.experiment.folder import SeedFolder, StageFolder
from spiketicket.experiment.keys import StageInputs, stage_inputs
from spiketicket.experiment.results import write_result
from spiketicket.experiment.setup import Context, Experiment, prepare_experiment
from spiketicket.experiment.train import scene_of
from spiketicket.experiment.tuning import FIRST, is_tuned
from spiketicket.machine import parallel
from spiketicket.machine.files import write_bytes
from spiketicket.machine.parallel import fixed, in_chunks
from spiketicket.methods.method import prepare
from spiketicket.methods.scene import Prepared
from spiketicket.methods.stages import Stage, halved, stages_of
from spiketicket.methods.states import save_plain
from spiketicket.models.of_ticket import to_ticket
from spiketicket.recipe import Recipe, TrainConfig
from spiketicket.recipe.shapes import SCORES
from spiketicket.sweep.plan import Plan, Task
from spiketicket.training.forward import autocast
from spiketicket.training.loop import Trainee
from spiketicket.training.optimizer import make_optimizer
from spiketicket.training.schedule import epochs_of_timesteps, fewer_frames
from spiketicket.training.statistics import STATISTICS_BATCHES

_TRAINED_S, _TESTED_S = 0.2, 0.1
"""How long a timed pass should take, with gradients and without."""
_FEW = 2
"""Samples of the first pass, which warms up; BatchNorm needs more than one."""
_PASSES = 3
_FREE = ("seed", "density", "round_density", "ranking_seed")
"""What a stage depends on, but not its cost."""

Clock = Callable[[], float]


@dataclass(frozen=True, kw_only=True)
class StageCost:
    """Seconds of a training by the number of time steps, a sample each; and of a step, whatever
    its batch.

    ``fresh`` is whether BatchNorm statistics are estimated before a net is judged.
    """

    train_s: Mapping[int, float]
    test_s: Mapping[int, float]
    batch_s: float
    step_s: float
    fresh: bool


@dataclass(frozen=True)
class _Sizes:
    steps: int
    batch: int
    validation: int
    test: int


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
        self.sizes: dict[str, _Sizes] = {}

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
        budgets, keys = _budgets(recipe), _cost_keys(recipe)
        sizes = self._measured(recipe, keys, left)
        final = recipe.model.timesteps
        seconds = sum(stage_s(self.costs[keys[n]], budgets[n], sizes, final) for n in left)
        for stage in stages_of(recipe) if recipe.seed in task.seeds else ():
            if stage.name in left and is_tuned(recipe, stage):
                short = halved(stage, recipe).schedule(recipe)
                untested = replace(sizes, test=0)
                trial = stage_s(self.costs[keys[stage.name]], short, untested, final)
                seconds += len(FIRST) * trial
        return seconds

    def _measured(self, recipe: Recipe, keys: Mapping[str, str], names: Iterable[str]) -> _Sizes:
        """Time what is not known yet of some stages."""
        unknown = {keys[name]: name for name in names if keys[name] not in self.costs}
        data = f"{recipe.data!r} {recipe.train.batch_size} {recipe.seed}"
        if unknown or data not in self.sizes:
            with fixed(), tempfile.TemporaryDirectory() as scratch:
                experiment = prepare_experiment(recipe, self.context)
                bench = _Bench(experiment, Path(scratch))
                self.sizes[data] = bench.sizes
                for key, name in unknown.items():
                    self.costs[key] = bench.cost(name)
        return self.sizes[data]


def _budgets(recipe: Recipe) -> dict[str, TrainConfig]:
    """The schedule of every stage."""
    return {stage.name: stage.schedule(recipe) for stage in stages_of(recipe)}


def stage_s(cost: StageCost, budget: TrainConfig, sizes: _Sizes, final: int) -> float:
    """Seconds of a whole stage of so many time steps in the end."""
    statistics = min(STATISTICS_BATCHES, sizes.steps) * sizes.batch if cost.fresh else 0
    total = cost.test_s[final] * (sizes.test + (0 if cost.train_s else statistics))
    if not cost.train_s:
        return total + cost.test_s[final] * sizes.validation
    for steps, count in epochs_of_timesteps(budget, final).items():
        step = cost.step_s + cost.batch_s + sizes.batch * cost.train_s[steps]
        judged = sizes.validation + (statistics if steps == final else 0)
        total += count * (sizes.steps * step + judged * cost.test_s[steps])
    return total


def _cost_keys(recipe: Recipe) -> dict[str, str]:
    """For every stage a text of all that its cost depends on."""
    keys: dict[str, str] = {}
    for name, inputs in stage_inputs(recipe, recipe.seed).items():
        # ConvPEP's kind says what is done with the network; else the stage's name does.
        known = {"" if "conv_pep" in inputs.values["method"] else name: _costly(inputs)}
        content = [known, *(keys[need] for need in inputs.needs)]
        keys[name] = json.dumps(content, sort_keys=True)
    return keys


def _costly(inputs: StageInputs) -> dict[str, Any]:
    found = {
        section: {k: v for k, v in value.items() if k not in _FREE}
        if isinstance(value, dict)
        else value
        for section, value in inputs.values.items()
        if section not in _FREE
    }
    train = inputs.values["train"]
    found["train"] = {k: train[k] for k in ("batch_size", "precision", "kernel")} | {
        "optimizers": [train[k]["name"] for k in ("scores", "weights") if k in train],
        "timesteps": sorted({steps for _, steps in train["timestep_ramp"]}),
        "judged": {k: train[k] for k in ("average", "bn_statistics") if k in train},
    }
    model = found.get("model", {})
    if model.get("ranking") not in (None, "none", *SCORES):
        model["ranking"] = "without a selector"
    return found


class _Bench:
    """A recipe's stages, untrained, in a folder where later ones find the earlier ones."""

    def __init__(self, experiment: Experiment, scratch: Path) -> None:
        self.experiment, self.scratch, self.recipe = experiment, scratch, experiment.recipe
        self.stages = {stage.name: stage for stage in experiment.stages}
        self.place = SeedFolder(scratch)
        self.batches, (x, y) = experiment.split(self.recipe.seed)
        data, batch = experiment.dataset, self.recipe.train.batch_size
        self.sizes = _Sizes(self.batches.steps, batch, len(y), len(data.test))
        some = x[:batch], y[:batch]
        self.judged, _ = next(iter(ordered_batches(*some, data.mean, data.std, len(some[1]))))
        self.clock: Clock = processor_s if experiment.device.type == "cpu" else time.perf_counter

    def cost(self, name: str) -> StageCost:
        """Build a stage, after those it needs, and time it."""
        stage = self.stages[name]
        prepared = self._built(stage)
        trainee, final = prepared.trainee, self.recipe.model.timesteps
        budget = stage.schedule(self.recipe)
        ramp = {*epochs_of_timesteps(budget, final), final}
        train_s, test_s, batch_s, step_s = {}, {}, 0.0, 0.0
        merging = trainee.model.register_forward_pre_hook(fewer_frames)
        for steps in sorted(ramp, reverse=True):  # the most first: it warms up
            if hasattr(trainee.model, "timesteps"):
                trainee.model.timesteps = steps  # type: ignore[assignment]
            if trainee.parameters:
                train_s[steps], batch_s, step_s = self._train_s(trainee)
            test_s[steps] = self._test_s(trainee.model)
        merging.remove()
        if not (self.scratch / name).exists():
            self._leave(stage, prepared)
        fresh = budget.judges_afresh or trainee.fresh_statistics or not trainee.parameters
        return StageCost(
            train_s=train_s, test_s=test_s, batch_s=batch_s, step_s=step_s, fresh=fresh
        )

    def _built(self, stage: Stage) -> Prepared:
        for need in stage.needs:
            if not (self.scratch / need).exists():
                self._leave(self.stages[need], self._built(self.stages[need]))
        seed = self.recipe.seed
        scene = scene_of(self.experiment, stage, seed, self.place, self.batches)
        return prepare(stage, self.recipe, scene)

    def _leave(self, stage: Stage, prepared: Prepared) -> None:
        """Write what later stages read, as if the training were over."""
        files, model = self.place.stage(stage.name), prepared.trainee.model
        files.path.mkdir()
        tokens = getattr(model, "tokens", None)
        ticket = to_ticket(model, {"tokens": {"of": tokens}} if tokens else {})
        ticket.save(files.ticket)
        if stage.keeps:
            for path in (files.weights, files.rewind):
                write_bytes(path, save_plain(model))
        kept = {layer.name: layer.kept for layer in ticket.layers}
        found = {"search": dict(prepared.finish()), "kept_by_layer": kept}
        write_result(files.result, {"validation_accuracy": 0.0, **found})

    def _train_s(self, trainee: Trainee) -> tuple[float, float, float]:
        """Seconds a sample, of making a batch, and of a step without its passes."""
        started = self.clock()
        x, y = next(self.batches.epoch(0))
        batch_s = self.clock() - started
        optimizer = make_optimizer(trainee.parameters, trainee.optimizer, trainee.also)
        trainee.model.train()

        def passes(count: int) -> None:
            with self._precision(), in_chunks():
                logits = trainee.model(_first(x, count))
            loss = functional.cross_entropy(logits.float(), y[:count])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            loss.item()  # a device that computes on its own has to end first

        sample_s = self._least(passes, len(y), _TRAINED_S)
        steps = []
        for _ in range(2):  # the first one makes the optimizer's state
            started = self.clock()
            optimizer.step()
            for callback in trainee.callbacks:
                callback.on_step_end(1.0)
            steps.append(self.clock() - started)
        return sample_s, batch_s, min(steps)

    def _test_s(self, model: nn.Module) -> float:
        model.eval()

        @torch.no_grad()
        def forward(count: int) -> None:
            with self._precision(), in_chunks():
                float(model(_first(self.judged, count)).sum())

        return self._least(forward, self.judged.shape[-4], _TESTED_S)

    def _least(self, run: Callable[[int], None], most: int, pass_s: float) -> float:
        """Seconds a sample, with all threads or with one, whichever is less.

        Threads that wait for each other compute in a loop meanwhile, which on a busy machine is
        most of their time; alone they would be no slower than one.
        """
        threads, found = parallel.threads(), []
        for count in sorted({1, threads}):
            with fixed(count):
                found.append(timed(run, most, pass_s, self.clock))
        return min(found)

    def _precision(self) -> Any:
        return autocast(self.experiment.device, self.experiment.precision)


def _first(x: Tensor, count: int) -> Tensor:
    """The first samples of images [B, C, H, W] or frames [T, B, C, H, W]."""
    return x.narrow(-4, 0, count)


def processor_s() -> float:
    """Seconds that this thread has computed, which is the one that others help."""
    return time.thread_time()


def timed(run: Callable[[int], None], most: int, pass_s: float, clock: Clock) -> float:
    """Seconds a sample of ``run(count)``: the least of some passes of about ``pass_s`` seconds."""
    count = min(_FEW, most)
    run(count)  # what is done once only would be a large part of so short a pass
    times: list[float] = []
    while len(times) < _PASSES and sum(times) < 1.5 * pass_s:
        started = clock()
        run(count)
        times.append(clock() - started)
        fitting = min(most, int(count * pass_s / max(times[-1], 1e-9)))
        if fitting >= 2 * count:
            count, times = fitting, []
    return min(times) / count


def wall_s(seconds: dict[str, float], plan: Plan, workers: int) -> float:
    """How long ``workers`` take: no less than their share, and than the longest chain of tasks."""
    ends: dict[str, float] = {}
    for task in plan.tasks:
        ends[task.id] = seconds[task.id] + max((ends[n] for n in task.needs), default=0.0)
    return max(sum(seconds.values()) / workers, max(ends.values(), default=0.0))
