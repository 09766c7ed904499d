"""What tickets, data sets and results look like in a notebook.

Drawings come as pictures of their own, in the colours of paper, so that no style of theirs reaches
the rest of a page; tables are plain, as notebooks style them. All text is escaped.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spiketicket.experiment.folder import RunFolder
from spiketicket.experiment.schemas import Epoch
from spiketicket.machine.above import brief
from spiketicket.progress import NullReporter, Reporter
from spiketicket.recipe.registry import is_custom
from spiketicket.report.figures.canvas import Figure
from spiketicket.report.figures.forest import forests
from spiketicket.report.figures.masks import mask_picture
from spiketicket.report.figures.pictures import first_pictures
from spiketicket.report.figures.training import training_curves
from spiketicket.report.load import read_run
from spiketicket.report.markup import Markup, element, joined
from spiketicket.report.numbers import between, percent, share, spread
from spiketicket.report.runs import Run, Stage
from spiketicket.report.summary import several
from spiketicket.report.writing import write_item, write_report
from spiketicket.ticket import TicketError, stated
from spiketicket.verdict.intervals import Estimate, wilson_interval
from spiketicket.verdict.outcomes import in_words

if TYPE_CHECKING:
    from spiketicket.data.types import Dataset, Samples
    from spiketicket.engine import Engine
    from spiketicket.engine.classified import Classified
    from spiketicket.experiment.conclude import FindResult
    from spiketicket.experiment.search import Searched
    from spiketicket.recipe import Recipe
    from spiketicket.sweep import SweepResult
    from spiketicket.ticket import Ticket, TicketLayer

_MOST_ROWS = 40
_MOST_SENTENCES = 12
_CONFIDENCE = 0.95


def picture(figure: Figure, width: int = 440) -> Markup:
    """A figure with title and caption, its drawing as a picture ``width`` pixels wide."""
    content = base64.b64encode(figure.file.encode()).decode()
    drawn = element(
        "img",
        src=f"data:image/svg+xml;base64,{content}",
        alt=figure.title,
        style=f"width:{width}px;max-width:100%",
    )
    return element(
        "figure",
        element("figcaption", element("b", figure.title)),
        drawn,
        element("figcaption", figure.caption),
        style="display:inline-block;margin:0 16px 16px 0;vertical-align:top;max-width:460px",
    )


def table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], most: int = _MOST_ROWS
) -> Markup:
    """A plain table of at most so many rows; those left out are counted."""
    every = list(rows)
    head = element("tr", *(element("th", name) for name in columns))
    body = [element("tr", *(element("td", cell) for cell in row)) for row in every[:most]]
    left = len(every) - most
    more = element("p", f"and {left} more") if left > 0 else ""
    whole = element("table", element("thead", head), element("tbody", *body))
    return joined([whole, more])


def facts_table(facts: Mapping[str, object]) -> Markup:
    """Names and values."""
    return element(
        "table",
        element(
            "tbody", *(element("tr", element("th", k), element("td", v)) for k, v in facts.items())
        ),
    )


def ticket_html(ticket: Ticket) -> Markup:
    """Its verdict with the interval of its accuracy, what it states, its layers and their masks."""
    facts: dict[str, object] = {k: brief(v) for k, v in stated(ticket.metadata).items()}
    if (interval := accuracy_interval(ticket.metadata)) is not None:
        name = f"{100 * _CONFIDENCE:g} % interval, test samples"
        facts[name] = f"{between(interval)} %"
    return element(
        "div",
        element("p", element("b", repr(ticket).splitlines()[0].strip("<>"))),
        facts_table(facts),
        *_sentences(ticket.metadata.get("verdict")),
        _layers(ticket.layers),
        picture(mask_picture(ticket.layers, "What is kept")),
    )


def searched_html(found: Searched) -> Markup:
    """A ticket, and its training curves."""
    return joined([ticket_html(found), *map(picture, history_figures("search", found.history))])


def layer_html(layer: TicketLayer) -> Markup:
    """Its row, and its mask."""
    return element(
        "div", _layers([layer]), picture(mask_picture([layer], f"Mask of {brief(layer.name)}"))
    )


def _layers(layers: Sequence[TicketLayer]) -> Markup:
    rows = [
        (
            brief(layer.name),
            "x".join(map(str, layer.shape)),
            f"{layer.size:,}",
            f"{layer.kept:,}",
            share(layer.density),
            layer.kind if layer.alpha is None else f"{layer.alpha:.4g}",
        )
        for layer in layers
    ]
    return table(("layer", "shape", "weights", "kept", "density", "scale"), rows)


def accuracy_interval(metadata: Mapping[str, Any]) -> Estimate | None:
    """Wilson's interval of a ticket's test accuracy in percent, where the ticket states both that
    and the number of test samples; as any program may have written them.
    """
    accuracy = metadata.get("accuracy")
    if not isinstance(accuracy, Mapping):
        return None
    rate, count = accuracy.get("test"), accuracy.get("test_count")
    if not isinstance(rate, int | float) or not isinstance(count, int):
        return None
    if not (0 <= rate <= 100 and 0 < count < 1 << 48):
        return None
    found = wilson_interval(round(rate * count / 100), count, _CONFIDENCE)
    return Estimate(100 * found.value, 100 * found.low, 100 * found.high)


def _sentences(verdict: object) -> list[Markup]:
    said = verdict.get("sentences") if isinstance(verdict, Mapping) else None
    lines = [line for line in said if isinstance(line, str)] if isinstance(said, list) else []
    return [element("p", line[:1000]) for line in lines[:_MOST_SENTENCES]]


def engine_html(engine: Engine) -> Markup:
    """What it takes and states."""
    return element("div", element("b", "Engine"), facts_table(engine.facts()))


def classified_html(found: Classified) -> Markup:
    """Its classes with their shares."""
    rows = [(brief(s.name), f"{100 * s.probability:.1f} %", f"{s.logit:.3f}") for s in found]
    return element(
        "div", element("p", brief(found.input)), table(("class", "share", "logit"), rows)
    )


class Figures(list[Figure]):
    """Figures that a notebook shows beside each other."""

    def __repr__(self) -> str:
        return f"<Figures: {', '.join(brief(figure.name) for figure in self) or 'none'}>"

    def _repr_html_(self) -> str:
        return element("div", *map(picture, self))

    def save(self, folder: Path | str) -> list[Path]:
        """Write each as SVG with its data as CSV; returns the files.

        Raises:
            UserError: the folder cannot be written.
        """
        return [file for figure in self for file in write_item(Path(folder), figure)]


def run_figures(folders: Sequence[Path]) -> Figures:
    """Of one run its training curves and comparisons, of several the curves over what differs."""
    runs = [read_run(folder) for folder in folders]
    if len(runs) == 1:
        return Figures([*training_curves(runs[0]), *forests(runs[0])])
    parts = several(runs, len(runs))
    return Figures(item for part in parts for item in part.items if isinstance(item, Figure))


def history_figures(title: str, rows: Sequence[Mapping[str, Any]]) -> Figures:
    """Training curves of rows as :attr:`FindResult.history` has them."""
    epochs: dict[tuple[str, int], list[Epoch]] = {}
    for row in rows:
        facts = {"validation_accuracy": math.nan, **row}
        epochs.setdefault((row["stage"], row["seed"]), []).append(Epoch.model_validate(facts))
    stages = tuple(
        Stage(
            name=name,
            seed=seed,
            result=None,
            history=tuple(found),
            measure=None,
            predictions=None,
            timing={},
        )
        for (name, seed), found in epochs.items()
    )
    run = Run(
        label=title,
        folder=Path(),
        recipe={},
        checksum="",
        result=None,
        order=(),
        counted=False,
        stages=stages,
        sample=None,
        answers=None,
        notes=(),
    )
    return Figures(training_curves(run))


def run_report(
    folder: Path,
    recipe: Recipe,
    output: Path | None,
    device: str,
    reporter: Reporter | None,
) -> Path:
    """Measure the nets of a run and write its page."""
    from spiketicket.experiment.measure import measure_run

    listener = reporter or NullReporter()
    try:
        found = measure_run(folder, root=recipe.data.root, device=device, reporter=listener)
        for line in found.failed:
            listener.message(line)
    except TicketError as error:
        if not is_custom(recipe.model.name):
            raise
        listener.message(f"operations and energy are not counted: {error}")
    return write_report([folder], output or RunFolder(folder).report).output


def runs_report(folders: Sequence[Path], output: Path) -> Path:
    """One page of several runs."""
    return write_report(folders, output).output


def find_html(found: FindResult) -> Markup:
    """The verdict, every stage with the interval of its accuracy, and the comparisons."""
    run = read_run(found.folder)
    rows = []
    for row in run.rows:
        known = spread(row.test, run.samples, run.confidence)
        rows.append((row.title, percent(known.mean), between(known.interval), len(row.test)))
    columns = ("stage", "test %", f"{100 * run.confidence:g} % interval", "seeds")
    return element(
        "div",
        element("p", element("b", f"{run.name}: {in_words(run.outcome)}")),
        *_sentences(found.verdict),
        table(columns, rows),
        joined(picture(figure) for figure in forests(run)),
        element("p", f"{run.folder}"),
    )


def sweep_html(found: SweepResult) -> Markup:
    """A row for every run."""
    rows = [
        (
            *row["axes"].values(),
            f"{row['name']}-{row['hash']}",
            _accuracies(row.get("ticket")),
            _accuracies(row.get("dense")),
            in_words(row.get("outcome", row["state"])),
        )
        for row in found.rows
    ]
    keys = list(found.rows[0]["axes"]) if found.rows else []
    columns = (*keys, "run", "ticket %", "dense %", "verdict")
    told = [element("p", f"stopped: {found.stopped}")] if found.stopped else []
    return element("div", element("b", found.name), table(columns, rows), *told)


def _accuracies(values: Sequence[float] | None) -> str:
    return percent(sum(values) / len(values)) if values else "–"


def samples_html(samples: Samples) -> Markup:
    """How many, and the first ones."""
    return element("div", element("p", repr(samples).strip("<>")), _first(samples, ()))


def dataset_html(dataset: Dataset) -> Markup:
    """Its classes with their samples, and the first pictures."""
    many = len(dataset.classes)
    train, test = dataset.train.counts(many), dataset.test.counts(many)
    rows = [
        (brief(name), f"{train[i]:,}", f"{test[i]:,}") for i, name in enumerate(dataset.classes)
    ]
    return element(
        "div",
        element("p", repr(dataset).splitlines()[0].strip("<>")),
        _first(dataset.train, dataset.classes),
        table(("class", "training", "test"), rows),
        *(element("p", note) for note in dataset.notes[:_MOST_SENTENCES]),
        facts_table({"licence": dataset.licence, "citation": dataset.citation}),
    )


def _first(samples: Samples, classes: Sequence[str]) -> Markup:
    words = [classes[label] if classes else str(label) for label in samples.y[:8].tolist()]
    return picture(first_pictures(samples.x, words))
