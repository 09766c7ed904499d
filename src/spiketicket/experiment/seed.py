"""A run in its parts: what a process does of one, alone or beside others that do the rest.

The stages of a seed belong to the process that claims ``seed-<s>``; what concerns all seeds is
written under a short claim of the run folder. So two processes may do two seeds of one recipe.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from spiketicket.data import place as _data_place
from spiketicket.errors import UserError, argument
from spiketicket.experiment.folder import RunFolder, SeedFolder, write_stages
from spiketicket.experiment.outcome import StageOutcome
from spiketicket.experiment.results import read_table
from spiketicket.experiment.setup import Context, Experiment
from spiketicket.experiment.stage import copy_same, run_stage
from spiketicket.machine.claims import claimed
from spiketicket.machine.files import refuse_link, write_bytes, write_json
from spiketicket.methods.stages import Stage
from spiketicket.recipe import Recipe, placed_root, to_toml

_BRIEFLY_S = 60.0
"""How long to wait for a run folder that others hold only while they write a few files."""


def run_seed(
    experiment: Experiment,
    folder: RunFolder,
    seed: int,
    context: Context,
    stages: Sequence[Stage] = (),
) -> dict[str, StageOutcome]:
    """Do all stages of a seed of the run in ``folder``, or only ``stages``, each after those it
    needs; finished ones are read.

    Raises:
        UserError: another process does this seed, the data is other than it was, or as
            :func:`spiketicket.experiment.stage.run_stage`.
    """
    place, stages = folder.seed(seed), stages or experiment.stages
    done = all(place.stage(stage.name).finished for stage in stages)
    if context.workers.agreed(done):
        check_data(folder, experiment)
        return _stages(experiment, place, stages, seed, context)
    with _claimed(folder.path, context, place.path.name):
        with held_briefly(folder.path, context):
            _open_folder(folder, experiment)
        results = _stages(experiment, place, stages, seed, context)
        if context.workers.first:
            place.error.unlink(missing_ok=True)
    return results


def run_stages(
    experiment: Experiment, place: SeedFolder, stages: Sequence[Stage], seed: int, context: Context
) -> dict[str, StageOutcome]:
    """Do some stages of a seed in a folder of their own, in order; each after those it needs.

    Raises:
        UserError: as :func:`run_seed`.
    """
    with _claimed(place.path, context):
        _open_folder(RunFolder(place.path), experiment, stages)
        results = _stages(experiment, place, stages, seed, context)
        if context.workers.first:
            place.error.unlink(missing_ok=True)
    return results


def _stages(
    experiment: Experiment,
    place: SeedFolder,
    stages: Sequence[Stage],
    seed: int,
    context: Context,
) -> dict[str, StageOutcome]:
    folders = {stage.name: place.stage(stage.name) for stage in stages}
    refuse_link(place.path.parent, place.path, *(folder.path for folder in folders.values()))
    results: dict[str, StageOutcome] = {}

    def before(names: Sequence[str], first: SeedFolder) -> None:
        run_before(experiment, names, first, context)

    for stage in stages:
        if context.workers.first and not folders[stage.name].finished:
            context.adopt(experiment, stage.name, seed, folders[stage.name].path)
            copy_same(experiment, place, stage)
        results[stage.name] = run_stage(experiment, stage, seed, place, context, before=before)
    return results


def run_before(
    experiment: Experiment, names: Sequence[str], place: SeedFolder, context: Context
) -> None:
    """Do the stages of these names of the recipe's first seed, as a run of that seed would.

    Raises:
        InUseError: another process is at that seed.
    """
    folder, recipe = RunFolder(place.path.parent), experiment.recipe
    with _claimed(folder.path, context, place.path.name):
        with held_briefly(folder.path, context):
            _open_folder(folder, experiment)
        stages = [stage for stage in experiment.stages if stage.name in names]
        _stages(experiment, place, stages, recipe.seed, context)


def held_briefly(folder: Path, context: Context) -> contextlib.AbstractContextManager[None]:
    """The claim of a run folder for the files that concern all its seeds."""
    if not context.workers.first:
        return contextlib.nullcontext()
    return claimed(folder, wait_s=_BRIEFLY_S, sweep=context.sweep, deep=False)


def _claimed(
    folder: Path, context: Context, part: str = ""
) -> contextlib.AbstractContextManager[None]:
    if not context.workers.first:
        return contextlib.nullcontext()
    refuse_link(folder)
    return claimed(folder, part, sweep=context.sweep)


def _open_folder(folder: RunFolder, experiment: Experiment, stages: Sequence[Stage] = ()) -> None:
    """Write what the folder is for."""
    check_data(folder, experiment)
    _check_precision(folder, experiment)
    if not experiment.workers.first:
        return
    data = experiment.dataset
    experiment.guard()
    known = {"name": data.name, "checksum": data.checksum}
    if experiment.recipe.train.precision == "auto":
        known["precision"] = experiment.precision
    write_json(folder.data, known)
    write_bytes(folder.recipe, to_toml(_placed(experiment.recipe)).encode())
    write_stages(folder, stages or experiment.stages)
    _data_place.record(folder.path, experiment.recipe.data)


def _placed(recipe: Recipe) -> Recipe:
    """The recipe as it may be read from another folder: with an absolute ``data.root``."""
    root = placed_root(recipe.data.root, Path.cwd())
    if root == recipe.data.root:
        return recipe
    return recipe.model_copy(update={"data": recipe.data.model_copy(update={"root": root})})


def _check_precision(folder: RunFolder, experiment: Experiment) -> None:
    """Whether a folder was begun in the precision that ``train.precision = "auto"`` is here.

    Raises:
        UserError: it was not.
    """
    if experiment.recipe.train.precision != "auto" or not folder.data.exists():
        return
    begun = read_table(folder.data, {}).get("precision", experiment.precision)
    if begun != experiment.precision:
        raise UserError(
            f'was begun in {begun}, and train.precision = "auto" is {experiment.precision} here',
            where=str(folder.path),
            remedy=f'Set train.precision = "{begun}" or "{experiment.precision}", which is a run of'
            " its own, or go on where it was begun",
        )


def check_data(folder: RunFolder, experiment: Experiment) -> None:
    """Whether a folder was made with this data: its place is not hashed, so content is compared.

    Raises:
        UserError: it was not.
    """
    data = experiment.dataset
    path = folder.data
    known = read_table(path, {"checksum": str}) if path.exists() else {"checksum": data.checksum}
    if known["checksum"] != data.checksum:
        raise UserError(
            f"this run was made with other {data.name} data",
            where=str(folder.path),
            value=data.checksum[:16],
            remedy=f"It had the checksum {known['checksum'][:16]}. If the data was changed on"
            f" purpose, delete {folder.path} or name another {argument('runs_dir')}; else name the"
            f" folder of the data as it was: {argument('root')}",
        )
