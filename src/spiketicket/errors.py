"""The errors a user of the library is meant to see.

Everything raised on purpose derives from :class:`SpikeTicketError`; bad input is a
:class:`UserError`, which the command line prints as ``error: ...`` without a traceback. An argument
of a wrong type is a TypeError, see :mod:`spiketicket.machine.typed`.
"""

from __future__ import annotations

import difflib
import enum
from collections.abc import Iterable, Sequence

_LONGEST_VALUE = 80


class _Unset(enum.Enum):
    UNSET = "unset"


UNSET = _Unset.UNSET
"""Says that an error has no value to show; ``None`` is itself a value."""

NO_TORCH = "training needs PyTorch: pip install 'spiketicket[train]'"
_REPORT = (
    "annotated_types",
    "filelock",
    "platformdirs",
    "pooch",
    "pydantic",
    "rich",
    "scipy",
    "tomli_w",
)
_EXTRAS = {
    **dict.fromkeys(_REPORT, "report"),
    "huggingface_hub": "hub",
    "nir": "nir",
    "nirtorch": "nir",
    "snntorch": "nir",
    "onnx": "onnx",
    "onnxruntime": "onnx",
    "onnxscript": "onnx",
    "ray": "cluster",
    "torch_pruning": "structured",
}
"""Package that may not be there -> the extra that brings it."""


def missing_package(error: ImportError) -> str | None:
    """What to tell where a package is not installed that comes with an extra; None for others."""
    package = (error.name or "").partition(".")[0]
    if package == "torch":
        return NO_TORCH
    extra = _EXTRAS.get(package)
    if extra is None:
        return None
    what = f"this needs {package}, which is not installed"
    if extra != "report":
        return f"{what}: pip install 'spiketicket[{extra}]'"
    # the one that suffices in any case first: its remedy must not lead to the next error
    return (
        f"{what}: pip install 'spiketicket[train]', or 'spiketicket[report]', which has no PyTorch"
        " and is enough for reports, run folders and the checks of data"
    )


def argument(name: str, value: object = UNSET) -> str:
    """An argument of this package's functions as messages name it, with a value to give it or
    without: ```seeds```, ```network='mynet:make'```.

    The command line shows its option in the same place, see :mod:`spiketicket.cli.wording`.
    """
    given = "" if value is UNSET else f"={_shown(value)}".replace("`", "\\x60")
    return f"`{name}{given}`"


class SpikeTicketError(Exception):
    """Base of every error this package raises on purpose."""


class UserError(SpikeTicketError, ValueError):
    """Bad input: says where, what, which value, and what to do about it.

    Args:
        what: what is wrong, in a few words: ``"must be <= 1"``.
        where: the place of the mistake: a file, a key, or both: ``"x.toml: ticket.density"``.
        value: the value that was given; shown with ``repr``, long ones cut.
        remedy: what the user can do; shown last, as a sentence of its own.

    ``str(error)`` is ``"where: what (got value). remedy"``, absent parts left out: one line that is
    safe to show, see :func:`plain`. The attributes hold what was given.
    """

    def __init__(
        self, what: str, *, where: str = "", value: object = UNSET, remedy: str = ""
    ) -> None:
        self.what = what
        self.where = where
        self.value = value
        self.remedy = remedy
        super().__init__(plain(_text(what, where, value, remedy)))


class RecipeError(UserError):
    """A recipe with mistakes; ``problems`` has one line for each, safe to show, as ``str`` does."""

    def __init__(self, problems: Sequence[str] | str) -> None:
        lines = problems.split("\n") if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(lines))
        self.problems = tuple(plain(line) for line in lines)
        self.args = ("\n".join(self.problems),)


class DataNote(UserWarning):
    """Says which data was taken where the user named none; a command prints it as a note."""


def did_you_mean(name: object, known: Iterable[str], listed: str = "Known", most: int = 1) -> str:
    """``"Did you mean a? Known: a, b"``: the names near to a wrong one, if any, and all of them.

    ``listed`` stands before the list; there is none where it is empty.
    """
    names = list(known)
    told = asked(nearest(name, names, most))
    whole = f"{listed}: {', '.join(names) or 'none'}" if listed else ""
    return " ".join(filter(None, (told, whole)))


def nearest(name: object, known: Iterable[str], most: int = 1, cutoff: float = 0.65) -> list[str]:
    """Those of the ``known`` names that are spelled most alike to a wrong one."""
    return difflib.get_close_matches(str(name)[:_LONGEST_VALUE], [*known], n=most, cutoff=cutoff)


def asked(names: Sequence[str]) -> str:
    """``"Did you mean a or b?"``; "" without names."""
    return f"Did you mean {' or '.join(names)}?" if names else ""


def _shown(value: object) -> str:
    try:
        return repr(value)
    except (ValueError, RecursionError):  # a whole number of thousands of digits; nested deep
        return f"a {type(value).__name__} too large to be shown"


def _text(what: str, where: str, value: object, remedy: str) -> str:
    text = f"{where}: {what}" if where else what
    if value is not UNSET:
        shown = _shown(value)
        if len(shown) > _LONGEST_VALUE:
            shown = shown[: _LONGEST_VALUE - 3] + "..."
        text += f" (got {shown})"
    return f"{text}. {remedy}" if remedy else text


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
