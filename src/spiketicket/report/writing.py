"""``write_report``: run folders to one HTML file, and its figures to a folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from spiketicket.errors import UserError
from spiketicket.machine.files import explained, write_atomic
from spiketicket.machine.names import MAX_NAME
from spiketicket.machine.typed import typed
from spiketicket.report.figures.canvas import Figure
from spiketicket.report.load import read_run
from spiketicket.report.numbers import counted
from spiketicket.report.page import html_page, rendered
from spiketicket.report.parts import SPARED, Part, item_makers, run_parts
from spiketicket.report.runs import Run
from spiketicket.report.summary import several
from spiketicket.report.tables import Table

MOST_DETAILED = 20
"""Runs that are shown in full; of more, all are in the table and the curves."""
_DETAIL_BYTES, _LEAST_BYTES = 830_000, 400_000
"""Room on a page for the runs one by one: of what the head leaves of the first, at least the
second, so that a page of 20 runs stays below 1 MB."""


@dataclass(frozen=True, kw_only=True)
class Written:
    """What was written; ``notes`` say what of the runs could not be read."""

    output: Path
    size: int
    runs: int
    detailed: int
    notes: tuple[str, ...]


@typed
def write_report(runs: Sequence[Path], output: Path, figures: Path | None = None) -> Written:
    """Write the page, and with ``figures`` every figure as SVG and its data as CSV.

    The same folders give the same bytes. A run that is given twice is shown once.

    Raises:
        UserError: no run is given, a folder is no run, or a place cannot be written.
    """
    if not runs:
        raise UserError("needs one run folder or more", where="report")
    folders = list(dict.fromkeys(Path(run).resolve() for run in runs))
    notes = []
    if len(folders) < len(runs):
        again = counted(len(runs) - len(folders), "folder")
        notes.append(f"{again} given more than once: shown once.")
    labels = _labels(folders)
    read = [
        read_run(folder, details=index < MOST_DETAILED, label=label)
        for index, (folder, label) in enumerate(zip(folders, labels, strict=True))
    ]
    detailed = min(len(read), MOST_DETAILED)
    notes += [f"{run.label}: {note}" for run in read for note in run.notes]
    notes += [f"{run.label}: {n}" for run in read if run.result for n in run.result.notes]
    head = several(read, detailed) if len(read) > 1 else []
    spared = _spared(read[:detailed], head)
    if spared:
        notes.append(_about(spared))
    details = [run_parts(run, spared) for run in read[:detailed]]
    content = html_page(read, head, details, notes).encode()
    if figures is not None:
        whole = [run_parts(run) for run in read[:detailed]] if spared else details
        _write_figures(figures, read, head, whole)
    with explained(output, "output"):
        output.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(output, content)
    return Written(
        output=output, size=len(content), runs=len(read), detailed=detailed, notes=tuple(notes)
    )


def _spared(runs: Sequence[Run], head: Sequence[Part]) -> tuple[str, ...]:
    """What all runs go without, so that the page is not too large; all of a kind are taken for as
    large as the largest of it.
    """
    if len(runs) == 1:
        return ()
    room = max(_DETAIL_BYTES - len(rendered(head, "h2", 0)), _LEAST_BYTES)
    kinds = [(max(r, key=lambda run: len(run.stages)), len(r)) for r in _by_kind(runs)]
    size = sum(many * len(rendered(run_parts(run), "h3", 0)) for run, many in kinds)
    makers = dict(item_makers())
    spared: list[str] = []
    for kind in SPARED:
        if size <= room:
            break
        spared.append(kind)
        for run, many in kinds:
            part = Part("", tuple(item for item in makers[kind](run) if item))
            size -= many * len(rendered([part], "h3", 0))
    return tuple(spared)


def _by_kind(runs: Sequence[Run]) -> list[list[Run]]:
    """Runs that fill about as much of a page: ladders or not, finished or not, measured or not."""
    kinds: dict[tuple[bool, ...], list[Run]] = {}
    for run in runs:
        measured = any(stage.measure for stage in run.stages)
        kinds.setdefault((run.ladder, run.result is None, measured), []).append(run)
    return list(kinds.values())


def _about(spared: Sequence[str]) -> str:
    words = ", ".join(SPARED[kind] for kind in spared)
    return (
        f"To keep this page small it goes without {words}. `spiketicket report` of one run shows "
        "them, and `spiketicket report --figures DIR` writes them all."
    )


def _labels(folders: Sequence[Path]) -> list[str]:
    """The folders' names; equal ones are numbered."""
    found: list[str] = []
    for folder in folders:
        label, number = folder.name, 1
        while label in found:
            number += 1
            label = f"{folder.name} ({number})"
        found.append(label)
    return found


def _write_figures(
    folder: Path, runs: Sequence[Run], head: Sequence[Part], details: Sequence[Sequence[Part]]
) -> None:
    places = [("", head), *((_stem(r.label), p) for r, p in zip(runs, details, strict=False))]
    for name, parts in places:
        for part in parts:
            for item in part.items:
                if isinstance(item, Figure | Table):
                    write_item(folder / name, item)


def write_item(folder: Path, item: Figure | Table) -> list[Path]:
    """Write a figure as SVG and its data, or a table's, as CSV; returns the files.

    Raises:
        UserError: the folder cannot be written.
    """
    stem = _stem(item.name)  # a part of it may be of a stranger's run folder
    files = {f"{stem}.csv": item.csv}
    if isinstance(item, Figure):
        files[f"{stem}.svg"] = item.file
    with explained(folder, "figures"):
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            write_atomic(folder / name, content.encode())
    return [folder / name for name in files]


def _stem(label: str) -> str:
    return (
        "".join(c if c.isalnum() or c in "-_." else "_" for c in label).lstrip(".")[:MAX_NAME]
        or "run"
    )
