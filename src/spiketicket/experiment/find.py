"""One recipe, one run folder: every stage for every seed, the tickets, and the verdict.

Every stage is skipped when its result is there, so a stopped run goes on where it was. The folder
is described in :mod:`spiketicket.experiment.folder`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from spiketicket.data import training_split
from spiketicket.data.batches import batch_sizes
from spiketicket.errors import UserError
from spiketicket.experiment.conclude import FindResult, concluded
from spiketicket.experiment.custom import Logits
from spiketicket.experiment.display import reporting
from spiketicket.experiment.folder import RunFolder
from spiketicket.experiment.given import given_recipe
from spiketicket.experiment.outcome import StageOutcome
from spiketicket.experiment.seed import run_seed
from spiketicket.experiment.setup import Context, Experiment, prepare_experiment
from spiketicket.experiment.shared import Beside
from spiketicket.experiment.time_plan import time_plan
from spiketicket.experiment.tuning import FIRST, is_tuned, trial_title
from spiketicket.machine.durations import seconds_in
from spiketicket.machine.parallel import fixed
from spiketicket.machine.typed import typed
from spiketicket.machine.workers import joined
from spiketicket.methods.stages import Stage, halved, stage_of
from spiketicket.models.given import NETWORK
from spiketicket.progress import NullReporter, PlannedStage, Reporter, tell_plan
from spiketicket.recipe import Recipe, load_recipe
from spiketicket.recipe.consent import Consent, given, require_recipe


@typed
def find(
    recipe: Recipe | Mapping[str, Any] | str | os.PathLike[str] | None = None,
    overrides: Sequence[str] | Mapping[str, Any] = (),
    *,
    model: nn.Module | Mapping[str, Any] | None = None,
    train: Any = None,
    test: Any = None,
    classes: tuple[str, ...] | None = None,
    logits: Logits | None = None,
    seeds: int = 1,
    runs_dir: Path | str = "runs",
    device: str = "cpu",
    threads: int | None = None,
    reporter: Reporter | Sequence[Reporter] | None = None,
    network: str = "",
    options: Mapping[str, Any] | None = None,
    trust_options: bool = False,
    budget: str | None = None,
    progress: bool = True,
    **settings: Any,
) -> FindResult:
    """Search a ticket and train its controls, for seeds ``recipe.seed .. recipe.seed + seeds - 1``.

    ``recipe``, ``overrides`` and ``settings`` are those of :func:`spiketicket.load_recipe`:
    ``find("digits-binw", train={"epochs": 3})``.

    A finished stage is read, an interrupted one goes on from its checkpoint, and one that another
    run in ``runs_dir`` has finished with the same settings is taken from there. Under ``torchrun``
    all processes share every training, see :mod:`spiketicket.machine.workers`. A custom network,
    and the arguments of its function, must be named here too, as the recipe names them:
    ``network="mynet:make"``, and ``options``, or ``trust_options`` to take the recipe's; see
    :mod:`spiketicket.recipe.consent`.

    The run shows itself, as a bar on a terminal and as lines elsewhere, unless ``progress`` is
    False; ``reporter``, or each of a list, is told besides.

    In place of a recipe, a network and samples of your own can be given:

        result = spiketicket.find(model=MyNet(), train=(x, y), test=(x_test, y_test))

    Args:
        recipe: what to do; or
        overrides: replace its values, or those that a model's recipe has:
            ``{"ticket.density": 0.3, "train.epochs": 20}``.
        model: a network, which is left as it is; its weights are drawn anew. A mapping is a section
            of the recipe, as ``settings`` are.
        train: ``(x, y)``: uint8 images ``[N, C, H, W]`` or frames ``[N, T, C, H, W]`` of uint8 or
            uint16 as arrays or tensors, floats from 0 to 1 in place of bytes, and whole numbers
            ``[N]``; a data set whose items are such pairs; or ``spiketicket.data.Samples``.
            They are normalised by the mean and spread of the training pixels. Without a model it
            is a section of the recipe, as ``settings`` are.
        test: the same. Used once per stage, at its end.
        classes: their names; numbers where there are none.
        logits: makes ``[B, classes]`` of what the model returns, as of :func:`spiketicket.search`.
        budget: such as ``"60m"``: epochs, time steps and batch size are those that :func:`planned`
            chooses.

    Raises:
        UserError: missing data, a full or read-only disk, a seed in use by another process,
            a loss that is not a number, no consent, a budget that is too small, a recipe and a
            model at once, or samples that are none.
    """
    if isinstance(model, Mapping):
        model, settings = None, {**settings, "model": model}
    if model is not None:
        if recipe is not None or network:
            raise UserError("give a recipe or a model, not both", where="find")
        recipe, options = given_recipe(
            model,
            train,
            test,
            classes=classes,
            overrides=overrides,
            settings=settings,
            logits=logits,
        )
        network = NETWORK
    elif recipe is None or any(given is not None for given in (test, classes, logits)):
        remedy = "find(load_recipe(...)), or find(model=..., train=..., test=...)"
        raise UserError(
            "needs a recipe, or a model with train and test", where="find", remedy=remedy
        )
    else:
        own = settings if train is None else {**settings, "train": train}
        recipe = load_recipe(recipe, overrides, **own)
    consent = Consent(network, options, trust_options)
    if budget is not None:
        recipe = planned(
            recipe,
            budget,
            seeds=seeds,
            runs_dir=runs_dir,
            device=device,
            threads=threads,
            reporter=reporter,
            progress=progress,
            **vars(consent),
        )
    listening = reporting("find", progress=progress, reporter=reporter)
    with _begun(recipe, consent, device, threads, listening) as (experiment, context):
        context = replace(context, adopt=Beside(Path(runs_dir), context.reporter))
        folder, chosen = RunFolder.of(recipe, runs_dir), recipe.repetitions(seeds)
        _check_splits(experiment, chosen)
        _tell_plan(experiment.stages, folder, chosen, context, recipe)
        results = [run_seed(experiment, folder, seed, context) for seed in chosen]
        return concluded(experiment, folder, chosen, results, context)


@typed
def planned(
    recipe: Recipe | Mapping[str, Any] | str | os.PathLike[str],
    budget: str,
    *,
    seeds: int = 1,
    runs_dir: Path | str = "runs",
    device: str = "cpu",
    threads: int | None = None,
    reporter: Reporter | Sequence[Reporter] | None = None,
    network: str = "",
    options: Mapping[str, Any] | None = None,
    trust_options: bool = False,
    progress: bool = True,
) -> Recipe:
    """A recipe with epochs, time steps and batch size of which one stage takes at most ``budget``.

    The rules, and where the plan is kept, are in :mod:`spiketicket.experiment.time_plan`. The other
    arguments are those of :func:`find`; the reporter hears what was chosen and why.

    Raises:
        UserError: no such time, one epoch does not fit, or as :func:`find`.
    """
    seconds_in(budget, "budget")
    recipe = load_recipe(recipe)
    recipe.repetitions(seeds)
    consent = Consent(network, options, trust_options)
    listening = reporting("find", progress=progress, reporter=reporter)
    with _begun(recipe, consent, device, threads, listening) as (experiment, context):
        plan = time_plan(experiment, budget, runs_dir, seeds, context)
        for line in plan.lines:
            context.reporter.message(line)
        return plan.recipe


@typed
def train_dense(
    recipe: Recipe | Mapping[str, Any] | str | os.PathLike[str],
    overrides: Sequence[str] | Mapping[str, Any] = (),
    *,
    runs_dir: Path | str = "runs",
    device: str = "cpu",
    threads: int | None = None,
    reporter: Reporter | Sequence[Reporter] | None = None,
    network: str = "",
    options: Mapping[str, Any] | None = None,
    trust_options: bool = False,
    progress: bool = True,
    **settings: Any,
) -> StageOutcome:
    """Train only the dense net of a recipe, in the same run folder as :func:`find` would.

    Raises:
        UserError: as :func:`find`.
    """
    recipe = load_recipe(recipe, overrides, **settings)
    consent = Consent(network, options, trust_options)
    listening = reporting("train", progress=progress, reporter=reporter)
    with _begun(recipe, consent, device, threads, listening) as (experiment, context):
        _check_splits(experiment, [recipe.seed])
        folder = RunFolder.of(recipe, runs_dir)
        dense = stage_of(recipe, "dense")
        _tell_plan([dense], folder, [recipe.seed], context, recipe)
        return run_seed(experiment, folder, recipe.seed, context, [dense])["dense"]


@contextmanager
def _begun(
    recipe: Recipe,
    consent: Consent,
    device: str,
    threads: int | None,
    listening: AbstractContextManager[Reporter],
) -> Iterator[tuple[Experiment, Context]]:
    """The data read and everything checked that can be before training."""
    with given(consent), fixed(), joined(device) as workers, ExitStack() as stack:
        require_recipe(recipe)
        listener = stack.enter_context(listening) if workers.first else NullReporter()
        context = Context(device=device, threads=threads, reporter=listener, workers=workers)
        yield prepare_experiment(recipe, context), context


def _check_splits(experiment: Experiment, seeds: Sequence[int]) -> None:
    """A split, or a batch of it, that cannot be shows now, before a folder is made, and not hours
    later.
    """
    recipe = experiment.recipe
    grouped = experiment.dataset.train.groups is not None
    for seed in seeds if grouped else seeds[:1]:
        train, _ = training_split(experiment.dataset, recipe.data, seed)
        batch_sizes(len(train), recipe.train.batch_size)


def _tell_plan(
    stages: Sequence[Stage],
    folder: RunFolder,
    seeds: Sequence[int],
    context: Context,
    recipe: Recipe,
) -> None:
    """Tell the reporter all trainings that will run, in their order."""
    planned = []
    for seed in seeds:
        for stage in stages:
            done = folder.seed(seed).stage(stage.name).finished
            if seed == recipe.seed and is_tuned(recipe, stage):
                epochs = halved(stage, recipe).epochs(recipe)
                titles = [trial_title(stage, factor) for factor in FIRST]
                planned += [PlannedStage(title, seed, epochs, done) for title in titles]
            planned.append(PlannedStage(stage.title, seed, stage.epochs(recipe), done))
    tell_plan(context.reporter, planned)
