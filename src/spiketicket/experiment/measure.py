"""Measure tickets and runs: operations, activity, sparsity and energy on test images.

A ticket is measured as its file says: the plain model made from it, in float32, on the first test
images, normalised and batched as in its test. Of a run, every finished stage gets

measure.json    what :func:`measure_ticket` returns, without times and paths
sample.npz      of some stages of the first seed: images, patches kept, spikes and potentials
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from spiketicket.data import load_dataset
from spiketicket.data import place as _data_place
from spiketicket.data.of_ticket import find_test_data
from spiketicket.data.types import Dataset
from spiketicket.errors import UserError
from spiketicket.experiment.folder import RunFolder, StageFolder
from spiketicket.experiment.measure_net import (
    USUAL_IMAGES,
    image_count,
    measure_net,
    network_of,
)
from spiketicket.experiment.provenance import machine
from spiketicket.experiment.results import read_predictions
from spiketicket.machine.claims import claimed
from spiketicket.machine.files import read_json, refuse_link, write_bytes, write_json
from spiketicket.machine.typed import typed
from spiketicket.measure.files import Measured, is_whole
from spiketicket.measure.samples import drawn_sample, sample_file
from spiketicket.methods.stages import stages_of, ticket_of
from spiketicket.progress import NullReporter, PlannedStage, Reporter, tell_plan
from spiketicket.recipe import Recipe, load_recipe
from spiketicket.ticket import Ticket, TicketError, read_metadata
from spiketicket.ticket.zoo import ticket_path

_TOLERATED_POINTS = 1.0
"""A device that rounds otherwise may decide a few images otherwise."""
_DRAWN = ("dense", "patch", "pepsp", "multisp")


@dataclass(frozen=True, kw_only=True)
class StageMeasured:
    """A finished stage of a run with what was measured on its ticket."""

    stage: str
    seed: int
    folder: Path
    measured: Measured
    new: bool
    """Whether it was measured now, and not read from an earlier ``measure.json``."""


@dataclass(frozen=True, kw_only=True)
class RunMeasured:
    """The finished stages of a run folder, seed after seed, stages in the order they ran."""

    folder: Path
    recipe: Recipe
    stages: tuple[StageMeasured, ...]
    missing: tuple[str, ...]
    """Stages without a result, as ``seed-0/dense``."""
    failed: tuple[str, ...] = ()
    """What is wrong with the stages whose tickets cannot be measured: a line each."""


@typed
def measure_ticket(
    path: Path | str,
    *,
    images: int | str | None = None,
    root: str = "",
    device: str = "cpu",
    dataset: Dataset | None = None,
) -> Measured:
    """Measure a ticket file; values are means over the images, energies in picojoules an image.

    No code of a custom network is run: it is made of the layers that its ticket holds.

    Args:
        path: the ticket's file, or its name in the zoo.
        images: how many of the first test images; "all"; None is 256, or all of a smaller set.
        root: folder with the data.
        device: where to compute.
        dataset: the data where it is loaded already.

    Raises:
        TicketError: the file is no sound ticket, or not of a network of this package, or computes
            something that is not a finite number.
        UserError: the data is missing or not that of the ticket, or there are fewer images than
            asked for.
    """
    path = ticket_path(path)
    ticket = Ticket.load(path)
    model = network_of(ticket, path).to(device)
    data = find_test_data(ticket, path, root=root, dataset=dataset)
    return measure_net(
        ticket,
        model,
        data,
        images=image_count(images, data.dataset),
        path=path,
        device=device,
    )


def measured_record(
    recipe: Mapping[str, Any],
    recipe_hash: str,
    rows: Sequence[tuple[str, int | None, Measured]],
    device: str,
    wall_s: float | None,
) -> dict[str, Any]:
    """The line for ``results/``: what was measured of one recipe's nets, with the machine.

    ``rows`` are (stage, seed, measured); ``wall_s`` is how many seconds measuring them took, None
    where some were measured earlier.
    """
    first = rows[0][2]
    kept = ("ticket_digest", "accuracy", "total", "groups", "sparsity", "energy")
    return {
        "name": recipe.get("name"),
        "hash": recipe_hash,
        "recipe": dict(recipe),
        "set": first["set"],
        "wall_s": wall_s if wall_s is None else round(wall_s, 3),
        **machine(torch.device(device)),
        "stages": [
            {"stage": stage, "seed": seed, **{k: found[k] for k in kept}}
            for stage, seed, found in rows
        ],
    }


@typed
def measure_run(
    folder: Path | str,
    *,
    images: int | str | None = None,
    sample: int = 0,
    root: str = "",
    device: str = "cpu",
    reporter: Reporter | None = None,
    dataset: Dataset | None = None,
) -> RunMeasured:
    """Measure every finished stage of a run, and write what was measured into its folder.

    Stages whose file was measured before on as many images are read. ``sample`` is the index of the
    test image whose spikes go into ``sample.npz``; the other arguments are those of
    :func:`measure_ticket`. A stage whose ticket is lost or damaged is left out and told of in
    ``failed``.

    Raises:
        UserError: as :func:`measure_ticket`; no run folder, or none of its stages is finished;
            another process works in the folder.
        TicketError: not one of the tickets can be measured.
    """
    folder, reporter = Path(folder), reporter or NullReporter()
    recipe = _recipe(folder)
    stages, missing = _stages(folder, recipe)
    for name in missing:
        reporter.message(f"{name} is not finished and is left out")
    run = _Run(
        folder=Path(folder),
        recipe=recipe,
        root=root,
        device=device,
        images=images,
        sample=sample,
        reporter=reporter,
        _loaded=dataset,
    )
    first = min(place.seed for place in stages)
    shown = (*_DRAWN, ticket_of(stages_of(recipe)).name)
    found: dict[Place, Measured | TicketError | None] = {}
    for place in stages:
        found[place] = run.tried(run.read, place, drawn=place.seed == first and place.name in shown)
    new = {place for place, measured in found.items() if measured is None}
    if new:
        left = [place for place in stages if place in new]
        tell_plan(reporter, [PlannedStage(place.title, place.seed, 0) for place in left])
        with claimed(folder):
            for place in left:
                drawn = place.seed == first and place.name in shown
                found[place] = run.tried(run.measure, place, drawn=drawn)
    failed = [e for e in found.values() if isinstance(e, TicketError)]
    if len(failed) == len(stages):
        raise failed[0]
    rows = [
        StageMeasured(
            stage=place.name,
            seed=place.seed,
            folder=place.files.path,
            measured=measured,
            new=place in new,
        )
        for place in stages
        if isinstance(measured := found[place], dict)
    ]
    return RunMeasured(
        folder=folder,
        recipe=recipe,
        stages=tuple(rows),
        missing=tuple(missing),
        failed=tuple(map(str, failed)),
    )


@dataclass(frozen=True)
class Place:
    """A finished stage of a run; ``title`` is that of measuring it."""

    seed: int
    name: str
    title: str
    files: StageFolder


_Step = Callable[[Place, bool], Measured | None]


@dataclass(kw_only=True)
class _Run:
    folder: Path
    recipe: Recipe
    root: str
    device: str
    images: int | str | None
    sample: int
    reporter: Reporter
    _loaded: Dataset | None = None

    def data(self) -> Dataset:
        if self._loaded is None:
            # Not the recipe's: a run folder may be a stranger's.
            root = self.root or _data_place.recorded(self.folder)
            self._loaded = load_dataset(self.recipe.data.model_copy(update={"root": root}))
        return self._loaded

    @staticmethod
    def tried(step: _Step, place: Place, *, drawn: bool) -> Measured | TicketError | None:
        """What a step gives, or what is wrong with the stage's ticket."""
        try:
            return step(place, drawn)
        except TicketError as error:
            return error

    def read(self, place: Place, drawn: bool) -> Measured | None:
        """What is in the stage's folder, if it is about its ticket and the images asked for."""
        files = place.files
        if not files.ticket.is_file():
            what, where = f"the stage has lost its {files.ticket.name}", str(files.path)
            remedy = f"Delete {where} and run spiketicket find again"
            raise TicketError(what, where=where, remedy=remedy)
        digest = read_metadata(files.ticket)["digest"]
        try:
            found: Measured | None = read_json(files.measure)
        except UserError:
            return None
        if found is None or not is_whole(found) or found["ticket_digest"] != digest:
            return None
        images, of = found["set"]["images"], found["set"]["of"]
        wanted = {None: min(USUAL_IMAGES, of), "all": of}.get(self.images)  # type: ignore[arg-type]
        if images != (self.images if wanted is None else wanted):
            return None
        if drawn and drawn_sample(files.sample) != (digest, self.sample):
            return None
        return found

    def measure(self, place: Place, drawn: bool) -> Measured:
        """Measure the stage's ticket and write what was found."""
        files = place.files
        refuse_link(files.path.parent, files.path)
        path, dataset = files.ticket, self.data()
        self.reporter.stage_started(place.title, place.seed, 0, 0)
        ticket = Ticket.load(path)
        model = network_of(ticket, path).to(self.device)
        data = find_test_data(ticket, path, dataset=dataset)
        images = image_count(self.images, dataset)
        found = measure_net(ticket, model, data, images=images, path=path, device=self.device)
        if drawn:
            write_bytes(
                files.sample,
                sample_file(model, data, self.sample, found["ticket_digest"], self.device),
            )
        write_json(files.measure, found)
        then = _accuracy_then(files.predictions, dataset, images)
        if then is not None and abs(then - found["accuracy"]) > _TOLERATED_POINTS:
            self.reporter.message(
                f"{files.path}: {found['accuracy']:.2f} % of these images are right now,"
                f" {then:.2f} % were when the stage ended: another version of spiketicket made it"
            )
        done = f"{found['accuracy']:.2f}% right of {images} images"
        self.reporter.stage_finished(place.title, done)
        return found


def _recipe(folder: Path) -> Recipe:
    path = RunFolder(folder).recipe
    if not path.is_file():
        remedy = "Give the folder that spiketicket find made, as runs/digits-binw-..."
        raise UserError("is no run folder: it has no recipe.toml", where=str(folder), remedy=remedy)
    return load_recipe(path)


def _stages(folder: Path, recipe: Recipe) -> tuple[list[Place], list[str]]:
    """Finished stages, and the names of the others."""
    stages, missing, run = [], [], RunFolder(folder)
    for seed in run.seeds():
        for stage in stages_of(recipe):
            files = run.seed(seed).stage(stage.name)
            if files.result.is_file():
                stages.append(Place(seed, stage.name, f"measure {stage.title}", files))
            else:
                missing.append(files.path.relative_to(folder).as_posix())
    if not stages:
        remedy = "Run spiketicket find with its recipe first"
        raise UserError("has no finished stage", where=str(folder), remedy=remedy)
    return stages, missing


def _accuracy_then(path: Path, dataset: Dataset, images: int) -> float | None:
    """Percent of the same images by the predictions that the stage stored, where they fit."""
    try:
        predicted = read_predictions(path)[:images]
    except (OSError, UserError):
        return None
    truth = dataset.test.y[:images]
    return 100 * float((predicted == truth).mean()) if predicted.shape == truth.shape else None
