"""The page: one HTML file that asks for nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from itertools import groupby
from urllib.parse import quote

from spiketicket._version import __version__
from spiketicket.report.figures.canvas import Figure, paper_style, stylesheet
from spiketicket.report.markup import Markup, element, joined
from spiketicket.report.parts import Part
from spiketicket.report.runs import Run
from spiketicket.report.summary import badge, verdict_card
from spiketicket.report.tables import Table

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
_LINK_BYTES = 120_000
"""Room on a page for data as CSV, shared by its runs; what has none is written beside the page."""


def html_page(
    runs: Sequence[Run],
    head: Sequence[Part],
    details: Sequence[Sequence[Part]],
    notes: Sequence[str],
) -> str:
    """The whole file as text.

    ``head`` are the parts about all runs (of one run there are none), ``details`` those of each
    run; ``notes`` say what could not be read, or is left out.
    """
    title = runs[0].name if len(runs) == 1 else f"{len(runs)} runs"
    room = _LINK_BYTES // (len(details) + 1)
    body = []
    if len(runs) == 1:
        body.append(verdict_card(runs[0]))
        body.append(rendered(details[0], "h2", room))
    else:
        body.append(rendered(head, "h2", room))
        body.append(element("h2", "Run by run"))
        for index, (run, parts) in enumerate(zip(runs, details, strict=False)):
            body.append(_run_section(run, parts, index, room))
    if notes:
        body.append(element("h2", "Notes"))
        body.append(element("ul", *(element("li", note) for note in notes), class_="notes"))
    footer = element("footer", f"Made by spiketicket {__version__} report.")
    return document(title, joined([_header(runs, title), element("main", *body), footer]))


def document(title: str, body: Markup) -> str:
    """A page with its styles and script in it, from its body."""
    style = _file("page.css") + stylesheet()
    head = [
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("link", rel="icon", href="data:,"),
        element("title", f"{title} · spiketicket"),
        element("style", Markup(style)),
    ]
    scripts = [
        element("script", Markup(paper_style()), type="text/plain", id="paper-style"),
        element("script", Markup(_file("page.js"))),
    ]
    inner = joined([element("head", *head), element("body", body, *scripts)])
    return f"<!doctype html>\n{element('html', inner, lang='en')}\n"


def _file(name: str) -> str:
    return (resources.files("spiketicket.report") / name).read_text("utf-8")


def _header(runs: Sequence[Run], title: str) -> Markup:
    if len(runs) == 1:
        run = runs[0]
        condition = run.result.condition if run.result else ""
        facts = [fact for fact in (condition, run.label) if fact]
        return element(
            "header", element("h1", title), element("p", " · ".join(facts), class_="meta")
        )
    names = list(dict.fromkeys(run.name for run in runs))
    shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
    return element("header", element("h1", title), element("p", shown, class_="meta"))


def _run_section(run: Run, parts: Sequence[Part], index: int, room: int) -> Markup:
    summary = element("summary", run.label, " ", badge(run.outcome))
    inner = joined([verdict_card(run), rendered(parts, "h3", room)])
    # A link to what is inside opens it.
    place = element("div", inner, id=f"run-{index + 1}")
    return element("details", summary, place, class_="run")


def rendered(parts: Sequence[Part], heading: str, room: int) -> Markup:
    """Parts as HTML under headings of this kind, with at most ``room`` bytes of CSV."""
    found = []
    for part in parts:
        if part.heading:
            found.append(element(heading, part.heading))
        shown, room = _items(part, f"h{int(heading[1:]) + bool(part.heading)}", room)
        found.append(shown)
    return joined(found)


def _items(part: Part, heading: str, room: int) -> tuple[Markup, int]:
    """A part's content, its figures under headings of this kind, and the room for links left."""
    found: list[Markup] = []
    for drawn, group in groupby(part.items, key=lambda item: isinstance(item, Figure)):
        figures = []
        for item in group:
            if isinstance(item, Figure):
                links, room = _links(item, room)
                figures.append(_figure(item, heading, links))
            else:
                found.append(item.html if isinstance(item, Table) else item)
        if drawn:
            found.append(element("div", *figures, class_="figures"))
    return joined(found), room


def _links(item: Figure, room: int) -> tuple[Markup, int]:
    """A link with the data in it while there is room, and the room that is left."""
    # a value takes two bytes at least: what cannot fit is not written out to see
    hopeless = 2 * len(item.columns) * len(item.rows) > room
    content = "" if hopeless else quote(item.csv, safe=",.:;/()_'")
    if hopeless or len(content) > room:
        return _file_links(item), room
    link = element(
        "a",
        "CSV",
        href=f"data:text/csv;charset=utf-8,{content}",
        download=f"{item.name}.csv",
        aria_label=f"CSV: {item.title}",
    )
    return _file_links(item, link), room - len(content)


def _file_links(item: Figure, *links: Markup) -> Markup:
    """Where a figure's files are; the page's script adds one that needs a script."""
    return element("span", *links, class_="files", data_name=item.name, data_title=item.title)


def _figure(item: Figure, heading: str, links: Markup) -> Markup:
    caption = element("figcaption", item.caption, links)
    return element("figure", element(heading, item.title), item.svg, caption)
