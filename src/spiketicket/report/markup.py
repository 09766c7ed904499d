"""HTML and SVG as text, with everything escaped that is not known to be markup."""

from __future__ import annotations

import html
from collections.abc import Iterable

from spiketicket.errors import plain

_ALONE = frozenset(
    ["br", "circle", "image", "line", "link", "meta", "path", "polygon", "polyline", "rect"]
)


class Markup(str):
    """A text that is HTML or SVG already; any other text is escaped where it is put in."""

    __slots__ = ()


def escaped(value: object) -> Markup:
    """``value`` as text of a page: what would be markup, or would steer a terminal, is not."""
    if isinstance(value, Markup):
        return value
    return Markup(html.escape(plain(str(value), keep="\n\t"), quote=True))


def joined(parts: Iterable[object]) -> Markup:
    """The parts one after the other."""
    return Markup("".join(escaped(part) for part in parts))


def element(tag: str, *children: object, **attributes: object) -> Markup:
    """An element; a name such as ``class_`` or ``stroke_width`` loses or turns its underscores.

    An attribute that is None or False is left out; one that is True has no value.
    """
    written = [tag]
    for name, value in attributes.items():
        key = name.rstrip("_").replace("_", "-")
        if value is True:
            written.append(key)
        elif value is not None and value is not False:
            written.append(f'{key}="{escaped(value)}"')
    start = " ".join(written)
    if tag in _ALONE and not children:
        return Markup(f"<{start}/>")
    return Markup(f"<{start}>{joined(children)}</{tag}>")
