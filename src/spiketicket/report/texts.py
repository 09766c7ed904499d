"""Lines of a page that several parts need."""

from __future__ import annotations

from collections.abc import Sequence

from spiketicket.report.markup import Markup, element


def missing(content: object) -> Markup:
    """One line that says what is not there, and what gives it."""
    return element("p", content, class_="missing")


def command(text: str) -> Markup:
    """A command in a line of text."""
    return element("code", text)


def listed(lines: Sequence[str]) -> Markup:
    """A list of at most a dozen notes."""
    most = 12
    shown = [element("li", line) for line in lines[:most]]
    if len(lines) > most:
        shown.append(element("li", f"and {len(lines) - most} more"))
    return element("ul", *shown, class_="notes")
