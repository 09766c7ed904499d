"""Texts of strangers as they may be shown: nothing in them steers a terminal, hides or reorders.

File names, fields of tickets and recipes, and messages of other programs may hold anything.
"""

from __future__ import annotations

_UNSEEN = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Characters that Unicode calls printable and that show nothing."""


def plain(text: str, keep: str = "") -> str:
    r"""``text`` with each character that is not seen as itself written as Python's escape of it.

    Those are control characters (ESC, C1), line ends, format characters (bidirectional overrides,
    zero width), lone surrogates, spaces other than the usual one, and what is not assigned:
    ``\x1b``, ``\n``, ``\u202e``. The result is one line. Characters in ``keep`` stay.
    """
    if text.isprintable() and _UNSEEN.isdisjoint(text):
        return text
    return "".join(c if c in keep or _is_seen(c) else escape(c) for c in text)


def escape(text: str) -> str:
    """``text`` in ASCII, other characters as Python's escapes."""
    return "".join(c if c.isascii() and c.isprintable() else ascii(c)[1:-1] for c in text)


def cut(text: str, most: int) -> str:
    """``text``, or its beginning and ``...`` where it has more than ``most`` characters."""
    return text if len(text) <= most else f"{text[: most - 3]}..."


def _is_seen(c: str) -> bool:
    return c.isprintable() and c not in _UNSEEN
