"""What a sweep would cost: a few steps of every distinct network, timed here and now.

Every stage is built as it would be, but from nets that were never trained, and takes one step to
warm up and then up to three, or as many as fit into half a second; a forward pass over a batch
stands for validation and test.
Steps times epochs give the rest. Networks that differ only in what costs nothing (density, seed,
rates, epochs, name) are timed once. It holds for this machine, these threads and this load.
"""

from __future__ import annotations

import itertools
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from spiketicket._files import write_json
from spiketicket.bake import to_ticket
from spiketicket.data._batches import ordered_batches
from spiketicket.ladder import arm_names, prepare
from spiketicket.parts import Context, prepare_experiment
from spiketicket.pruning import Work, keep_weights
from spiketicket.recipe import Recipe
from spiketicket.stage import Experiment
from spiketicket.sweep.plan import Plan, Task
from spiketicket.sweep.shared import stage_epochs
from spiketicket.train import STATISTICS_BATCHES, autocast, make_optimizer

_STEPS = 3
_ENOUGH_S = 0.5
"""Steps that took so long together are enough."""


@dataclass(frozen=True)
class StageCost:
    """Seconds of a stage: once, and for every epoch."""

    once_s: float
    epoch_s: float


def estimate(plan: Plan, device: str = "cpu", threads: int | None = None) -> dict[str, float]:
    """Seconds that each task of a plan will take one worker, by its id.

    Raises:
        UserError: the data is missing, or a network cannot be.
    """
    known: dict[str, dict[str, StageCost]] = {}
    found = {}
    for task in plan.tasks:
        if task.kind == "verdict":
            found[task.id] = 0.0
            continue
        kind = _kind(task.recipe)
        if kind not in known:
            experiment = prepare_experiment(task.recipe, Context(device, threads))
            known[kind] = _measure(experiment)
        found[task.id] = _task_s(task, known[kind])
    return found


def _task_s(task: Task, costs: dict[str, StageCost]) -> float:
    epochs = stage_epochs(task.recipe)
    own = [name for name in task.stages if name not in (task.sources or {})]
    return sum(costs[n].once_s + epochs[n] * costs[n].epoch_s for n in own)


def _kind(recipe: Recipe) -> str:
    """What the cost of a step depends on."""
    ticket = recipe.ticket.model_copy(update={"density": 0.5})
    train, controls = recipe.train, recipe.controls
    parts = (recipe.data, recipe.model, recipe.neuron, ticket, train.batch_size, train.precision,
             train.kernel, controls)  # fmt: skip
    return " ".join(repr(part) for part in parts)


def _measure(experiment: Experiment) -> dict[str, StageCost]:
    seed = experiment.recipe.seed
    batches, validation = experiment.split(seed)
    sample = list(itertools.islice(itertools.cycle(batches.epoch(0)), _STEPS + 1))
    data, recipe = experiment.dataset, experiment.recipe
    costs: dict[str, StageCost] = {}
    kept: dict[str, int] | None = None
    with tempfile.TemporaryDirectory() as scratch:
        for name in arm_names(recipe):
            folder = Path(scratch) / name
            folder.mkdir()
            work = Work(batches)
            arm = prepare(name, recipe, experiment.shape, seed, experiment.device, kept,
                          Path(scratch), work)  # fmt: skip
            step_s = _step_s(arm.trainee, sample, experiment)
            x, y = (part[: recipe.train.batch_size] for part in validation)
            images, _ = next(iter(ordered_batches(x, y, data.mean, data.std, len(y))))
            image_s = _forward_s(arm.trainee.model, images) / len(y)
            extra = min(STATISTICS_BATCHES, batches.steps) * recipe.train.batch_size * image_s
            fresh = extra if arm.trainee.fresh_statistics or not arm.trainee.parameters else 0.0
            costs[name] = StageCost(
                image_s * len(data.test) + (0.0 if arm.trainee.parameters else fresh),
                batches.steps * step_s + image_s * len(validation[1]) + fresh,
            )
            tokens = getattr(arm.trainee.model, "tokens", None)
            ticket = to_ticket(arm.trainee.model, {"tokens": {"of": tokens}} if tokens else {})
            ticket.save(folder / "model.ticket")
            keep_weights(arm, folder, work)
            found = dict(arm.finish()) if arm.finish else {}
            write_json(folder / "result.json", {"validation_accuracy": 0.0, "search": found})
            counts = {layer.name: layer.kept for layer in ticket.layers}
            kept = counts if name == "ticket" else kept
    return costs


def _step_s(trainee: Any, sample: Sequence[Any], experiment: Experiment) -> float:
    if not trainee.parameters:
        return 0.0
    optimizer = make_optimizer(trainee.parameters, trainee.optimizer, trainee.also)
    times = []
    trainee.model.train()
    for index, (x, y) in enumerate(sample):
        started = time.perf_counter()
        with autocast(experiment.device, experiment.recipe.train.precision):
            logits = trainee.model(x)
        loss = functional.cross_entropy(logits.float(), y)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        loss.item()  # a device that computes on its own has to end first
        trainee.after_step((index + 1) / len(sample))
        times.append(time.perf_counter() - started)
        if sum(times[1:]) > _ENOUGH_S:
            break
    return statistics.median(times[1:])


@torch.no_grad()
def _forward_s(model: torch.nn.Module, images: torch.Tensor) -> float:
    model.eval()
    started = time.perf_counter()
    float(model(images).sum())
    return time.perf_counter() - started


def wall_s(seconds: dict[str, float], plan: Plan, workers: int) -> float:
    """How long ``workers`` take: no less than their share, and than the longest chain of tasks."""
    ends: dict[str, float] = {}
    for task in plan.tasks:
        ends[task.id] = seconds[task.id] + max((ends[n] for n in task.needs), default=0.0)
    return max(sum(seconds.values()) / workers, max(ends.values(), default=0.0))
