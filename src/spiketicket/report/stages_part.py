"""The tables of one run's stages: accuracy with its uncertainty, comparisons, and the ladder."""

from __future__ import annotations

import numpy as np

from spiketicket.experiment.schemas import Compared, Operations
from spiketicket.machine.sizes import file_size
from spiketicket.report.numbers import (
    between,
    count,
    percent,
    share,
    signed,
    spread,
)
from spiketicket.report.runs import Row, Run
from spiketicket.report.tables import Cell, Table
from spiketicket.verdict.intervals import Estimate
from spiketicket.verdict.outcomes import COVERS

_GROUPS = ("conv_pep", "encoder_linear", "attention", "selector")


def stages_table(run: Run) -> Table:
    """Accuracy of every stage: each seed, mean, spread, and both intervals."""
    seeds = run.seeds
    level = f"{100 * run.confidence:g} %"
    flipped = any(row.flipped for row in run.rows)
    columns = (
        "stage",
        *(f"seed {seed}" for seed in seeds),
        "mean",
        "sd",
        f"{level} interval\nover seeds",
        f"{level} Wilson\nover samples",
        "validation\nmean",
        *(["mean with\ntest-time flip"] * flipped),
    )
    rows = tuple(_stage_row(run, row) + _flipped(row) * flipped for row in run.rows)
    main = frozenset(i for i, row in enumerate(run.rows) if row.name == run.main)
    samples = f" of {run.samples:,} test samples" if run.samples else ""
    return Table(
        name="stages",
        columns=columns,
        rows=rows,
        main=main,
        note=f"Test accuracy in percent{samples}. Interval over seeds: Student's t. Wilson: of the "
        f"mean accuracy, the samples counted once.{_FLIP_NOTE * flipped}{_precision(run)}",
    )


_FLIP_NOTE = (
    " Test-time flip: the mean of the logits for a sample and its mirror image, not judged."
)


def _flipped(row: Row) -> tuple[Cell]:
    mean = sum(row.flipped.values()) / len(row.flipped) if row.flipped else None
    return (Cell(percent(mean), mean),)


def _precision(run: Run) -> str:
    """What the nets were trained in, where the recipe leaves that to the processor."""
    known = sorted({row.facts.precision for row in run.rows if row.facts.precision})
    return f" Trained in {' and '.join(known)}." if known else ""


def _stage_row(run: Run, row: Row) -> tuple[Cell, ...]:
    found = spread(row.test, run.samples, run.confidence)
    seeds = [
        Cell(percent(row.test.get(seed)), row.test.get(seed), _right(row.test.get(seed), run))
        for seed in run.seeds
    ]
    validation = sum(row.validation.values()) / len(row.validation) if row.validation else None
    return (
        Cell(row.title),
        *seeds,
        Cell(percent(found.mean), found.mean),
        Cell(percent(found.sd), found.sd),
        Cell(between(found.seeds), found.seeds.low if found.seeds else None),
        Cell(between(found.samples), found.samples.low if found.samples else None),
        Cell(percent(validation), validation),
    )


def _right(accuracy: float | None, run: Run) -> str:
    if accuracy is None or not run.samples:
        return ""
    return f"{round(accuracy * run.samples / 100):,} of {run.samples:,} right"


def comparison_table(run: Run) -> Table | None:
    """Every comparison, those the verdict rests on and those that judge nothing."""
    if not run.pairs:
        return None
    rows = tuple(
        (
            Cell(run.title(p.ticket)),
            Cell(run.title(p.control) + ", not judged" * (p.control in run.twins)),
            Cell(signed(p.difference), p.difference),
            Cell(_interval(p), p.low),
            Cell(COVERS.get(p.basis, "–")),
        )
        for p in run.pairs
    )
    columns = (
        "ticket",
        "minus",
        "points",
        f"{100 * run.confidence:g} % interval",
        "it covers",
    )
    return Table(
        name="comparisons", columns=columns, rows=rows, words=2, folded="The comparisons in numbers"
    )


def _interval(pair: Compared) -> str:
    if pair.low is None or pair.high is None:
        return "none"
    return f"{signed(pair.low)} to {signed(pair.high)}"


def size_table(run: Run) -> Table:
    """What every stage keeps and costs; for a ladder the ladder's own columns."""
    if any(row.facts.tokens for row in run.rows):
        return _ladder_table(run)
    columns = (
        "stage",
        "density",
        "weights kept",
        "weights",
        "binary",
        "BatchNorm\ntrained",
        "file",
        "epochs",
    )
    rows = []
    for row in run.rows:
        f = row.facts
        rows.append(
            (
                Cell(row.title),
                Cell(f"{f.density:.4g}", f.density),
                Cell(f"{f.kept:,.0f}", f.kept),
                Cell(f"{f.parameters:,.0f}", f.parameters),
                Cell("yes" if f.binary else "no"),
                Cell("yes" if f.bn_affine else "no"),
                Cell(file_size(f.file_bytes), f.file_bytes),
                Cell(f"{f.trained_epochs:g}", f.trained_epochs),
            )
        )
    return Table(
        name="sizes", columns=columns, rows=tuple(rows), main=_main_rows(run), note=_flips(run)
    )


def _ladder_table(run: Run) -> Table:
    columns = (
        "stage",
        "accuracy %",
        "patches",
        "ConvPEP\ndensity",
        "pruned of\nthe net",
        "ConvPEP",
        "encoder\nlinear",
        "attention",
        "selector",
        "all",
        "file",
        "epochs",
    )
    rows = []
    for row in run.rows:
        f = row.facts
        mean = spread(row.test, None, run.confidence).mean
        tokens = Cell(f"{f.tokens.kept} of {f.tokens.of}", f.tokens.kept) if f.tokens else Cell("–")
        rows.append(
            (
                Cell(row.title),
                Cell(percent(mean), mean),
                tokens,
                Cell(
                    "–" if f.conv_pep_density is None else f"{f.conv_pep_density:.4g}",
                    f.conv_pep_density,
                ),
                _pruned(f.net_density),
                *(_operations(f.operations.get(group)) for group in _GROUPS),
                _operations(_total(f.operations)),
                Cell(file_size(f.file_bytes), f.file_bytes),
                Cell(f"{f.trained_epochs:g}", f.trained_epochs),
            )
        )
    return Table(
        name="ladder",
        columns=columns,
        rows=tuple(rows),
        main=_main_rows(run),
        note="Operations per image, from ConvPEP to all: pairs of an input and a weight, neither "
        f"of them zero. {_flips(run)}".rstrip(),
    )


def _flips(run: Run) -> str:
    """How many signs fine-tuning flipped, where it trained binary weights."""
    return " ".join(
        f"{row.title}: {row.facts.signs_flipped:,.10g} of {row.facts.signs:,.10g} signs flipped."
        for row in run.rows
        if row.facts.signs is not None
    )


def _pruned(density: float | None) -> Cell:
    return Cell("–") if density is None else Cell(share(1 - density), 1 - density)


def _main_rows(run: Run) -> frozenset[int]:
    return frozenset(i for i, row in enumerate(run.rows) if row.name == run.main)


def _operations(found: object) -> Cell:
    if not isinstance(found, Operations):
        return Cell("–")
    return Cell(count(found.acs + found.macs), found.acs + found.macs)


def _total(found: dict[str, Operations | float]) -> Operations | None:
    groups = [value for value in found.values() if isinstance(value, Operations)]
    if not groups:
        return None
    sums = {key: sum(getattr(g, key) for g in groups) for key in ("dense", "macs", "acs")}
    return Operations(**sums)


def never_predicted(run: Run) -> list[str]:
    """Stages that never give a class, in words; a class counts if any stage ever predicts it."""
    known = [s for s in run.stages if s.predictions is not None]
    names = run.sample[1].classes if run.sample else ()
    most = max((int(s.predictions.max()) for s in known if s.predictions is not None), default=-1)
    classes = max(len(names), min(most + 1, 1 << 16))  # a damaged file may hold any number
    found = []
    for stage in known:
        seen = np.unique(stage.predictions) if stage.predictions is not None else ()
        absent = sorted(set(range(classes)) - {int(c) for c in seen})
        if absent:
            shown = ", ".join(names[c] if c < len(names) else str(c) for c in absent[:10])
            more = f" and {len(absent) - 10} more" if len(absent) > 10 else ""
            found.append(
                f"{run.title(stage.name)}, seed {stage.seed}: never answers {shown}{more}."
            )
    return found


def overall(run: Run) -> tuple[Estimate | None, float | None]:
    """The main ticket's interval to draw, and its mean; None where it has no result."""
    row = next((a for a in run.rows if a.name == run.main), None)
    if row is None:
        return None, None
    found = spread(row.test, run.samples, run.confidence)
    return found.interval, found.mean
