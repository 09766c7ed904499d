"""A training that fits into a time: which epochs, time steps and batches a budget is spent on.

The rules, each the same for the search and for every control:

1. What every stage of the recipe costs is timed here, with whole batches and these threads.
2. As many epochs, up to :data:`MOST_EPOCHS`, as leave the longest stage (its validation and its
   test included) within :data:`PART` of the budget; the rest is for what was not timed.
3. A recipe's own ramp of time steps keeps its proportions. Without one, a quarter of the epochs, at
   least one, is at ``model.timesteps``, an eighth at 2 and all before them at 1: 5, 1 and 2 of 8.
   Steps that are not fewer, or do not divide a recording's frames, are left out; a network without
   time steps, or a method that takes no ramp, has none.
4. The batch size is the recipe's. Where one epoch does not fit, batches twice, 4 and 8 times as
   large are timed, for as long as an epoch gets a tenth shorter.

What was chosen is written into the run's folder before anything is trained, so that the same
command finds it again and goes on, however fast the machine is then.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from spiketicket.errors import UserError, argument
from spiketicket.experiment.cost import Sizes, StageCost, cost_keys, costs_of, seconds_of, trials_s
from spiketicket.experiment.folder import RunFolder
from spiketicket.experiment.plan_file import Chosen, applied, earlier, write
from spiketicket.experiment.setup import Context, Experiment
from spiketicket.machine import cores, parallel
from spiketicket.machine.durations import in_words, seconds_in
from spiketicket.methods.budgets import rescheduled, shorter
from spiketicket.methods.method import check_settings
from spiketicket.methods.stages import stages_of
from spiketicket.progress import tell_doing
from spiketicket.recipe import Recipe, TrainConfig
from spiketicket.training.schedule import epochs_of_kinds

PART: Final = 0.9
"""Of a budget that a plan spends."""
MOST_EPOCHS: Final = 300
"""Of a plan: those of the longest published recipes for these networks."""
FEWER: Final = (1, 2)
"""Time steps before the recipe's own."""
LARGER: Final = (2, 4, 8)
"""Times the recipe's batch size, where an epoch does not fit."""
WORTH: Final = 0.9
"""Part of an epoch's time that a larger batch may leave at most to be worth another."""

Seconds = Callable[[Recipe], Mapping[str, float]]
"""What every stage of a recipe takes, by name."""


@dataclass(frozen=True)
class TimePlan:
    """A recipe whose stages fit into a budget, and in a few lines why it is this one."""

    recipe: Recipe
    lines: tuple[str, ...]


def time_plan(
    experiment: Experiment, budget: str, runs_dir: Path | str, seeds: int, context: Context
) -> TimePlan:
    """The plan of an earlier start with this budget, or a new one, which is written down.

    Args:
        experiment: the recipe as it is without a budget, with its data.
        budget: the most that one stage may take, such as ``60m``.
        runs_dir: the folder of the run folders.
        seeds: repetitions, for the time of all together.
        context: device and threads; of several processes the first one times.

    Raises:
        UserError: one epoch does not fit, or a file of an earlier plan is damaged.
    """
    made: TimePlan | None = None
    if context.workers.first:
        recipe = experiment.recipe
        asked = _asked(recipe, budget, context.device, context.threads)
        known = earlier(recipe, asked, Path(runs_dir))
        chosen = known or _chosen(experiment, budget, asked, context)
        planned = applied(recipe, chosen)
        if known is None:
            write(RunFolder.of(planned, runs_dir), chosen, context)
        made = TimePlan(planned, tuple(_told(recipe, chosen, budget, seeds, known is not None)))
    agreed: TimePlan = context.workers.agreed(made)
    return agreed


def known_plan(
    recipe: Recipe, budget: str, runs_dir: Path | str, device: str, threads: int | None
) -> Recipe | None:
    """The recipe that :func:`time_plan` came to before, if it did; times nothing.

    Raises:
        UserError: no such time, or a plan's file is damaged.
    """
    known = earlier(recipe, _asked(recipe, budget, device, threads), Path(runs_dir))
    return None if known is None else applied(recipe, known)


def _asked(recipe: Recipe, budget: str, device: str, threads: int | None) -> dict[str, Any]:
    budget_s = seconds_in(budget, "budget")
    return {"of": recipe.hash, "budget_s": budget_s, "device": device, "threads": threads}


def with_schedule(recipe: Recipe, epochs: int, steps: Sequence[int]) -> Recipe:
    """A recipe with another number of epochs, by rule 3; ``steps`` are those before its own.

    Epochs that the method counts itself are as large a part of them.
    """
    own = recipe.train
    train = shorter(own, epochs) if own.timestep_ramp else _ramped(own, epochs, steps)
    return rescheduled(recipe, train)


def _ramped(train: TrainConfig, epochs: int, steps: Sequence[int]) -> TrainConfig:
    last = max(1, epochs // 4)
    counts = {2: epochs // 8} if 2 in steps else {}
    if 1 in steps:
        counts[1] = epochs - last - sum(counts.values())
    ramp = tuple((counts[t], t) for t in sorted(counts) if counts[t])
    return train.model_copy(update={"epochs": epochs, "timestep_ramp": ramp})


def candidates(recipe: Recipe, steps: Sequence[int] = FEWER) -> list[Recipe]:
    """The recipe with 1, 2, ... epochs; without those that its method cannot have.

    Raises:
        UserError: it can have none.
    """
    made = [with_schedule(recipe, epochs, steps) for epochs in range(1, MOST_EPOCHS + 1)]
    if all(errors := [_refused(each) for each in made]):
        raise errors[-1] or UserError("cannot be planned", where=argument("budget"))
    return [each for each, error in zip(made, errors, strict=True) if error is None]


def longest_fitting(made: Sequence[Recipe], limit_s: float, seconds: Seconds) -> Recipe | None:
    """The one with the most epochs of which no stage takes longer than ``limit_s``, if any.

    All are tried: rounding a ramp may make one epoch more the shorter training.
    """
    fits = [each for each in made if max(seconds(each).values()) <= limit_s]
    return fits[-1] if fits else None


def _refused(recipe: Recipe) -> UserError | None:
    try:
        check_settings(recipe)
        stages_of(recipe)
    except UserError as error:
        return error
    return None


def _chosen(
    experiment: Experiment, budget: str, asked: Mapping[str, Any], context: Context
) -> Chosen:
    """Time the stages and choose.

    Raises:
        UserError: one epoch does not fit; says what is needed.
    """
    tell_doing(context.reporter, "timing the first batches")
    if _load() >= cores.cores():
        context.reporter.message(
            f"budget: other programs are at work (load {_load():.1f} on {cores.cores()} cores):"
            " the plan is for what they leave"
        )
    limit, recipe = PART * float(asked["budget_s"]), experiment.recipe
    needed: list[tuple[float, str]] = []
    for times in (1, *LARGER):
        train = recipe.train.model_copy(update={"batch_size": times * recipe.train.batch_size})
        at = replace(experiment, recipe=recipe.model_copy(update={"train": train}))
        if times > 1 and train.batch_size > len(experiment.split(recipe.seed)[0].y):
            break
        steps, sizes, costs = _timed(at)
        made, seconds = candidates(at.recipe, steps), partial(seconds_of, costs=costs, sizes=sizes)
        if (found := longest_fitting(made, limit, seconds)) is not None:
            return _record(found, costs, sizes, asked)
        needed.append(max((s, name) for name, s in seconds(made[0]).items()))
        if len(needed) > 1 and needed[-1][0] > WORTH * needed[-2][0]:
            break
    least_s, least = min(needed)
    titles = {stage.name: stage.title for stage in stages_of(recipe)}
    raise UserError(
        f"is too short: the shortest training of one stage ({titles[least]}), with its"
        f" validation and its test, takes {in_words(least_s)} with {_threads(parallel.threads())}",
        where=argument("budget"),
        value=budget,
        remedy=f"Give at least {_as_written(least_s / PART)}, or fewer samples or a smaller"
        " network",
    )


def _as_written(seconds: float) -> str:
    """Seconds as a budget of no less."""
    return f"{int(seconds) + 1}s" if seconds < 120 else f"{int(seconds / 60) + 1}m"


def _threads(count: int) -> str:
    return f"{count} thread{'s' * (count != 1)}"


def _load() -> float:
    """Programs that computed or waited for a core in the last minute; 0 where it is not said."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0


def _timed(experiment: Experiment) -> tuple[tuple[int, ...], Sizes, dict[str, StageCost]]:
    """The time steps that rule 3 leaves, and what every stage costs at each of them."""
    recipe, final = experiment.recipe, experiment.recipe.model.timesteps
    frames = experiment.dataset.frames
    steps = tuple(t for t in FEWER if t < final and (frames == 1 or frames % t == 0))
    # So long that every stage, whatever its share of the epochs, is at each of them.
    probe = with_schedule(recipe, MOST_EPOCHS, steps)
    if not recipe.train.timestep_ramp and steps and _refused(probe):
        steps, probe = (), with_schedule(recipe, MOST_EPOCHS, ())
    keys = cost_keys(probe)
    at, of_key = replace(experiment, recipe=probe), {key: name for name, key in keys.items()}
    sizes, found = costs_of(at, of_key, whole=True)
    costs = {name: found[key] for name, key in keys.items()}
    ramped = (s.name for s in stages_of(probe) if s.trains and s.schedule(probe).timestep_ramp)
    if not all(costs[name].ramps for name in ramped):
        steps = ()
    return steps, sizes, costs


def _record(
    found: Recipe, costs: Mapping[str, StageCost], sizes: Sizes, asked: Mapping[str, Any]
) -> Chosen:
    seconds = seconds_of(found, costs, sizes)
    longest = max(seconds, key=lambda name: seconds[name])
    cost, train = costs[longest], found.train
    stage = next(each for each in stages_of(found) if each.name == longest)
    used = {t for t, _ in epochs_of_kinds(stage.schedule(found), found.model.timesteps)}
    epoch = {
        str(t): round(
            sizes.steps * (cost.step_s + cost.batch_s + sizes.batch * s)
            + sizes.validation * cost.test_s[t],
            3,
        )
        for t, s in sorted(cost.train_s.items())
        if t in used
    }
    return Chosen(
        **asked,
        epochs=train.epochs,
        timestep_ramp=[list(pair) for pair in train.timestep_ramp],
        batch_size=train.batch_size,
        longest=longest,
        longest_s=round(seconds[longest], 3),
        epoch_s=epoch,
        stages_s=round(sum(seconds.values()), 3),
        trials_s=round(trials_s(found, costs, sizes), 3),
        threads_used=parallel.threads(),
    )


def _told(recipe: Recipe, chosen: Chosen, budget: str, seeds: int, known: bool) -> Iterator[str]:
    """What was chosen, why, and what all of it takes."""
    planned = applied(recipe, chosen)
    final, stages = recipe.model.timesteps, {s.name: s for s in stages_of(planned)}
    last = chosen.epochs - sum(epochs for epochs, _ in chosen.timestep_ramp)
    parts = [f"{e} at T={t}" for e, t in (*chosen.timestep_ramp, [last, final])]
    ramp = f" ({', '.join(parts)})" if len(parts) > 1 else ""
    larger = chosen.batch_size // recipe.train.batch_size
    why_batch = f", {larger} times the recipe's, as an epoch would not fit" if larger > 1 else ""
    epochs = f"{chosen.epochs} epoch{'s' * (chosen.epochs != 1)}"
    yield (
        f"budget {budget} per stage{': the plan of an earlier start' * known}: {epochs}{ramp},"
        f" batch size {chosen.batch_size}{why_batch}, for every stage"
    )
    each = ", ".join(f"{in_words(s)} at T={t}" for t, s in chosen.epoch_s.items())
    why = "no plan has more epochs" if chosen.epochs == MOST_EPOCHS else "one more would not fit"
    yield (
        f"budget: the longest stage, {stages[chosen.longest].title}, takes about"
        f" {in_words(chosen.longest_s)} with {_threads(chosen.threads_used)} here, an epoch {each};"
        f" a tenth of the budget is kept free, and {why}"
    )
    trials = f", and {in_words(chosen.trials_s)} to tune learning rates" if chosen.trials_s else ""
    yield (
        f"budget: all {len(stages)} stages of {seeds} seed{'s' * (seeds != 1)} take about"
        f" {in_words(seeds * chosen.stages_s)}{trials}"
        + (" (three trials of half the epochs each, up to five)" if trials else "")
    )
