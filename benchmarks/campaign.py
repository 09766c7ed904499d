"""Tickets on CIFAR-10 with every control and several seeds, in the background of other work.

    python benchmarks/campaign.py [CELL ...] [--densities 0.5,0.1] [--seeds 3] [--budget 60m]
                                  [--stages NAME,...] [--hours H] [--threads N]
                                  [--runs results/campaign-cifar10]
                                  [--record results/campaign-cifar10.jsonl]
                                  [--list | --status | --draw]

A CELL is a recipe with changes, in one argument: ``"recipes/cifar10.toml data.validation=0.1"``;
without any, those of `CELLS`. Each has the stages of its method with the default controls and the
shuffled mask, at every density; with ``--stages`` only those. One cell comes after the other, and
of a cell a stage with all seeds before the next stage: so what is there at any time has as many
seeds as it can have. What two cells have in common, as the dense net of all densities, is trained
once. Learning rates are those of the recipes, which ``benchmarks/recipe_parts.py`` chose by
validation accuracy for tickets, dense nets and random masks: a trial of every stage at half its
length, as ``find`` makes it, would take longer than the stages.

Kill it whenever you like: the same command goes on from the last checkpoint and does nothing twice.
Start it once per core, with ``--threads 1``, and the processes share the seeds among them. What
another machine needs to go on without the checkpoints is small: git takes it of the run folders
in ``results/campaign-cifar10``.
After ``--hours`` it stops by itself, right after a checkpoint. With ``--budget`` epochs, time steps
and batch size are those that ``spiketicket find --budget`` chooses for a recipe at its first
density, when that first runs; the other densities have the same.

The record has a line per finished stage of a seed, with the validation accuracy after every epoch
and the minutes until then. ``--draw`` makes the picture beside it; both of them, ``--list`` and
``--status`` train nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock

from spiketicket.errors import UserError
from spiketicket.experiment.conclude import concluded, stage_record
from spiketicket.experiment.display import LineReporter
from spiketicket.experiment.find import planned
from spiketicket.experiment.folder import RunFolder, StageFolder
from spiketicket.experiment.keys import stage_keys
from spiketicket.experiment.outcome import read_outcome
from spiketicket.experiment.provenance import versions
from spiketicket.experiment.record import without_root
from spiketicket.experiment.seed import run_seed
from spiketicket.experiment.setup import Context, Experiment, prepare_experiment
from spiketicket.experiment.shared import adopt
from spiketicket.experiment.time_plan import known_plan
from spiketicket.machine.bounded import parse_json, read_regular
from spiketicket.machine.claims import InUseError
from spiketicket.machine.files import check_place, write_bytes
from spiketicket.machine.parallel import fixed
from spiketicket.methods.budgets import rescheduled
from spiketicket.methods.stages import Stage, stages_of
from spiketicket.recipe import Recipe, load_recipe
from spiketicket.report.figures.minutes import accuracy_minutes
from spiketicket.reproduce.published import published

RECIPES = Path(__file__).parents[1] / "recipes"
BEST, PUBLISHED = (shlex.quote(str(RECIPES / f"{n}.toml")) for n in ("cifar10", "cifar10-vgg9"))
CELLS = (BEST, f"{PUBLISHED} model.encoder=whiten", PUBLISHED)
DENSITIES = "0.5,0.1"
ALWAYS = ("controls.shuffled=true", "train.tune=off")
WAIT_S = 60.0
PAPER = "table1.cifar10-vgg9"


class StoppedError(Exception):
    """The time is over; all that was done is in checkpoints."""


@dataclass(frozen=True)
class Cell:
    """A recipe of the campaign; ``title`` tells it from the others.

    ``timed`` is the one, at another density, that a budget is planned with.
    """

    title: str
    recipe: Recipe
    timed: Recipe


def main() -> int:
    options = parsed()
    cells = cells_of(options.cells or CELLS, options.densities.split(","))
    check_place(options.record, "record")
    if options.list or options.status:
        for line in listed(cells, options) if options.list else status(cells, options):
            print(line)
        return 0
    if options.draw:
        return draw(options.record)
    until = time.monotonic() + 3600 * options.hours
    try:
        while run(cells, options, until):
            print("another process is at what is left", flush=True)
            time.sleep(WAIT_S)
    except StoppedError:
        print("the time is over; the same command goes on from the last checkpoint")
    finally:
        for cell in cells:
            add_rows(cell, options)
    for line in status(cells, options):
        print(line)
    return 0


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("cells", nargs="*", metavar="CELL", help="a recipe and its changes")
    parser.add_argument("--densities", default=DENSITIES)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--stages", help="only those of these names, as ticket,random_trained")
    parser.add_argument("--budget", help="the most that one stage may take, such as 60m")
    parser.add_argument("--hours", type=float, default=float("inf"))
    parser.add_argument("--threads", type=int)
    parser.add_argument("--runs", type=Path, default=Path("results/campaign-cifar10"))
    parser.add_argument("--record", type=Path, default=Path("results/campaign-cifar10.jsonl"))
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--list", action="store_true", help="the stages in their order")
    only.add_argument("--status", action="store_true", help="how far each of them is")
    only.add_argument("--draw", action="store_true", help="make the picture of the record")
    return parser.parse_args(arguments)


def cells_of(texts: Sequence[str], densities: Sequence[str]) -> list[Cell]:
    """Every recipe at every density, a recipe's densities one after the other."""
    made = []
    for text in texts:
        path, *changes = shlex.split(text)
        recipes = [load_recipe(path, [*ALWAYS, f"ticket.density={d}", *changes]) for d in densities]
        for density, recipe in zip(densities, recipes, strict=True):
            title = ", ".join([recipe.name, *changes, f"density {density}"])
            made.append(Cell(title, recipe, recipes[0]))
    return made


def run(cells: Sequence[Cell], options: argparse.Namespace, until: float) -> bool:
    """Do what is left, in order; whether there still is something, which another process is at.

    Raises:
        StoppedError: the time is over.
    """
    busy = False
    for cell in cells:
        reporter = Timed(until, cell.recipe.train.checkpoint_steps)
        reporter.look()
        recipe = known_recipe(cell, options)
        if recipe is None:
            planned(
                cell.timed,
                options.budget,
                seeds=options.seeds,
                runs_dir=options.runs,
                threads=options.threads,
                reporter=reporter,
            )
            recipe = known_recipe(cell, options)
        if recipe is not None and pending(recipe, options):
            print(f"{cell.title}: {len(pending(recipe, options))} stages left", flush=True)
            run_cell(cell, recipe, cells, options, reporter)
            busy = busy or bool(pending(recipe, options))
    return busy


def run_cell(
    cell: Cell,
    recipe: Recipe,
    cells: Sequence[Cell],
    options: argparse.Namespace,
    reporter: Timed,
) -> None:
    """What ``find`` does, stage by stage, but that stages which another cell has finished are taken
    over, and that seeds which another process is at are left out.
    """
    others = [known for cell in cells if (known := known_recipe(cell, options))]
    folder, seeds = RunFolder.of(recipe, options.runs), recipe.repetitions(options.seeds)

    def take_over(experiment: Experiment, name: str, seed: int, place: Path) -> None:
        key = stage_keys(recipe, seed, "cpu", versions())[name]
        for other in others:
            there = RunFolder.of(other, options.runs).seed(seed).stage(name)
            same = stage_keys(other, seed, "cpu", versions()).get(name) == key
            if same and there.path != place and there.finished:
                adopt(experiment, there.path, place)
                return

    context = Context(threads=options.threads, reporter=reporter, adopt=take_over)
    with fixed():
        experiment = prepare_experiment(recipe, context)
        for stage, seed in pending(recipe, options):
            if not folder.seed(seed).stage(stage.name).finished:
                with contextlib.suppress(InUseError):
                    run_seed(experiment, folder, seed, context, [stage])
                add_rows(cell, options)
        if not list(unfinished(recipe, options, stages_of(recipe))):
            results = [run_seed(experiment, folder, seed, context) for seed in seeds]
            concluded(experiment, folder, tuple(seeds), results, context)


def pending(recipe: Recipe, options: argparse.Namespace) -> list[tuple[Stage, int]]:
    """The stages that are asked for and not finished, in their order, with their seeds."""
    return list(unfinished(recipe, options, asked(recipe, options)))


def unfinished(
    recipe: Recipe, options: argparse.Namespace, stages: Sequence[Stage]
) -> Iterator[tuple[Stage, int]]:
    folder = RunFolder.of(recipe, options.runs)
    for stage in stages:
        for seed in recipe.repetitions(options.seeds):
            if not folder.seed(seed).stage(stage.name).finished:
                yield stage, seed


def asked(recipe: Recipe, options: argparse.Namespace) -> tuple[Stage, ...]:
    """The stages of a recipe that ``--stages`` names, and those that they need.

    Raises:
        UserError: it names one that there is not.
    """
    stages = stages_of(recipe)
    if not options.stages:
        return stages
    names, known = set(options.stages.split(",")), [stage.name for stage in stages]
    if unknown := sorted(names.difference(known)):
        raise UserError(
            "is no stage of this recipe", where="--stages", value=unknown, remedy=f"Use {known}"
        )
    for stage in reversed(stages):
        names |= set(stage.needs if stage.name in names else ())
    return tuple(stage for stage in stages if stage.name in names)


class Timed(LineReporter):
    """Ends the run after a time, at the first step after a checkpoint, so that one step is lost."""

    def __init__(
        self, until: float, checkpoint_steps: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        self.until, self.every, self.clock = until, checkpoint_steps, clock

    def stage_started(self, stage: str, seed: int, epochs: int, steps_per_epoch: int) -> None:
        super().stage_started(stage, seed, epochs, steps_per_epoch)
        if epochs:
            self.look()

    def step(
        self, epoch: int, step: int, loss: float, accuracy: float, images_per_s: float
    ) -> None:
        super().step(epoch, step, loss, accuracy, images_per_s)
        if step % self.every == 0:
            self.look()

    def look(self) -> None:
        """End here where the time is over."""
        if self.clock() >= self.until:
            raise StoppedError


def known_recipe(cell: Cell, options: argparse.Namespace) -> Recipe | None:
    """The recipe that a cell runs; None before a budget was planned."""
    if not options.budget:
        return cell.recipe
    plan = known_plan(cell.timed, options.budget, options.runs, "cpu", options.threads)
    return None if plan is None else rescheduled(cell.recipe, plan.train)


def add_rows(cell: Cell, options: argparse.Namespace) -> None:
    """Write a line for every finished stage that has none."""
    recipe = known_recipe(cell, options)
    if recipe is None:
        return
    folder = RunFolder.of(recipe, options.runs)
    with filelock.FileLock(options.record.with_name(f".{options.record.name}.lock")):
        rows = read_rows(options.record)
        known = {(row["hash"], row["seed"], row["stage"]) for row in rows}
        new = [
            row_of(cell, recipe, stage, seed, place)
            for seed in recipe.repetitions(options.seeds)
            for stage in stages_of(recipe)
            if (place := folder.seed(seed).stage(stage.name)).finished
            and (recipe.hash, seed, stage.name) not in known
        ]
        if new:
            lines = [json.dumps(row, sort_keys=True) for row in [*rows, *new]]
            write_bytes(options.record, ("\n".join(lines) + "\n").encode(), "record")


def read_rows(path: Path) -> list[dict[str, Any]]:
    try:
        return [parse_json(line) for line in read_regular(path).decode().splitlines()]
    except FileNotFoundError:
        return []


def row_of(
    cell: Cell, recipe: Recipe, stage: Stage, seed: int, place: StageFolder
) -> dict[str, Any]:
    """A line of the record; accuracies are in percent."""
    outcome = read_outcome(stage, seed, place)
    whole = stage_record(recipe, outcome)
    (facts,) = whole.pop("stages")
    single = {"test_accuracy": outcome.test_accuracy}
    single["validation_accuracy"] = float(facts["validation_accuracy"][0])
    del whole["seeds"]
    return {
        **whole,
        **facts,
        **single,
        "campaign": "cifar10",
        "cell": cell.title,
        "seed": seed,
        "recipe": without_root(whole["recipe"]),
        "curve": curve(place),
    }


def curve(place: StageFolder) -> list[list[float]]:
    """Minutes of training and validation accuracy in percent, after every epoch."""
    epochs = read_rows(place.log)
    return [
        [round(row["wall_s"] / 60, 3), round(100 * row["validation_accuracy"], 3)] for row in epochs
    ]


def listed(cells: Sequence[Cell], options: argparse.Namespace) -> Iterator[str]:
    """The stages in the order they run."""
    for cell in cells:
        for stage in asked(cell.recipe, options):
            for seed in cell.recipe.repetitions(options.seeds):
                yield f"{cell.title}, seed {seed}: {stage.title}"


def status(cells: Sequence[Cell], options: argparse.Namespace) -> Iterator[str]:
    """A line per cell and seed: the test accuracy of every finished stage, or how far it is."""
    for cell in cells:
        recipe = known_recipe(cell, options)
        if recipe is None:
            yield f"{cell.title}: not planned yet"
            continue
        folder = RunFolder.of(recipe, options.runs)
        for seed in recipe.repetitions(options.seeds):
            parts = [
                f"{stage.name} {state(recipe, stage, seed, folder.seed(seed).stage(stage.name))}"
                for stage in stages_of(recipe)
            ]
            yield f"{cell.title}, seed {seed}: {', '.join(parts)}"


def state(recipe: Recipe, stage: Stage, seed: int, place: StageFolder) -> str:
    if place.finished:
        return f"{read_outcome(stage, seed, place).test_accuracy:.2f} %"
    if not place.checkpoint.exists():
        return "-"
    return f"after epoch {len(read_rows(place.log))} of {stage.epochs(recipe)}"


def draw(record: Path) -> int:
    """Write the picture of a record beside it."""
    rows = read_rows(record)
    if not rows:
        raise UserError("has no finished stage to draw", where=str(record))
    paper = published(PAPER)
    assert paper is not None
    threads = sorted({row["threads"] for row in rows})
    unit = f"minutes on {' or '.join(map(str, threads))} thread{'s' * (threads != [1])}"
    level = paper.accuracy("BinW-SNN", "ticket")
    assert level is not None
    path = record.with_suffix(".svg")
    write_bytes(path, accuracy_minutes(rows, level, "the paper", unit).file.encode(), "record")
    print(path)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UserError as problem:
        print(f"error: {problem}", file=sys.stderr)
        sys.exit(2)
