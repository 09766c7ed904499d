"""What tickets, data sets and results look like in a notebook.

Drawings come as pictures of their own, in the colours of paper, so that no style of theirs reaches
the rest of a page; tables are plain, as notebooks style them. All text is escaped.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from spiketicket.machine.above import brief
from spiketicket.report.figures.canvas import Figure
from spiketicket.report.figures.masks import mask_picture
from spiketicket.report.figures.pictures import first_pictures
from spiketicket.report.markup import Markup, element, joined
from spiketicket.report.numbers import between, share
from spiketicket.ticket import stated
from spiketicket.verdict.intervals import Estimate, wilson_interval

if TYPE_CHECKING:
    from spiketicket.data.types import Dataset, Samples
    from spiketicket.engine import Engine
    from spiketicket.engine.classified import Classified
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
