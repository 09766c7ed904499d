"""A run in its parts: what a process does of one, alone or beside others that do the rest.

The stages of a seed belong to the process that claims ``seed-<s>``; what concerns all seeds is
written under a short claim of the run folder. So two processes may do two seeds of one recipe.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from spiketicket.data import Dataset, load_dataset
from spiketicket.data import place as _data_place
from spiketicket.errors import UserError
from spiketicket.experiment import threads
from spiketicket.experiment.stage import Experiment, StageOutcome, copy_twin, run_stage
from spiketicket.machine import allocator, processor
from spiketicket.machine.bounded import need_memory
from spiketicket.machine.claims import Guard, claimed, unguarded
from spiketicket.machine.files import refuse_link, write_bytes, write_json
from spiketicket.machine.run_files import read_table
from spiketicket.machine.workers import ALONE, Workers, own_device
from spiketicket.methods.controls import StageName
from spiketicket.methods.ladder import check, stage_names
from spiketicket.methods.trainings import dense_twin
from spiketicket.neurons import native
from spiketicket.progress import NullReporter, Reporter, tell_doing
from spiketicket.recipe import DataConfig, Recipe, placed_root, to_toml
from spiketicket.recipe.weight_shapes import weight_shapes

Adopt = Callable[[Experiment, StageName, int, Path], None]
"""Called with (experiment, stage, seed, folder) before an unfinished stage: it may put a finished
one into the folder."""
_BYTES_A_WEIGHT = 24
"""Itself, its score, and of that the gradient, two moments and the best so far."""
_BRIEFLY_S = 60.0
"""How long to wait for a run folder that others hold only while they write a few files."""


def _train_it(experiment: Experiment, name: StageName, seed: int, folder: Path) -> None:
    del experiment, name, seed, folder


@dataclass(frozen=True)
class Context:
    """Where and on whose behalf a part of a run is done; none of it changes a result beyond bits.

    ``threads`` None means as many as pay, see :mod:`spiketicket.experiment.threads`.
    ``load`` reads the data, ``sweep`` is as in :func:`spiketicket.machine.claims.claimed`. All of
    ``workers`` do the same part together; the first one claims and writes.
    """

    device: str = "cpu"
    threads: int | None = None
    reporter: Reporter = field(default_factory=NullReporter)
    guard: Guard = unguarded
    adopt: Adopt = _train_it
    sweep: str = ""
    load: Callable[[DataConfig], Dataset] = load_dataset
    workers: Workers = ALONE


def prepare_experiment(recipe: Recipe, context: Context) -> Experiment:
    """Read a recipe's data and refuse what could not be trained; says what slows it down.

    Sets PyTorch's number of threads, see :mod:`spiketicket.experiment.threads`.

    Raises:
        UserError: missing data, or a network that does not fit it.
    """
    reporter = context.reporter
    if context.device == "cpu":
        allocator.keep_freed_memory()
        tell_doing(reporter, "compiling the neurons")
        if recipe.train.kernel == "auto" and not native.available():
            reporter.message("no working C compiler: plain PyTorch computes the neurons, slower")
        if recipe.train.kernel in ("auto", "native") and (note := native.note()):
            reporter.message(note)
        if recipe.train.precision == "bf16" and not processor.computes_bfloat16():
            reporter.message(
                "this processor emulates bfloat16, many times slower than float32:"
                " train.precision = fp32, another recipe, is fast here"
            )
    tell_doing(reporter, f"reading {recipe.data.name}")
    dataset = context.load(recipe.data)
    device = own_device(context.device)
    experiment = Experiment(recipe, dataset, device, context.guard, context.workers)
    for note in dataset.notes:
        reporter.message(f"{dataset.name}: {note}")
    _check_frames(experiment)
    _check_memory(experiment)
    check(recipe, experiment.shape)
    if context.threads is not None:
        torch.set_num_threads(context.threads)
    elif context.device == "cpu":
        torch.set_num_threads(threads.choose(recipe, experiment.shape))
    return experiment


def _check_memory(experiment: Experiment) -> None:
    """Whether a network's weights, and what training keeps of each, can be held."""
    model = experiment.recipe.model
    count = 0
    with contextlib.suppress(UserError):  # building it says what does not fit, and better
        weights = weight_shapes(model.name, model.model_dump(mode="json"), experiment.shape)
        count = sum(math.prod(shape) for _, shape in weights or ())
    need_memory(
        _BYTES_A_WEIGHT * count,
        f"the network's {count:,} weights and their training",
        "model",
        "Use a smaller network",
    )


def _check_frames(experiment: Experiment) -> None:
    """Whether the network and its ramp go through as many time steps as a recording has frames."""
    recipe, frames = experiment.recipe, experiment.dataset.frames
    if experiment.dataset.train.x.ndim != 5:
        return
    if recipe.model.timesteps != frames:
        raise UserError(
            f"the recordings have {frames} frames",
            where="model.timesteps",
            value=recipe.model.timesteps,
            remedy="Set model.timesteps and data.steps to the same",
        )
    for _, steps in recipe.train.timestep_ramp:
        if frames % steps:
            raise UserError(
                f"must divide the {frames} frames of a recording",
                where="train.timestep_ramp",
                value=steps,
                remedy="Use divisors, or another data.steps",
            )


def seed_folder(folder: Path, seed: int) -> Path:
    """The part of a run folder that belongs to a seed."""
    return folder / f"seed-{seed}"


def run_seed(
    experiment: Experiment, folder: Path, seed: int, context: Context
) -> dict[StageName, StageOutcome]:
    """Do all stages of a seed of the run in ``folder``; finished ones are read.

    Raises:
        UserError: another process does this seed, the data is other than it was, or as
            :func:`spiketicket.experiment.stage.run_stage`.
    """
    place, names = seed_folder(folder, seed), stage_names(experiment.recipe)
    done = all((place / name / "result.json").exists() for name in names)
    if context.workers.agreed(done):
        check_data(folder, experiment)
        return _stages(experiment, place, names, seed, context)
    with _claimed(folder, context, place.name):
        with held_briefly(folder, context):
            _open_folder(folder, experiment)
        results = _stages(experiment, place, names, seed, context)
        if context.workers.first:
            (place / "error.json").unlink(missing_ok=True)
    return results


def run_dense(experiment: Experiment, folder: Path, seed: int, context: Context) -> StageOutcome:
    """Do only the dense stage of a seed, in the same place as :func:`run_seed`.

    Raises:
        UserError: as :func:`run_seed`.
    """
    place = seed_folder(folder, seed)
    with _claimed(folder, context, place.name):
        with held_briefly(folder, context):
            _open_folder(folder, experiment)
        return _stages(experiment, place, ("dense",), seed, context)["dense"]


def run_stages(
    experiment: Experiment, place: Path, names: Sequence[StageName], seed: int, context: Context
) -> dict[StageName, StageOutcome]:
    """Do some stages of a seed in a folder of their own, in order; each after those it needs.

    Raises:
        UserError: as :func:`run_seed`.
    """
    with _claimed(place, context):
        _open_folder(place, experiment)
        results = _stages(experiment, place, names, seed, context)
        if context.workers.first:
            (place / "error.json").unlink(missing_ok=True)
    return results


def _stages(
    experiment: Experiment, place: Path, names: Sequence[StageName], seed: int, context: Context
) -> dict[StageName, StageOutcome]:
    results: dict[StageName, StageOutcome] = {}
    kept: Mapping[str, int] | None = None
    refuse_link(place.parent, place, *(place / name for name in names))
    for name in names:
        folder = place / name
        if context.workers.first and not (folder / "result.json").exists():
            context.adopt(experiment, name, seed, folder)
            _adopt_twin(experiment, place, name)
        result = run_stage(experiment, name, seed, folder, kept, context.reporter)
        results[name] = result
        kept = result.kept_by_layer if name == "ticket" else kept
    return results


def _adopt_twin(experiment: Experiment, place: Path, name: StageName) -> None:
    """The dense net of a search that has trained it already is not trained again."""
    twin, folder = dense_twin(experiment.recipe), place / name
    if name != "dense" or not twin or (folder / "result.json").exists():
        return
    if (place / twin / "result.json").exists() and not (folder / "checkpoint.pt").exists():
        copy_twin(experiment, place / twin, folder, name)


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


def _open_folder(folder: Path, experiment: Experiment) -> None:
    """Write what the folder is for."""
    check_data(folder, experiment)
    if not experiment.workers.first:
        return
    data = experiment.dataset
    experiment.guard()
    write_json(folder / "data.json", {"name": data.name, "checksum": data.checksum})
    write_bytes(folder / "recipe.toml", to_toml(_placed(experiment.recipe)).encode())
    _data_place.record(folder, experiment.recipe.data)


def _placed(recipe: Recipe) -> Recipe:
    """The recipe as it may be read from another folder: with an absolute ``data.root``."""
    root = placed_root(recipe.data.root, Path.cwd())
    if root == recipe.data.root:
        return recipe
    return recipe.model_copy(update={"data": recipe.data.model_copy(update={"root": root})})


def check_data(folder: Path, experiment: Experiment) -> None:
    """Whether a folder was made with this data: its place is not hashed, so content is compared.

    Raises:
        UserError: it was not.
    """
    data = experiment.dataset
    path = folder / "data.json"
    known = read_table(path, {"checksum": str}) if path.exists() else {"checksum": data.checksum}
    if known["checksum"] != data.checksum:
        raise UserError(
            f"this run was made with other {data.name} data",
            where=str(folder),
            value=data.checksum[:16],
            remedy=f"Give the data with checksum {known['checksum'][:16]}, or another folder",
        )
