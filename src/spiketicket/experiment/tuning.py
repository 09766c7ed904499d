"""The learning rate of a stage: tried on the recipe's first seed, chosen by validation accuracy.

Every stage that trains something tries the rates of its recipe times 1/4, 1 and 4, each in a
training with half the epochs and a whole schedule. While the best one is at an end, the next
factor of 4 beyond it is tried as well, at most twice. The highest validation accuracy wins, then
the lowest validation loss, then the factor nearest to 1. All seeds train with the factor that was
chosen; no test sample is looked at. What half the epochs reached is kept beside it: the verdict
asks what the other half has brought (:mod:`spiketicket.verdict.budget`).

A stage may take the rate of another one (``Stage.rate_of``). Trials are shared: they lie under the
hash of all that they depend on in ``.rates`` beside the run folders,

    .rates/<key>/x<factor>/trial.json     what a trial reached
                           log.jsonl      one line per epoch

so recipes that train the same stage try its rates once, and processes that need the same rates
share the trials. ``train.tune = "off"`` takes the rates as they are in the recipe.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from spiketicket.errors import UserError
from spiketicket.experiment import schemas
from spiketicket.experiment.folder import RunFolder, SeedFolder, StageFolder
from spiketicket.experiment.keys import rate_inputs
from spiketicket.experiment.provenance import versions
from spiketicket.experiment.results import required_result, write_result
from spiketicket.experiment.setup import Context, Experiment
from spiketicket.experiment.train import trained
from spiketicket.machine.claims import InUseError, claimed
from spiketicket.machine.files import explained, refuse_link
from spiketicket.methods.stages import Stage, halved, rate_stage
from spiketicket.recipe import Recipe
from spiketicket.training.loop import Fitted
from spiketicket.training.meter import DivergedError

STEP: Final = 4.0
"""From one factor to the next."""
FIRST: Final = (1 / STEP, 1.0, STEP)
MOST_BEYOND: Final = 2
"""Factors that are tried beyond the first three."""
_RECORD, _WAIT_S = "trial.json", 0.25
_DIVERGED: Final = {"validation_accuracy": 0.0, "validation_loss": None}

Trial = dict[str, Any]
"""``factor``, ``epochs``, ``validation_accuracy`` in percent, ``validation_loss`` (None where the
training diverged), ``wall_s``."""


class RecordedTrial(schemas.Trial):
    """A ``trial.json``."""

    validation_loss: schemas.Count | None
    wall_s: schemas.Count


Before = Callable[[Sequence[str], SeedFolder], None]
"""Does the stages of these names in a seed's folder, or reads them where they are done; raises
InUseError where another process is at that seed."""


def tuned(
    experiment: Experiment,
    stage: Stage,
    seed: int,
    place: SeedFolder,
    *,
    context: Context,
    before: Before,
) -> dict[str, Any]:
    """What is known of a stage's learning rate, after its trials; empty where it is not tuned.

    ``factor`` is that of the recipe's rates, ``seed`` the one it was tuned on, ``edge`` whether the
    best is the last factor that was tried in its direction, ``of`` the stage whose rate it is where
    that is another one, and ``trials`` those of this very stage, on the recipe's first seed.

    Raises:
        UserError: every rate diverged, or as :func:`spiketicket.experiment.find.find`.
    """
    recipe = experiment.recipe
    if recipe.train.tune == "off" or not stage.trains:
        return {}
    source = rate_stage(recipe, stage)
    first = place
    if seed != recipe.seed:
        first = RunFolder(place.path.parent.parent / recipe.folder_name).seed(recipe.seed)
    key = _key(experiment, source)
    folder = first.path.parent.parent / ".rates" / key
    refuse_link(folder.parent, folder)
    workers, epochs = experiment.workers, halved(source, recipe).epochs(recipe)
    while True:
        trials = workers.agreed(_read(folder, epochs) if workers.first else None)
        if next_factor(trials) is None:
            break
        if seed == recipe.seed or _has_needs(experiment, source, first, before):
            _next_trial(experiment, source, first, folder, context)
        else:
            time.sleep(_WAIT_S)
    trials = sorted(trials, key=lambda trial: float(trial["factor"]))
    facts: dict[str, Any] = {"factor": chosen(trials)["factor"], "seed": recipe.seed}
    if source.name != stage.name:
        return facts | {"of": source.name}
    if seed != recipe.seed:
        return facts
    return facts | {"edge": _beyond(trials) is not None, "trials": trials}


def is_tuned(recipe: Recipe, stage: Stage) -> bool:
    """Whether a stage has trials of its own."""
    return recipe.train.tune != "off" and bool(stage.trains) and not stage.rate_of


def without_times(facts: dict[str, Any]) -> dict[str, Any]:
    """The same without what differs from one machine to the next."""
    if "trials" not in facts:
        return facts
    trials = [{k: v for k, v in trial.items() if k != "wall_s"} for trial in facts["trials"]]
    return {**facts, "trials": trials}


def trial_seconds(facts: dict[str, Any]) -> float:
    """Wall time of the trials, in seconds."""
    return math.fsum(trial["wall_s"] for trial in facts.get("trials", ()))


def chosen(trials: Sequence[Trial]) -> Trial:
    """The best trial.

    Raises:
        UserError: every one diverged.
    """
    sound = [trial for trial in trials if trial["validation_loss"] is not None]
    if not sound:
        raise UserError(
            "every learning rate that was tried diverged",
            where="train.tune",
            value=[trial["factor"] for trial in trials],
            remedy="Use smaller rates in train.scores.lr and train.weights.lr",
        )
    # Where no rate has learned anything all are equal: the recipe's own is kept.
    return min(sound, key=lambda t: (-t["validation_accuracy"], t["validation_loss"], *_from_1(t)))


def _from_1(trial: Trial) -> tuple[float, float]:
    """How many times a factor is above or below 1, and itself."""
    factor = float(trial["factor"])
    return max(factor, 1 / factor), factor


def next_factor(trials: Sequence[Trial]) -> float | None:
    """The factor that is to be tried next; None where all are that will be."""
    tried = {trial["factor"] for trial in trials}
    for factor in FIRST:
        if factor not in tried:
            return factor
    return _beyond(trials) if len(trials) < len(FIRST) + MOST_BEYOND else None


def _beyond(trials: Sequence[Trial]) -> float | None:
    """The factor beyond the best one, where that is at an end."""
    if all(trial["validation_loss"] is None for trial in trials):
        return float(min(trial["factor"] for trial in trials)) / STEP
    tried, best = {trial["factor"] for trial in trials}, float(chosen(trials)["factor"])
    if best == max(tried):
        return best * STEP
    return best / STEP if best == min(tried) else None


def _next_trial(
    experiment: Experiment, stage: Stage, first: SeedFolder, folder: Path, context: Context
) -> None:
    """Do a trial that no other process is at, or wait a moment where there is none."""
    workers = experiment.workers
    epochs = halved(stage, experiment.recipe).epochs(experiment.recipe)
    with _open_trial(folder, epochs, first=workers.first) as factor:
        if (agreed := workers.agreed(factor)) is not None:
            _try(experiment, stage, agreed, first, folder=_place(folder, agreed), context=context)
            return
    time.sleep(_WAIT_S)


@contextmanager
def _open_trial(folder: Path, epochs: float, *, first: bool) -> Iterator[float | None]:
    """Claim the first trial that is not done and that nobody is at; None where there is none."""
    if not first:
        yield None
        return
    trials = _read(folder, epochs)
    wanted = [f for f in FIRST if f not in {trial["factor"] for trial in trials}]
    if not wanted and (beyond := next_factor(trials)) is not None:
        wanted = [beyond]
    for factor in wanted:
        with ExitStack() as held:
            try:
                held.enter_context(claimed(folder, _place(folder, factor).name))
            except InUseError:
                continue
            done = (_place(folder, factor) / _RECORD).exists()
            yield None if done else factor
            return
    yield None


def _try(
    experiment: Experiment,
    stage: Stage,
    factor: float,
    first: SeedFolder,
    *,
    folder: Path,
    context: Context,
) -> None:
    """Train a stage with half its epochs and its rates times ``factor``."""
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
    recipe = experiment.recipe
    short = replace(halved(stage, recipe), title=trial_title(stage, factor))
    epochs = short.epochs(recipe)
    record: Trial = {"factor": factor, "epochs": epochs}
    started = time.perf_counter()
    try:
        done = trained(
            experiment,
            short,
            recipe.seed,
            first,
            own=StageFolder(folder),
            reporter=context.reporter,
            factor=factor,
            share=epochs / stage.epochs(recipe),
            key=f"{folder.parent.name}/{folder.name}",
        )
        record |= _reached(done.fitted)
        told = f"{record['validation_accuracy']:.2f}% on the validation set"
    except DivergedError:
        record |= _DIVERGED
        told = "diverged"
    context.reporter.stage_finished(short.title, told)
    if experiment.workers.first:
        experiment.guard()
        record["wall_s"] = round(time.perf_counter() - started, 3)
        for path in folder.iterdir():
            if path.is_file() and path.name != "log.jsonl":
                path.unlink(missing_ok=True)
        write_result(folder / _RECORD, record)
    experiment.workers.agreed(None)


def _reached(fitted: Fitted | None) -> dict[str, Any]:
    """What the best epoch of a trial reached; other processes than the first read its file."""
    if fitted is None:
        return _DIVERGED
    losses = {record["epoch"]: record["validation_loss"] for record in fitted.history}
    loss = losses[fitted.best_epoch]
    if not math.isfinite(loss):
        return _DIVERGED
    return {"validation_accuracy": 100 * fitted.validation, "validation_loss": loss}


def trial_title(stage: Stage, factor: float) -> str:
    """A trial in words."""
    return f"{stage.title}, rate x {factor:g}"


def _has_needs(experiment: Experiment, stage: Stage, first: SeedFolder, before: Before) -> bool:
    """Whether the earlier stages of the first seed are done, now that nobody else is at them."""
    missing = [name for name in stage.needs if not first.stage(name).finished]
    if not experiment.workers.agreed(missing):
        return True
    try:
        before(missing, first)
    except InUseError:
        return False
    return True


def _read(folder: Path, epochs: float) -> list[Trial]:
    """The trials that are done, of the factors that are tried; what else lies there is not read.

    Raises:
        UserError: one is damaged, or not of its folder's factor and ``epochs``.
    """
    found = [trial for factor in FIRST if (trial := _recorded(folder, factor, epochs))]
    while len(found) >= len(FIRST) and (factor := next_factor(found)) is not None:
        if (trial := _recorded(folder, factor, epochs)) is None:
            break
        found.append(trial)
    return found


def _recorded(folder: Path, factor: float, epochs: float) -> Trial | None:
    path = _place(folder, factor) / _RECORD
    if not path.exists():
        return None
    trial = required_result(path, RecordedTrial)
    if (trial["factor"], trial["epochs"]) != (factor, epochs):
        raise UserError(
            "is not what was tried there",
            where=str(path),
            value=f"factor {trial['factor']:g}, {trial['epochs']:g} epochs",
            remedy="Delete the file to compute it again",
        )
    return {key: trial[key] for key in RecordedTrial.model_fields}


def _place(folder: Path, factor: float) -> Path:
    return folder / f"x{factor:g}"


def _key(experiment: Experiment, stage: Stage) -> str:
    """The hash of all that the trials of a stage depend on."""
    content = {
        **rate_inputs(experiment.recipe, stage, experiment.device.type, versions()),
        "data": experiment.dataset.checksum,
        "factors": [STEP, *FIRST, MOST_BEYOND],
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
