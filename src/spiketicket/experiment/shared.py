"""Stages that several runs have in common: their keys, and taking one over from where it is.

A stage's key is the hash of exactly what its result is a function of: data, network, budget, seed
and the stages it starts from, but not the recipe's name or the parts of it that other stages read.
Two stages with one key differ in nothing but the recipe that their files name.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from spiketicket.errors import UserError
from spiketicket.experiment.folder import (
    CHECKPOINT,
    ERROR,
    MEASURE,
    RESULT,
    SAMPLE,
    TICKET,
    TIMING,
    RunFolder,
    StageFolder,
)
from spiketicket.experiment.keys import stage_keys
from spiketicket.experiment.provenance import machine, provenance, versions
from spiketicket.experiment.results import read_result, read_table, write_result
from spiketicket.experiment.schemas import FinishedStage
from spiketicket.experiment.setup import Experiment
from spiketicket.machine.bounded import read_regular
from spiketicket.machine.files import explained, json_bytes, read_json, write_bytes, write_json
from spiketicket.measure import files as _measured_file
from spiketicket.measure import samples
from spiketicket.measure.files import is_whole
from spiketicket.measure.samples import UNREADABLE, drawn_sample
from spiketicket.methods.stages import stage_of
from spiketicket.progress import Reporter
from spiketicket.recipe import Recipe, load_recipe
from spiketicket.ticket import Ticket
from spiketicket.ticket.codec import MAX_FILE_BYTES


def adopt(experiment: Experiment, source: Path, folder: Path) -> bool:
    """Put the finished stage in ``source`` into ``folder``, as if it had been run there.

    All its files come along, byte for byte as the recipe's own would be, but for ``timing.json``,
    which says that the stage is ``shared``. Returns False, and changes nothing, where ``source``
    is not finished or was made with other data or versions than are here.

    Raises:
        UserError: a damaged source, or a place that cannot be written.
    """
    there, here = StageFolder(source), StageFolder(folder)
    facts = read_result(there.result, FinishedStage)
    if facts is None or not there.timing.exists():
        return False
    timing = read_table(there.timing, {})
    ticket = Ticket.load(there.ticket)
    meta = {**ticket.metadata, **provenance(experiment)}
    made_of = ticket.metadata.get("data", {}).get("checksum"), ticket.metadata.get("versions")
    if made_of != (experiment.dataset.checksum, versions()):
        return False
    own = Ticket(ticket.layers, ticket.tensors, meta)
    content = own.to_bytes()
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        copies = _others(source) | _measured(there, ticket, own, len(content))
    facts |= {"condition": meta["condition"], "file_bytes": len(content)}
    experiment.guard()
    for name, copy in {TICKET: content, **copies}.items():
        write_bytes(folder / name, copy)
    write_json(here.timing, {**timing, "shared": True})
    experiment.guard()
    write_result(here.result, facts)
    here.checkpoint.unlink(missing_ok=True)
    return True


_MOST_RUNS = 1000
"""Runs that are looked at."""


@dataclass(frozen=True)
class Beside:
    """Takes finished stages over from the other runs in a folder, where they have the same key.

    So a recipe that was changed trains only what the change concerns. Where the data lies is no
    part of the comparison, what it is does.
    """

    runs_dir: Path
    reporter: Reporter

    def __call__(self, experiment: Experiment, name: str, seed: int, folder: Path) -> None:
        """Put the stage into ``folder`` if a run beside has it; an unsound one is passed by."""
        if StageFolder(folder).checkpoint.exists():
            return  # begun here
        for run in self._runs(name, seed, folder):
            with contextlib.suppress(UserError):
                if self._has_same(run, experiment, name, seed):
                    source = run.seed(seed).stage(name).path
                    if adopt(experiment, source, folder):
                        title = stage_of(experiment.recipe, name).title
                        told = f"{title}, seed {seed}: the same as in {run.path}, taken from there"
                        self.reporter.message(told)
                        return

    def _runs(self, name: str, seed: int, folder: Path) -> Iterator[RunFolder]:
        """Those that have finished such a stage, but for the one that ``folder`` is in."""
        own = folder.absolute().parent.parent
        for path in sorted(self.runs_dir.glob("*/recipe.toml"))[:_MOST_RUNS]:
            run = RunFolder(path.parent)
            stage = run.seed(seed).stage(name)
            if run.path.absolute() == own or not stage.finished:
                continue
            places = (run.path, run.recipe, run.data, run.seed(seed).path, stage.path)
            if not any(place.is_symlink() for place in (*places, *stage.path.iterdir())):
                yield run  # a link could name a file outside of the run

    @staticmethod
    def _has_same(run: RunFolder, experiment: Experiment, name: str, seed: int) -> bool:
        there, device = load_recipe(run.recipe), experiment.device.type
        if there.train.precision == "auto":
            known = read_table(run.data, {"checksum": str}).get("precision")
            if known != experiment.precision:
                return False
        keys = [
            stage_keys(_unplaced(recipe), seed, device, versions())
            for recipe in (there, experiment.recipe)
        ]
        timing = read_table(run.seed(seed).stage(name).timing, {"device": str})
        same_device = timing["device"] == machine(experiment.device)["device"]
        return same_device and keys[0].get(name) == keys[1].get(name)


def _unplaced(recipe: Recipe) -> Recipe:
    return recipe.model_copy(update={"data": recipe.data.model_copy(update={"root": ""})})


_OF_THE_RECIPE = (TICKET, TIMING, RESULT, MEASURE, SAMPLE)
_OF_THE_PROCESS = (CHECKPOINT, ERROR)


def _others(source: Path) -> dict[str, bytes]:
    """The files of a stage that are the same whatever the recipe."""
    left_out = (*_OF_THE_RECIPE, *_OF_THE_PROCESS)
    return {
        path.name: read_regular(path, MAX_FILE_BYTES)
        for path in source.iterdir()
        if path.is_file() and path.name not in left_out and not path.name.startswith(".")
    }


def _measured(source: StageFolder, ticket: Ticket, own: Ticket, size: int) -> dict[str, bytes]:
    """What was measured of a stage, about its ticket in another recipe; none where it is damaged or
    of another ticket, so that it is measured again.
    """
    found, sample = source.measure, source.sample
    known, digest = ticket.digest(), own.digest()
    files = {}
    with contextlib.suppress(UserError):
        measured = read_json(found)
        if is_whole(measured) and measured["ticket_digest"] == known:
            files[found.name] = json_bytes(_measured_file.of_equal_ticket(measured, digest, size))
    drawn = drawn_sample(sample)
    if drawn is not None and drawn[0] == known:
        with contextlib.suppress(*UNREADABLE):
            files[sample.name] = samples.of_equal_ticket(read_regular(sample), digest)
    return files
