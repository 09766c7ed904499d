"""The tables of what was measured: operations, energy, and the four kinds of sparsity."""

from __future__ import annotations

from collections.abc import Sequence

from spiketicket.experiment.schemas import Operations, Totals
from spiketicket.report.figures.energy import energy_tables, stage_energy
from spiketicket.report.figures.network import GROUPS
from spiketicket.report.numbers import count, energy, share
from spiketicket.report.runs import Run
from spiketicket.report.tables import Cell, Table

_KINDS = ("macs", "acs", "ac_units", "updates", "dense")
_ORDER = {group: place for place, group in enumerate(GROUPS)}
"""As the data flows; a file has them by name."""


def measured_stages(run: Run) -> list[str]:
    """Stages with a measurement, in order."""
    return list(dict.fromkeys(stage.name for stage in run.stages if stage.measure))


def operations_table(run: Run) -> Table | None:
    """Every stage's operations per image, and the ticket's by group."""
    stages = measured_stages(run)
    if not stages:
        return None
    rows = []
    for stage in stages:
        found = [s.measure.total for s in run.stages_of(stage) if s.measure]
        rows.append((Cell(run.title(stage)), Cell("whole net"), *_counts(_mean(found))))
        if stage in (run.main, "dense"):
            measure = run.measured(stage)
            groups = measure.groups if measure else {}
            for group in sorted(groups, key=lambda name: _ORDER.get(name, len(_ORDER))):
                every = [
                    s.measure.groups[group]
                    for s in run.stages_of(stage)
                    if s.measure and group in s.measure.groups
                ]
                words = Cell(GROUPS.get(group, group))
                rows.append((Cell(run.title(stage)), words, *_counts(_mean(every))))
    first = run.measured(stages[0])
    columns = (
        "stage",
        "part",
        "multiply-\naccumulate",
        "accumulate",
        "accumulate,\nunits",
        "membrane\nupdates",
        "were nothing\nzero",
        "share of it\nleft",
    )
    main = frozenset(
        i
        for i, row in enumerate(rows)
        if row[0].text == run.title(run.main) and row[1].text == "whole net"
    )
    return Table(
        name="operations", columns=columns, rows=tuple(rows), words=2, main=main, note=_about(first)
    )


def _about(measure: Totals | None) -> str:
    if measure is None:
        return ""
    of = measure.images_of
    return (
        f"Per image, mean of {of.images:,} of the {of.of:,} {of.part} images of {of.name}; means "
        "over the measured seeds. Accumulate: a whole-number input that is not zero meets a weight "
        "that is not zero; in units, weighted by the size of the input. Multiply-accumulate: the "
        "input is not a whole number."
    )


def _mean(found: Sequence[Operations]) -> Operations:
    return Operations(**{k: sum(getattr(o, k) for o in found) / len(found) for k in _KINDS})


def _counts(found: Operations) -> list[Cell]:
    cells = [Cell(count(getattr(found, key)), getattr(found, key)) for key in _KINDS]
    done = found.macs + found.acs
    left = Cell(share(done / found.dense), done / found.dense) if found.dense else Cell("–")
    return [*cells, left]


def energy_table(run: Run) -> Table | None:
    """Energy per image of every stage by every table, and against the dense net."""
    stages = measured_stages(run)
    tables = energy_tables(run)
    rows = []
    for table in tables:
        dense = stage_energy(run, "dense", table)
        for stage in stages:
            found = stage_energy(run, stage, table)
            if found is None:
                continue
            total = found["total_pj"]
            against = total / dense["total_pj"] if dense and dense["total_pj"] else None
            rows.append(
                (
                    Cell(table),
                    Cell(run.title(stage)),
                    *(
                        Cell(energy(found[k]), found[k])
                        for k in ("macs_pj", "acs_pj", "updates_pj")
                    ),
                    Cell(energy(total), total),
                    Cell("–" if against is None else f"{against:.3g}", against),
                    *(
                        Cell(energy(found[key]), found[key]) if key in found else Cell("–")
                        for key in ("memory_pj", "with_memory_pj", "dense_pj")
                    ),
                )
            )
    columns = (
        "table",
        "stage",
        "multiply-\naccumulate",
        "accumulate",
        "membranes,\napart",
        "arithmetic",
        "times the\ndense net",
        "memory,\napart",
        "sum with\nboth",
        "all multiplied,\nnothing zero",
    )
    if not rows:
        return None
    note = "Arithmetic is multiply-accumulate and accumulate, without the membranes. Memory: the "
    note += "bytes moved, by an upper bound; the sum is of arithmetic, membranes and memory. Last "
    note += "column: as if nothing were zero and every accumulation multiplied."
    folded = f"The energies by all {len(tables)} tables, in numbers"
    return Table(
        name="energy", columns=columns, rows=tuple(rows), words=2, note=note, folded=folded
    )


def sparsity_table(run: Run) -> Table | None:
    """Four kinds, never added up, and the file against two bounds."""
    rows = []
    for stage in measured_stages(run):
        measure = run.measured(stage)
        if measure is None:
            continue
        s = measure.sparsity
        filters = Cell("–")
        if s.filters and s.zero_filters is not None:
            filters = Cell(f"{s.zero_filters:,.0f} of {s.filters:,.0f}", s.zero_filters / s.filters)
        channels = Cell("–")
        if s.channels and s.zero_channels is not None:
            words = f"{s.zero_channels:,.0f} of {s.channels:,.0f}"
            channels = Cell(words, s.zero_channels / s.channels)
        rows.append(
            (
                Cell(run.title(stage)),
                Cell(share(s.mask_density), s.mask_density),
                Cell(share(s.zero_weights), s.zero_weights),
                Cell(share(s.activation_sparsity), s.activation_sparsity),
                filters,
                channels,
                _times(s.fp32_bytes, s.file_bytes),
                _times(s.file_bytes, s.entropy_bytes),
            )
        )
    if not rows:
        return None
    columns = (
        "stage",
        "weights\nin the mask",
        "weights that\nare zero",
        "activations that\nare zero",
        "filters that\nare zero",
        "channels that\nare zero",
        "float32 over\nthe file",
        "file over the\nentropy bound",
    )
    stages = measured_stages(run)
    main = frozenset([stages.index(run.main)] if run.main in stages else [])
    note = (
        "Four kinds of sparsity, which are not to be added up: what the mask keeps; weights whose "
        "value is zero, masked or not; activations that are zero on the test images; filters "
        "and input channels without any weight. First measured seed; its file as the stage left "
        "it, without the verdict."
    )
    return Table(name="sparsity", columns=columns, rows=tuple(rows), main=main, note=note)


def _times(more: float, less: float | None) -> Cell:
    return Cell(f"{more / less:.2f} ×", more / less) if less else Cell("–")
