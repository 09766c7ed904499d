"""What a stage costs: some steps of every distinct training, timed here and now.

A training is built as it would be, but from nets that were never trained. Its forward and backward
passes are timed at every number of time steps of ``train.timestep_ramp``, and at the fewest also
with pictures of every size of ``train.size_ramp``; the optimizer's step is timed by itself. Numbers
of steps, epochs, and samples for validation and test give the rest.
Trainings that differ only in what costs nothing (density, seed, rates, epochs, names) are timed
once. It holds for this machine and these threads.

There are two ways. An estimate for a free processor times as many samples as fit into a moment, by
the time that the computing thread gets, so that what else the machine does changes little (a GPU
has no such clock). A budget has to hold on the machine as it is (``whole``): whole batches, by the
clock on the wall.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from spiketicket.data.batches import ordered_batches
from spiketicket.experiment.folder import SeedFolder
from spiketicket.experiment.keys import StageInputs, stage_inputs
from spiketicket.experiment.results import write_result
from spiketicket.experiment.setup import Experiment
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
from spiketicket.recipe.shapes import is_learned
from spiketicket.training.forward import autocast
from spiketicket.training.loop import Trainee
from spiketicket.training.optimizer import make_optimizer
from spiketicket.training.schedule import epochs_of_kinds, fewer_frames, smaller
from spiketicket.training.statistics import STATISTICS_BATCHES

_TRAINED_S, _TESTED_S = 0.2, 0.1
"""How long a timed pass should take, with gradients and without."""
_WHOLE_S = 1.0
"""Seconds of whole batches after which no further one is timed."""
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

    ``fresh`` is whether BatchNorm statistics are estimated before a net is judged, ``ramps``
    whether it has time steps, of which there may be fewer. ``share`` is how much of ``train_s``
    pictures of a shorter side take, by its pixels.
    """

    train_s: Mapping[int, float]
    test_s: Mapping[int, float]
    batch_s: float
    step_s: float
    fresh: bool
    ramps: bool = True
    share: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Sizes:
    """Optimizer steps of an epoch, and samples of a batch and of either split."""

    steps: int
    batch: int
    validation: int
    test: int


def costs_of(
    experiment: Experiment, keys: Mapping[str, str], *, whole: bool = False
) -> tuple[Sizes, dict[str, StageCost]]:
    """The samples of an experiment, and what stages cost by their keys.

    ``keys`` has a stage to be timed for each; ``whole`` as above.

    Raises:
        UserError: a network cannot be.
    """
    with tempfile.TemporaryDirectory() as scratch:
        bench = _Bench(experiment, Path(scratch), whole=whole)
        return bench.sizes, {key: bench.cost(name) for key, name in keys.items()}


def seconds_of(recipe: Recipe, costs: Mapping[str, StageCost], sizes: Sizes) -> dict[str, float]:
    """Seconds of the stages of a recipe whose costs are known, by name as the costs are."""
    final = recipe.model.timesteps
    return {
        stage.name: stage_s(costs[stage.name], stage.schedule(recipe), sizes, final)
        for stage in stages_of(recipe)
        if stage.name in costs
    }


def trials_s(recipe: Recipe, costs: Mapping[str, StageCost], sizes: Sizes) -> float:
    """Seconds of the first trials of these stages' learning rates."""
    final, untested = recipe.model.timesteps, replace(sizes, test=0)
    return sum(
        len(FIRST)
        * stage_s(costs[stage.name], halved(stage, recipe).schedule(recipe), untested, final)
        for stage in stages_of(recipe)
        if stage.name in costs and is_tuned(recipe, stage)
    )


def stage_s(cost: StageCost, budget: TrainConfig, sizes: Sizes, final: int) -> float:
    """Seconds of a whole stage of so many time steps in the end."""
    fresh = min(STATISTICS_BATCHES, sizes.steps) * sizes.batch if cost.fresh else 0
    total = cost.test_s[final] * (sizes.test + (0 if cost.train_s else fresh))
    if not cost.train_s:
        return total + cost.test_s[final] * sizes.validation
    for (steps, side), count in epochs_of_kinds(budget, final).items():
        sample = cost.train_s[steps] * cost.share.get(side, 1.0)
        step = cost.step_s + cost.batch_s + sizes.batch * sample
        judged = sizes.validation + (fresh if steps == final else 0)
        total += count * (sizes.steps * step + judged * cost.test_s[steps])
    return total


def cost_keys(recipe: Recipe) -> dict[str, str]:
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
        "sides": sorted({side for _, side in train.get("size_ramp", ())}),
        "judged": {k: train[k] for k in ("average", "bn_statistics") if k in train},
    }
    model = found.get("model", {})
    if not is_learned(str(model.get("ranking"))) and model.get("ranking") not in (None, "none"):
        model["ranking"] = "without a selector"
    return found


class _Bench:
    """A recipe's stages, untrained, in a folder where later ones find the earlier ones."""

    def __init__(self, experiment: Experiment, scratch: Path, *, whole: bool) -> None:
        self.whole = whole
        self.experiment, self.scratch, self.recipe = experiment, scratch, experiment.recipe
        self.stages = {stage.name: stage for stage in experiment.stages}
        self.place = SeedFolder(scratch)
        self.batches, (x, y) = experiment.split(self.recipe.seed)
        data, batch = experiment.dataset, self.recipe.train.batch_size
        self.sizes = Sizes(self.batches.steps, batch, len(y), len(data.test))
        some = x[:batch], y[:batch]
        self.judged, _ = next(iter(ordered_batches(*some, data.mean, data.std, len(some[1]))))
        alone = experiment.device.type == "cpu" and not whole
        self.clock: Clock = processor_s if alone else time.perf_counter

    def cost(self, name: str) -> StageCost:
        """Build a stage, after those it needs, and time it."""
        stage = self.stages[name]
        prepared = self._built(stage)
        trainee, final = prepared.trainee, self.recipe.model.timesteps
        budget = stage.schedule(self.recipe)
        ramp = {*(steps for steps, _ in epochs_of_kinds(budget, final)), final}
        train_s, test_s, share, batch_s, step_s = {}, {}, {}, 0.0, 0.0
        merging = trainee.model.register_forward_pre_hook(fewer_frames, prepend=True)
        for steps in sorted(ramp, reverse=True):  # the most first: it warms up
            if hasattr(trainee.model, "timesteps"):
                trainee.model.timesteps = steps  # type: ignore[assignment]
            if trainee.parameters:
                train_s[steps], batch_s, step_s = self._train_s(trainee)
            test_s[steps] = self._test_s(trainee.model)
        if trainee.parameters:
            for side in {side for _, side in budget.size_ramp}:
                share[side] = self._train_s(trainee, side)[0] / train_s[min(ramp)]
        merging.remove()
        if not (self.scratch / name).exists():
            self._leave(stage, prepared)
        fresh = budget.judges_afresh or trainee.fresh_statistics or not trainee.parameters
        return StageCost(
            train_s=train_s,
            test_s=test_s,
            batch_s=batch_s,
            step_s=step_s,
            fresh=fresh,
            ramps=hasattr(trainee.model, "timesteps"),
            share=share,
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

    def _train_s(self, trainee: Trainee, side: int = 0) -> tuple[float, float, float]:
        """Seconds a sample, of making a batch, and of a step without its passes.

        ``side`` is that of smaller pictures.
        """
        (x, y), batch_s = self._batch()
        if side:
            x = smaller(x, side)
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
        steps: list[float] = []
        for _ in range(1 + _PASSES):  # the first one makes the optimizer's state
            started = self.clock()
            optimizer.step()
            for callback in trainee.callbacks:
                callback.on_step_end(1.0)
            steps.append(self.clock() - started)
        return sample_s, batch_s, statistics.median(steps[1:])

    def _batch(self) -> tuple[tuple[Tensor, Tensor], float]:
        """A batch, and the seconds of making one; the first draws the order of the epoch."""
        made, times = [], []
        batches = self.batches.epoch(0)
        for _ in range(min(1 + _PASSES, self.sizes.steps)):
            started = self.clock()
            made.append(next(batches))
            times.append(self.clock() - started)
        return made[0], statistics.median(times[1:] or times)

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
        most of their time; alone they would be no slower than one. A training has those it has.
        """
        if self.whole:
            return timed_whole(run, most, self.clock)
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


def timed_whole(run: Callable[[int], None], count: int, clock: Clock) -> float:
    """Seconds a sample of ``run(count)``: the median of some passes, after one that warms up."""
    run(count)
    times: list[float] = []
    while len(times) < _PASSES and sum(times) < _WHOLE_S:
        started = clock()
        run(count)
        times.append(clock() - started)
    return statistics.median(times) / count


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
