"""A comparison as files: one page, each figure as SVG with its data as CSV, and JSON."""

from __future__ import annotations

from pathlib import Path

from spiketicket._version import __version__
from spiketicket.compare.figures import figures
from spiketicket.compare.found import Compared
from spiketicket.machine.above import brief
from spiketicket.machine.files import explained, write_atomic, write_json
from spiketicket.machine.sizes import file_size
from spiketicket.machine.typed import typed
from spiketicket.recipe.shapes import encoder_words
from spiketicket.report.markup import element, joined
from spiketicket.report.notebook import picture
from spiketicket.report.notebook import table as plain_table
from spiketicket.report.numbers import count, percent, signed
from spiketicket.report.page import document, rendered
from spiketicket.report.parts import Part
from spiketicket.report.tables import Cell, Table
from spiketicket.verdict.outcomes import in_words

_ROOM = 60_000
"""Bytes of data as CSV on the page."""
_BUDGETS = {
    "each": "Every training has all of the recipe's epochs",
    "total": "The trainings of a search share the recipe's epochs",
}


@typed
def write_comparison(found: Compared, folder: Path) -> list[Path]:
    """Write everything, and return the files, the page first.

    Raises:
        UserError: the folder cannot be written.
    """
    drawn = figures(found)
    files = {"compare.html": _page(found).encode()}
    for figure in drawn:
        files[f"{figure.name}.svg"] = figure.file.encode()
        files[f"{figure.name}.csv"] = figure.csv.encode()
    with explained(folder, "folder"):
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            write_atomic(folder / name, content)
    write_json(folder / "compare.json", found.to_dict())
    return [folder / name for name in (*files, "compare.json")]


def comparison_table(found: Compared) -> Table:
    """A row for every method and density, the dense net first."""
    columns = (
        "method",
        "verdict",
        "density",
        "test %",
        "sd",
        "minus\ndense",
        "strongest\ncontrol %",
        "trainings",
        "epochs",
        "samples forward\nand back",
        "seconds",
        "file",
    )
    rows = []
    if found.dense and found.dense_cost is not None:
        s, c = found.spread(found.dense), found.dense_cost
        rows.append(
            (
                Cell("dense, trained"),
                Cell("–"),
                Cell("1", 1.0),
                Cell(percent(s.mean), s.mean),
                Cell(percent(s.sd), s.sd),
                Cell("–"),
                Cell("–"),
                Cell("1", 1),
                Cell(f"{c.epochs:.4g}", c.epochs),
                Cell(count(c.sample_passes), c.sample_passes),
                Cell(f"{c.wall_s:.1f}", c.wall_s),
                Cell("–"),
            )
        )
    for row in found.rows:
        s, c = found.spread(row.accuracy), row.cost
        reached = row.control_accuracy
        level = None if reached is None else sum(reached) / len(reached)
        named = f" {row.control.replace('_', ' ')}" if row.control else ""
        rows.append(
            (
                Cell(row.method.replace("_", " ")),
                Cell(in_words(row.outcome)),
                Cell(f"{row.density:.4g}", row.density),
                Cell(percent(s.mean), s.mean),
                Cell(percent(s.sd), s.sd),
                Cell(signed(row.difference), row.difference),
                Cell(f"{percent(level)}{named}", level),
                Cell(str(c.trainings), c.trainings),
                Cell(f"{c.epochs:.4g}", c.epochs),
                Cell(count(c.sample_passes), c.sample_passes),
                Cell(f"{c.wall_s:.1f}", c.wall_s),
                Cell(file_size(row.file_bytes), row.file_bytes),
            )
        )
    each = _BUDGETS[found.budget]
    note = (
        f"{each}. Costs are those of the ticket with its search, per seed, without the trials of "
        "learning rates; stages that several runs share are counted in each."
    )
    if any(len(row.accuracy) == 1 for row in found.rows):
        note += " One seed: no verdict."
    return Table(name="comparison", columns=columns, rows=tuple(rows), words=2, note=note)


def comparison_html(found: Compared) -> str:
    """What a notebook shows of a comparison: its table and its figures."""
    shown = comparison_table(found)
    rows = [[cell.text for cell in row] for row in shown.rows]
    return element(
        "div",
        element("p", element("b", f"{brief(found.recipe.name)}: methods compared")),
        plain_table(shown.columns, rows),
        element("p", shown.note),
        *map(picture, figures(found)),
    )


def _page(found: Compared) -> str:
    recipe = found.recipe
    seeds = len(found.rows[0].accuracy)
    encoder = encoder_words(recipe.model.encoder)
    facts = (
        f"{recipe.data.name}, {recipe.model.name}{encoder and f' behind {encoder}'}, "
        f"{recipe.model.weights} weights, "
        f"{recipe.train.epochs} epochs, {seeds} seed{'s' * (seeds > 1)}, "
        f"{found.machine.get('device', '')}"
    )
    title = f"Methods compared: {recipe.name}"
    body = [
        element("header", element("h1", title), element("p", facts, class_="meta")),
        rendered([Part("", (comparison_table(found), *figures(found)))], "h2", _ROOM),
    ]
    if found.missing:
        body.append(element("p", f"Not finished: {', '.join(found.missing)}.", class_="note"))
    body.append(element("footer", f"Made by spiketicket {__version__} compare."))
    return document(title, joined(body))
