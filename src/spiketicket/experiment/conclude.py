"""The end of a run: its verdict, its tickets with the verdict in them, its result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

from spiketicket.errors import UserError
from spiketicket.experiment.answers import answers_file
from spiketicket.experiment.folder import RunFolder
from spiketicket.experiment.judging import verdict_over
from spiketicket.experiment.outcome import StageOutcome, over_seeds
from spiketicket.experiment.results import read_result, write_result
from spiketicket.experiment.schemas import RunResult
from spiketicket.experiment.seed import held_briefly, run_seed
from spiketicket.experiment.setup import Context, Experiment, prepare_experiment
from spiketicket.machine.above import Drawn, brief, notebook
from spiketicket.machine.files import explained, write_bytes
from spiketicket.machine.parallel import fixed
from spiketicket.methods.stages import condition, stages_of, ticket_of
from spiketicket.progress import Reporter
from spiketicket.recipe import Recipe, to_dict
from spiketicket.ticket import Ticket
from spiketicket.verdict.outcomes import in_words


@dataclass(frozen=True, kw_only=True)
class FindResult(Drawn):
    """The outcome of :func:`find`; see :meth:`to_dict` for what it holds."""

    drawn_by: ClassVar[str] = "find_html"

    recipe: Recipe
    folder: Path
    seeds: tuple[int, ...]
    stages: Mapping[str, tuple[StageOutcome, ...]]
    verdict: Mapping[str, Any]
    tickets: tuple[Path, ...]
    notes: tuple[str, ...] = ()
    """What is to be known about how the data was read."""

    @property
    def ticket_stage(self) -> tuple[StageOutcome, ...]:
        """The ticket's stage, one per seed."""
        return self.stages[ticket_of(stages_of(self.recipe)).name]

    def __repr__(self) -> str:
        first = f"FindResult {brief(self.recipe.name)}: {in_words(self.verdict['outcome'])}"
        words = [str(sentence) for sentence in self.verdict["sentences"][:1]]
        seeds = ", ".join(map(str, self.seeds))
        lines = [first, *map(brief, words), f"seeds {brief(seeds)}, folder {brief(self.folder)}"]
        return "<" + "\n  ".join(lines) + ">"

    @property
    def ticket(self) -> Ticket:
        """The ticket of the first seed, with the verdict in it; ``tickets`` has the files of all.

        Raises:
            TicketError: its file cannot be read.
        """
        return Ticket.load(self.tickets[0])

    @property
    def history(self) -> list[dict[str, Any]]:
        """A row for every epoch of every stage and seed: ``stage``, ``seed``, ``epoch`` from 0,
        ``loss`` and ``accuracy`` of the training, ``validation_loss`` and ``validation_accuracy``;
        accuracies are fractions. ``pandas.DataFrame`` takes it.
        """
        return [
            {"stage": name, "seed": outcome.seed, **epoch}
            for name, outcomes in self.stages.items()
            for outcome in outcomes
            for epoch in outcome.facts["history"]
        ]

    def plot(self) -> Any:
        """The figures of the run: training curves, and the differences that the verdict rests on.

        A list of :class:`spiketicket.report.figures.canvas.Figure` that a notebook shows;
        ``save(folder)`` writes them as SVG with their data as CSV.
        """
        return notebook("run_figures", [self.folder])

    def report(
        self,
        output: Path | str | None = None,
        *,
        device: str = "cpu",
        reporter: Reporter | None = None,
    ) -> Path:
        """Measure the run's nets, write its page, and return that; by default into its folder.

        Raises:
            UserError: the page cannot be written, or the data is missing.
        """
        where = None if output is None else Path(output)
        found: Path = notebook("run_report", self.folder, self.recipe, where, device, reporter)
        return found

    def to_dict(self) -> dict[str, Any]:
        """JSON-able: verdict, and for every stage its accuracies in percent, a value per seed."""
        timing = self.ticket_stage[0].timing
        return {
            "name": self.recipe.name,
            "hash": self.recipe.hash,
            "folder": str(self.folder),
            "seeds": list(self.seeds),
            "condition": condition(self.recipe),
            "notes": list(self.notes),
            "device": timing["device"],
            "threads": timing["threads"],
            "verdict": dict(self.verdict),
            "stages": [self._row(name) for name in self.stages],
            "tickets": [str(path) for path in self.tickets],
        }

    def _row(self, name: str) -> dict[str, Any]:
        """The row of a stage; the ticket's file is the one with the verdict in it."""
        row = over_seeds(self.stages[name])
        if self.stages[name] is self.ticket_stage and self.tickets[0].exists():
            row["file_bytes"] = self.tickets[0].stat().st_size
        return row

    def record(self) -> dict[str, Any]:
        """The line for ``results/``: :meth:`to_dict` without paths, with recipe and machine."""
        timing = self.ticket_stage[0].timing
        rest = {k: v for k, v in self.to_dict().items() if k not in ("folder", "tickets")}
        machine = {k: v for k, v in timing.items() if k != "wall_s"}
        return {**rest, **machine, "recipe": to_dict(self.recipe)}


def conclude(
    recipe: Recipe,
    seeds: Sequence[int],
    *,
    runs_dir: Path | str = "runs",
    context: Context | None = None,
) -> FindResult:
    """Judge a run whose seeds are all done, as :func:`find` does at its end; trains nothing.

    Raises:
        UserError: a stage is not finished, or as :func:`find`.
    """
    context = context or Context()
    folder = RunFolder.of(recipe, runs_dir)
    for place in (folder.seed(seed) for seed in seeds):
        stages = [place.stage(stage.name) for stage in stages_of(recipe)]
        if missing := [s.path.name for s in stages if not s.finished]:
            raise UserError("is not finished", where=str(place.path), value=missing)
    with fixed():
        experiment = prepare_experiment(recipe, context)
        results = [run_seed(experiment, folder, seed, context) for seed in seeds]
        return concluded(experiment, folder, tuple(seeds), results, context)


def is_finished(recipe: Recipe, seeds: Sequence[int], *, runs_dir: Path | str = "runs") -> bool:
    """Whether a run has all stages of these seeds, their tickets, and the verdict over them."""
    folder, names = RunFolder.of(recipe, runs_dir), [s.name for s in stages_of(recipe)]
    for seed in seeds:
        place = folder.seed(seed)
        if not folder.ticket(recipe, seed).exists():
            return False
        if not all(place.stage(name).finished for name in names):
            return False
    judged = read_result(folder.result, RunResult)
    return judged is not None and judged["seeds"] == list(seeds)


def concluded(
    experiment: Experiment,
    folder: RunFolder,
    seeds: tuple[int, ...],
    results: Sequence[Mapping[str, StageOutcome]],
    context: Context,
) -> FindResult:
    """Judge finished seeds, and write the verdict into the folder and into the tickets."""
    recipe = experiment.recipe
    stages = {s.name: tuple(done[s.name] for done in results) for s in experiment.stages}
    tickets = tuple(folder.ticket(recipe, seed) for seed in seeds)
    notes = tuple(n for n in experiment.dataset.notes if "cache" not in n) + _machines(stages)
    verdict = verdict_over(experiment.stages, stages, experiment.dataset.test.y, recipe.verdict)
    found = FindResult(
        recipe=recipe,
        folder=folder.path,
        seeds=seeds,
        stages=stages,
        verdict=verdict,
        tickets=tickets,
        notes=notes,
    )
    if not context.workers.first:
        return found
    there = all(path.exists() for path in (*tickets, folder.answers))
    known = read_result(folder.result) if there else None
    if known == _without_times(found.to_dict()):
        return found
    with held_briefly(folder.path, context):
        for outcome, path in zip(found.ticket_stage, tickets, strict=True):
            experiment.guard()
            _save_with_verdict(outcome, path, verdict)
        experiment.guard()
        _write_answers(experiment, folder, found.ticket_stage[0])
        write_result(folder.result, _without_times(found.to_dict()))
        folder.error.unlink(missing_ok=True)
    return found


def _machines(stages: Mapping[str, Sequence[StageOutcome]]) -> tuple[str, ...]:
    """Notes where stages were trained with different instruction sets, or in another precision."""
    outcomes = [o for part in stages.values() for o in part]
    found = {
        "with different instruction sets": {o.timing["isa"] for o in outcomes if "isa" in o.timing},
        "in different precision": {
            o.facts["precision"] for o in outcomes if "precision" in o.facts
        },
    }
    return tuple(
        f"stages were trained {how}: {', '.join(sorted(map(str, known)))}"
        for how, known in found.items()
        if len(known) > 1
    )


def stage_record(recipe: Recipe, result: StageOutcome) -> dict[str, Any]:
    """The line for ``results/`` of one stage: its row, with recipe and machine."""
    machine = {k: v for k, v in result.timing.items() if k != "wall_s"}
    return {
        "name": recipe.name,
        "hash": recipe.hash,
        "seeds": [result.seed],
        "condition": condition(recipe),
        "stages": [result.to_dict()],
        **machine,
        "recipe": to_dict(recipe),
    }


def _write_answers(experiment: Experiment, folder: RunFolder, ticket: StageOutcome) -> None:
    test, classes = experiment.dataset.test, experiment.dataset.classes
    answered = ticket.predictions_of(len(test))
    with explained(folder.path):
        write_bytes(folder.answers, answers_file(test, classes, answered, ticket.seed))


_IN_TICKET: Final = ("outcome", "sentences", "seeds", "margin", "confidence")
"""What a ticket says of its verdict; every comparison is in the run's result."""


def _save_with_verdict(outcome: StageOutcome, path: Path, verdict: Mapping[str, Any]) -> None:
    ticket = Ticket.load(outcome.files.ticket)
    said = {key: verdict[key] for key in _IN_TICKET}
    whole = Ticket(ticket.layers, ticket.tensors, {**ticket.metadata, "verdict": said})
    with explained(path.parent):
        whole.save(path)


def _without_times(result: dict[str, Any]) -> dict[str, Any]:
    """What is the same however often the run was interrupted, with any number of threads, and
    wherever its folder is.
    """
    times = ("wall_s", "tuning_s")
    stages = [{k: v for k, v in row.items() if k not in times} for row in result["stages"]]
    rest = {k: v for k, v in result.items() if k not in ("folder", "tickets", "threads")}
    return {**rest, "stages": stages, "tickets": [Path(t).name for t in result["tickets"]]}
