"""From studies to files: one sweep for all that is asked for, then figure, table and text each.

<out>/<study>.jsonl    a line per cell: recipe, hash, device, seeds, wall time, stages, verdict
<out>/<study>.csv      a line per stage
<out>/<study>.svg      the figure
<out>/<study>.md       what it shows, what is missing, the values
<out>/README.md        every study there is: what came of it, and which were never run at this scale
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spiketicket.experiment.folder import RunFolder
from spiketicket.experiment.measure import measure_run
from spiketicket.machine.files import explained, write_bytes
from spiketicket.progress import Reporter
from spiketicket.reproduce.cells import Cell, cells_of
from spiketicket.reproduce.claims import find_all, to_plain
from spiketicket.reproduce.collect import Row, collect, to_lines
from spiketicket.reproduce.figures import draw
from spiketicket.reproduce.registered import claims_hash, register, registration
from spiketicket.reproduce.requirements import require_data
from spiketicket.reproduce.statement import Agreement, agreement, counted, counted_on, sentences
from spiketicket.reproduce.study import Study, load_study, study_names
from spiketicket.reproduce.tables import missing, not_at_scale, to_csv, to_page
from spiketicket.sweep import Executor, Observer, Run, SweepResult, run_runs


@dataclass(frozen=True)
class Planned:
    """Studies at a scale with their cells, and the runs that are behind all of them."""

    scale: str
    studies: tuple[tuple[Study, tuple[Cell, ...]], ...]
    runs: tuple[Run, ...]


@dataclass(frozen=True, kw_only=True)
class Written:
    """What became of a study."""

    study: Study
    rows: tuple[Row, ...]
    files: tuple[Path, ...]
    missing: tuple[str, ...]
    registration: str
    """Whether the claims are those from before the first run, in a sentence."""
    hash: str
    """Over claims, bands, margins and recipes, now."""
    not_run: tuple[str, ...]
    """What the paper has and this scale does not, a text each."""

    @property
    def agreement(self) -> Mapping[str, Agreement]:
        """How far each panel agrees with the paper, by its title."""
        found = find_all(self.study, self.rows)
        titles = {row.cell.panel: row.cell.title for row in self.rows}
        return {
            title: agreement([f for f in found if f.panel == panel])
            for panel, title in titles.items()
        }

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "study": self.study.name,
            "title": self.study.title,
            "runs": len(self.rows),
            "agreement": dict(self.agreement),
            "sentences": sentences(self.study, self.rows),
            "claims_hash": self.hash,
            "registration": self.registration,
            "findings": [to_plain(f) for f in find_all(self.study, self.rows)],
            "missing": list(self.missing),
            "not_run": list(self.not_run),
            "files": [str(path) for path in self.files],
        }


def plan_studies(names: Sequence[str], scale: str, seeds: int | None = None) -> Planned:
    """The cells of some studies and the runs they need; every recipe is validated.

    Raises:
        UserError: an unknown study or scale.
        RecipeError: one line for every mistake in any recipe.
    """
    studies = [load_study(name) for name in dict.fromkeys(names)]
    found = tuple((study, tuple(cells_of(study, scale, seeds))) for study in studies)
    return Planned(scale, found, _runs([cell for _, cells in found for cell in cells]))


def _runs(cells: Sequence[Cell]) -> tuple[Run, ...]:
    """Each recipe once, with all the seeds that any study asks for."""
    runs: dict[str, Run] = {}
    for cell in cells:
        x = "" if cell.x is None else f"{cell.x:g}"
        axes = {"study": cell.study, "panel": cell.panel, "series": cell.series, "x": x}
        known = runs.get(cell.recipe.folder_name, Run(cell.recipe, (), axes))
        seeds = tuple(sorted({*known.seeds, *cell.seeds}))
        runs[cell.recipe.folder_name] = Run(cell.recipe, seeds, known.axes)
    return tuple(runs.values())


def run_studies(
    planned: Planned,
    runs_dir: Path,
    executor: Executor | None = None,
    *,
    observer: Observer | None = None,
    record: Path | None = None,
    retry_failed: bool = False,
) -> SweepResult:
    """Do what is left to do of some studies; finished runs and stages are not done again.

    Raises:
        RecipeError: missing data, a line for each data set.
        UserError: as :func:`spiketicket.sweep.run_runs`.
    """
    require_data(cell for _, cells in planned.studies for cell in cells)
    for study, cells in planned.studies:
        register(study, cells, planned.scale, runs_dir)
    return run_runs(
        planned.runs,
        runs_dir,
        executor,
        observer=observer,
        record=record,
        retry_failed=retry_failed,
    )


def count_operations(
    planned: Planned, runs_dir: Path, device: str = "cpu", reporter: Reporter | None = None
) -> None:
    """Measure the finished nets of the studies that are about energy; measured ones are read.

    Raises:
        UserError: as :func:`spiketicket.experiment.measure.measure_run`.
    """
    about = (
        cells
        for study, cells in planned.studies
        if any(claim.kind == "ratio" for claim in study.claims)
    )
    recipes = {c.recipe.folder_name: c.recipe for cells in about for c in cells}
    for name, recipe in recipes.items():
        folder = RunFolder(runs_dir / name)
        if folder.has_finished_stage():
            found = measure_run(
                folder.path, root=recipe.data.root, device=device, reporter=reporter
            )
            if reporter is not None:
                for line in found.failed:
                    reporter.message(line)


def write_studies(planned: Planned, runs_dir: Path, out: Path) -> list[Written]:
    """Draw and write down what the run folders hold of some studies, finished or not.

    Raises:
        UserError: a damaged run folder, or a place that cannot be written.
    """
    written = [
        _write(study, cells, planned.scale, runs_dir, out) for study, cells in planned.studies
    ]
    write_bytes(out / "README.md", _index(planned.scale, written, out).encode(), "out")
    return written


def _index(scale: str, written: Sequence[Written], out: Path) -> str:
    """Every study there is, and what came of it."""
    now = {found.study.name: counted(find_all(found.study, found.rows)) for found in written}
    lines = [
        f"# Studies at `--scale {scale}`",
        "",
        "| study | in the paper | claims |",
        "| --- | --- | --- |",
    ]
    without = never_run(out)
    for name in study_names():
        study, page = load_study(name), f"[{name}]({name}.md)"
        path = out / f"{name}.md"
        told = now.get(name) or (counted_on(path.read_text("utf-8")) if path.exists() else "")
        told = "never run at this scale" if name in without else told
        shown = page if path.exists() else name
        lines.append(f"| {shown} | {study.place}: {study.title} | {told} |")
    return "\n".join(lines) + "\n"


def never_run(out: Path) -> list[str]:
    """Studies of which no file in a folder of results holds a run."""
    return [name for name in study_names() if not _has_runs(out / f"{name}.jsonl")]


def _has_runs(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0


def _write(study: Study, cells: Sequence[Cell], scale: str, runs_dir: Path, out: Path) -> Written:
    rows = collect(cells, runs_dir)
    told = registration(study, cells, scale, runs_dir)
    content = {
        "jsonl": to_lines(rows).encode(),
        "csv": to_csv(rows).encode(),
        "svg": draw(study, rows).encode(),
        "md": to_page(study, scale, rows, told).encode(),
    }
    with explained(out, "out"):
        out.mkdir(parents=True, exist_ok=True)
    for end, text in content.items():
        write_bytes(out / f"{study.name}.{end}", text, "out")
    files = tuple(out / f"{study.name}.{end}" for end in content)
    return Written(
        study=study,
        rows=tuple(rows),
        files=files,
        missing=tuple(missing(rows)),
        registration=told,
        hash=claims_hash(study, cells),
        not_run=tuple(not_at_scale(study, scale)),
    )
