"""The run folder: every path in it, and what its small files hold. Needs no PyTorch.

    runs/<name>-<hash>/recipe.toml
                       data.json                 name and checksum of the data
                       plan.json                 how its schedule follows from a budget
                       root.json                 where the data lies on this machine
                       stages.json               the stages of every seed, in the order they run
                       result.json               the verdict over the seeds asked for last
                       answers.npz               labels of the test set, pictures of a few samples
                       <name>-seed<s>.ticket     the ticket, with the verdict in it
                       report.html               the page about the run
                       seed-<s>/<stage>/         one training with one seed

    seed-<s>/<stage>/  log.jsonl          one line per epoch
                       checkpoint.pt      while it is running
                       model.ticket       the net in ticket form; the test accuracy is its
                       predictions.npy    classes predicted on the test set, int64 [N]
                       timing.json        wall time, device, threads, versions
                       firing.json        layers that hardly ever, or nearly always, fired
                       weights.safetensors, rewind.safetensors    for later stages of a search
                       scores.safetensors what the mask was chosen by, for a control that reads it
                       result.json        last of all: the stage is done when it is there
                       measure.json, sample.npz                   what ``measure`` found

A folder of version 0.2 has no ``stages.json``, and says ``arm`` where this version says ``stage``:
it is read, and goes on where it was.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from spiketicket.errors import UserError
from spiketicket.experiment.results import read_result, required_result
from spiketicket.experiment.schemas import Kept, StageFacts, StagesFile, Tested
from spiketicket.machine.files import write_json
from spiketicket.methods.stages import Stage
from spiketicket.recipe import Recipe

STAGES_VERSION: Final = 1
TICKET, CHECKPOINT, LOG = "model.ticket", "checkpoint.pt", "log.jsonl"
PREDICTIONS, TIMING, RESULT = "predictions.npy", "timing.json", "result.json"
TIME_PLAN = "plan.json"
MEASURE, SAMPLE, ERROR = "measure.json", "sample.npz", "error.json"
FIRING = "firing.json"
_SEED = re.compile(r"seed-(\d{1,20})")


@dataclass(frozen=True)
class StageFolder:
    """The files of one stage of one seed."""

    path: Path

    @property
    def log(self) -> Path:
        """One line per epoch."""
        return self.path / LOG

    @property
    def checkpoint(self) -> Path:
        """There while it is trained."""
        return self.path / CHECKPOINT

    @property
    def ticket(self) -> Path:
        """The net in ticket form."""
        return self.path / TICKET

    @property
    def predictions(self) -> Path:
        """Classes predicted on the test set, int64 [N]."""
        return self.path / PREDICTIONS

    @property
    def timing(self) -> Path:
        """Wall time, device, threads, versions."""
        return self.path / TIMING

    @property
    def result(self) -> Path:
        """The stage is done when it is there."""
        return self.path / RESULT

    @property
    def measure(self) -> Path:
        """What was measured of its net."""
        return self.path / MEASURE

    @property
    def sample(self) -> Path:
        """What its net does with one sample."""
        return self.path / SAMPLE

    @property
    def firing(self) -> Path:
        """Layers that hardly ever or nearly always fired in the last validation, if any did."""
        return self.path / FIRING

    @property
    def weights(self) -> Path:
        """The state that later stages of a search read."""
        return self.path / "weights.safetensors"

    @property
    def rewind(self) -> Path:
        """The same after the step that is rewound to."""
        return self.path / "rewind.safetensors"

    @property
    def scores(self) -> Path:
        """The scores that its mask was chosen by, where a control reads them."""
        return self.path / "scores.safetensors"

    @property
    def finished(self) -> bool:
        """Whether it is done."""
        return self.result.exists()

    def kept_by_layer(self) -> dict[str, int]:
        """Weights that its net keeps of every layer.

        Raises:
            UserError: the stage's result is missing or damaged.
        """
        return dict(required_result(self.result, Kept)["kept_by_layer"])

    def validation_accuracy(self) -> float:
        """In percent.

        Raises:
            UserError: as :meth:`kept_by_layer`.
        """
        return float(required_result(self.result, Tested)["validation_accuracy"])

    def found(self) -> Mapping[str, Any]:
        """What a search found out in it.

        Raises:
            UserError: as :meth:`kept_by_layer`.
        """
        facts = (read_result(self.result) or {}).get("search")
        if not isinstance(facts, dict):
            remedy = f"Delete {self.path} and find again"
            raise UserError("does not say what was found", where=str(self.result), remedy=remedy)
        return facts


@dataclass(frozen=True)
class SeedFolder:
    """The stages of one seed."""

    path: Path

    def stage(self, name: str) -> StageFolder:
        """The folder of a stage."""
        return StageFolder(self.path / name)

    @property
    def error(self) -> Path:
        """Why a sweep could not go on with it."""
        return self.path / ERROR


@dataclass(frozen=True)
class RunFolder:
    """A recipe's run, with all its seeds."""

    path: Path

    @classmethod
    def of(cls, recipe: Recipe, runs_dir: Path | str) -> RunFolder:
        """Where a recipe's run is or will be."""
        return cls(Path(runs_dir) / recipe.folder_name)

    @property
    def recipe(self) -> Path:
        """The recipe, with every setting."""
        return self.path / "recipe.toml"

    @property
    def data(self) -> Path:
        """Name and checksum of the data."""
        return self.path / "data.json"

    @property
    def time_plan(self) -> Path:
        """The plans by which its schedule fits into a time."""
        return self.path / TIME_PLAN

    @property
    def stages(self) -> Path:
        """The stages of every seed."""
        return self.path / "stages.json"

    @property
    def result(self) -> Path:
        """The verdict; the run is done when it is there for the seeds asked for."""
        return self.path / RESULT

    @property
    def answers(self) -> Path:
        """Labels of the test set, and pictures of a few samples of it."""
        return self.path / "answers.npz"

    @property
    def error(self) -> Path:
        """Why a sweep could not judge it."""
        return self.path / ERROR

    def seed(self, seed: int) -> SeedFolder:
        """The part that belongs to a seed."""
        return SeedFolder(self.path / f"seed-{seed}")

    def seeds(self) -> list[int]:
        """The seeds that were begun."""
        found = (_SEED.fullmatch(p.name) for p in self.path.glob("seed-*") if p.is_dir())
        return sorted(int(match[1]) for match in found if match)

    def has_finished_stage(self) -> bool:
        """Whether a stage of any seed is done."""
        return any(any(self.seed(seed).path.glob(f"*/{RESULT}")) for seed in self.seeds())

    @property
    def report(self) -> Path:
        """The page about it."""
        return self.path / "report.html"

    def ticket(self, recipe: Recipe, seed: int) -> Path:
        """A seed's ticket, with the verdict in it."""
        return self.path / f"{recipe.name}-seed{seed}.ticket"


def write_stages(folder: RunFolder, stages: Iterable[Stage]) -> None:
    """Write down which stages every seed of a run has, in the order they run."""
    rows = [
        {"name": s.name, "title": s.title, "role": s.role, **({"rung": s.rung} if s.rung else {})}
        for s in stages
    ]
    write_json(folder.stages, {"version": STAGES_VERSION, "stages": rows})


def stages_in(value: Any, path: Path) -> tuple[StageFacts, ...]:
    """What :func:`write_stages` wrote, of the file's content; empty where there is none, as in a
    folder of version 0.2.

    Raises:
        UserError: it is damaged, or of a later version.
    """
    if value is None:
        return ()
    try:
        found = StagesFile.model_validate(value)
    except ValueError as error:
        remedy = "Run spiketicket find with its recipe, which writes it anew"
        raise UserError("is damaged", where=str(path), remedy=remedy) from error
    if found.version > STAGES_VERSION:
        raise UserError(
            "is of a later version of spiketicket",
            where=str(path),
            value=found.version,
            remedy="Install that version",
        )
    return tuple(found.stages)
