"""Energy per image by each table: a bar a stage, in the parts it comes from."""

from __future__ import annotations

from spiketicket.experiment.schemas import Energy
from spiketicket.report.figures.canvas import WIDTH, Figure, Scale, drawing, rect, role, text
from spiketicket.report.markup import Markup, element, joined
from spiketicket.report.numbers import energy
from spiketicket.report.runs import Run

_ROW = 34.0
_PARTS = (("MAC", "macs_pj", 1.0), ("AC", "acs_pj", 0.62), ("membranes, apart", "updates_pj", 0.28))


def energy_tables(run: Run) -> list[str]:
    """The tables that any stage was measured with, the usual one first."""
    rows = (row for stage in run.stages if stage.measure for row in stage.measure.energy)
    return list(dict.fromkeys(row.table for row in rows))


def stage_energy(run: Run, name: str, table: str) -> dict[str, float] | None:
    """Means over the measured seeds of a stage, by the table's name, in pJ per image."""
    rows = [
        row
        for stage in run.stages_of(name)
        if stage.measure
        for row in stage.measure.energy
        if row.table == table
    ]
    if not rows:
        return None
    keys = [*(key for _, key, _ in _PARTS), "total_pj"]
    # files of earlier versions lack some
    more = ("dense_pj", "memory_pj", "with_memory_pj")
    keys += [key for key in more if all(getattr(row, key) is not None for row in rows)]
    return {key: sum(getattr(row, key) for row in rows) / len(rows) for key in keys}


def energy_bars(run: Run, table: str) -> Figure:
    """The energy of every measured stage by one table; means over the measured seeds."""
    stages = [
        (stage, found) for stage in _stages(run) if (found := stage_energy(run, stage, table))
    ]
    most = max(sum(found[key] for _, key, _ in _PARTS) for _, found in stages) or 1.0
    scale = Scale(low=0, high=most, start=0, end=WIDTH)
    dense = next((found["total_pj"] for stage, found in stages if stage == "dense"), None)
    parts: list[Markup] = [_key()]
    y = 26.0
    for stage, found in stages:
        parts.append(_bar(run.title(stage), role(stage), found, scale=scale, y=y, dense=dense))
        y += _ROW
    row = _row(run, table)
    columns = ("stage", *(key for _, key, _ in _PARTS), "total_pj")
    return Figure(
        name=f"energy-{_stem(table)}",
        title=f"Energy per image, {table}",
        caption=_about(row),
        svg=drawing(y + 2, joined(parts), label=f"Energy per image by table {table}"),
        columns=columns,
        rows=tuple((stage, *(found[key] for key in columns[1:])) for stage, found in stages),
    )


def _stages(run: Run) -> list[str]:
    return list(dict.fromkeys(stage.name for stage in run.stages if stage.measure))


def _row(run: Run, table: str) -> Energy | None:
    rows = (r for s in run.stages if s.measure for r in s.measure.energy if r.table == table)
    return next(rows, None)


def _about(row: Energy | None) -> str:
    words = [text for text in (row.formula, row.source) if text] if row else []
    return ". ".join([*words, "Bars: arithmetic and membranes; memory is in the numbers"]) + "."


def _key() -> Markup:
    parts = []
    x = 0.0
    for name, _, opacity in _PARTS:
        parts.append(rect(x, 3, 9, 9, class_="f-dense", opacity=opacity, rx=1.5))
        parts.append(text(x + 13, 11.5, name, "dim"))
        x += 28 + 6.2 * len(name)
    return joined(parts)


def _bar(
    title: str, kind: str, found: dict[str, float], *, scale: Scale, y: float, dense: float | None
) -> Markup:
    total = energy(found["total_pj"])
    against = ""
    if dense and kind != "dense" and found["total_pj"] > 0:
        against = f"  {found['total_pj'] / dense:.2f} × dense"
    tip = ", ".join(f"{name} {energy(found[key])}" for name, key, _ in _PARTS)
    parts = [element("title", tip), text(0, y + 11, title)]
    parts.append(text(WIDTH, y + 11, f"{total}{against}", "dim", "end"))
    x = 0.0
    for _, key, opacity in _PARTS:
        width = scale(found[key])
        if width > 0.05:
            parts.append(rect(x, y + 16, width, 9, class_=f"f-{kind}", opacity=opacity))
        x += width
    return element("g", *parts)


def _stem(table: str) -> str:
    return "".join(c if c.isalnum() and c.isascii() else "-" for c in table)[:40] or "table"
