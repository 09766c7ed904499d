"""The one place that writes to people: filtered lines on standard output and standard error.

Bars, which need ``rich``, are made on the consoles of :func:`console`. What is written
never fails for its characters: see :func:`prepare`.
"""

from __future__ import annotations

import codecs
import contextlib
import logging
import os
import shutil
import sys
import time
import warnings
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

from spiketicket.errors import cut, escape, plain

if TYPE_CHECKING:
    from rich.console import Console

LONGEST = 4000
"""Characters of a line; more of it is cut."""
_MOST_LINES = 100
_WIDTH_IN_A_FILE = 80
_FLUSH_S = 1.0
_SIMPLER = {
    "±": "+-",
    "×": "x",
    "…": "...",
    "–": "-",
    "—": "-",
    "µ": "u",
    "→": "->",
    "─": "-",
    "≤": "<=",
    "≥": ">=",
    "·": "-",
    "•": "*",
    "‘": "'",
    "’": "'",
    "“": '"',
    "”": '"',
    **dict(zip("▁▂▃▄▅▆▇█", "12345678", strict=True)),
}
_ERRORS = "spiketicket.simpler"
_last = {"said": time.monotonic(), "flushed": 0.0}
_words: list[Callable[[str], str]] = []


def _simpler(error: UnicodeError) -> tuple[str, int]:
    """What an encoding cannot hold, in ASCII."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lost = error.object[error.start : error.end]
    return "".join(_SIMPLER.get(c) or escape(c) for c in lost), error.end


codecs.register_error(_ERRORS, _simpler)


def prepare() -> None:
    """Make the process's streams take any text, and warnings and tracebacks come out filtered."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=_ERRORS)
    warnings.showwarning = _show_warning
    sys.excepthook = _show_traceback
    logging.lastResort = _Told(logging.WARNING)  # for what nobody handles


def put_in_words(words: Callable[[str], str]) -> None:
    """Have every text for people, but no JSON, go through ``words`` from here on."""
    _words[:] = [words]


def shown(text: str, keep: str = "") -> str:
    """``text`` in the words of who runs this program, made safe to show: see :func:`.plain`."""
    for words in _words:
        text = words(text)
    return plain(text, keep)


def said_at() -> float:
    """When a line was written last, on the clock of :func:`time.monotonic`."""
    return _last["said"]


def say(text: str) -> None:
    """A line on standard output."""
    if sys.stdout is None:
        return
    sys.stdout.write(f"{cut(shown(text), LONGEST)}\n")
    now = _last["said"] = time.monotonic()
    if now - _last["flushed"] >= _FLUSH_S:  # whoever reads a pipe sees it soon
        _last["flushed"] = now
        sys.stdout.flush()


def say_whole(text: str) -> None:
    """A text of this program on standard output that may be long and have lines, as JSON has."""
    if sys.stdout is not None:
        sys.stdout.write(f"{plain(text, keep=chr(10))}\n")
    _last["said"] = time.monotonic()


def say_json(value: object) -> None:
    """A value as JSON, in ASCII, on standard output."""
    import json

    say_whole(json.dumps(value, indent=2))


def tell(text: str) -> None:
    """A line on standard error; a standard error that takes nothing is no reason to fail."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(f"{cut(shown(text), LONGEST)}\n")
        sys.stderr.flush()
    _last["said"] = time.monotonic()


def note(text: str) -> None:
    """What a person should know, on standard error."""
    tell(f"note: {text}")


def fail(*problems: str) -> None:
    """What is wrong, on standard error: a line for each problem, however many lines it has."""
    for text in problems[:_MOST_LINES]:
        tell(f"error: {text}")
    if len(problems) > _MOST_LINES:
        tell(f"error: and {len(problems) - _MOST_LINES} more")


def is_terminal() -> bool:
    """Whether standard output is read by a person."""
    return sys.stdout is not None and sys.stdout.isatty()


def has_styles() -> bool:
    """Whether standard output shows bold letters."""
    return is_terminal() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


def width() -> int:
    """Columns of standard output: the terminal's, or else as COLUMNS says, or 80."""
    return shutil.get_terminal_size((_WIDTH_IN_A_FILE, 24)).columns


def write(lines: Iterable[str]) -> None:
    """Lines on standard output that are safe to show as they are: see :func:`shown`."""
    if sys.stdout is not None:
        sys.stdout.writelines(f"{line}\n" for line in lines)
    _last["said"] = time.monotonic()


def in_notebook() -> bool:
    """Whether what is printed goes to a notebook's cell."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return type(shell).__name__ == "ZMQInteractiveShell"


def print_line(text: str) -> None:
    """A line for a notebook's cell, where standard error has the colour of a failure."""
    say(text)
    if sys.stdout is not None:
        sys.stdout.flush()


def console(*, stderr: bool = False) -> Console:
    """Where bars go: as wide as the terminal, or wide where there is none."""
    from rich.console import Console

    _last["said"] = time.monotonic()
    made = Console(highlight=False, stderr=stderr)
    if made.is_terminal:
        return made
    columns = os.environ.get("COLUMNS", "")
    width = int(columns) if columns.isascii() and columns.isdigit() and len(columns) < 5 else 0
    return Console(highlight=False, stderr=stderr, width=width or _WIDTH_IN_A_FILE)


def close(code: int) -> int:
    """Write out what is left; the exit code, which ``code`` is where that went well."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        code = code or 1  # whoever read has gone
        _drop(sys.stdout)
    except (OSError, ValueError) as error:
        if not code:
            fail(f"standard output: {getattr(error, 'strerror', None) or error}")
        code = code or 2
        _drop(sys.stdout)
    try:
        if sys.stderr is not None:
            sys.stderr.flush()
    except (OSError, ValueError):
        _drop(sys.stderr)
    return code


def _drop(stream: TextIO) -> None:
    """Python would complain once more when it closes a stream that takes nothing."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _show_warning(  # noqa: PLR0917 - as Python calls it
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    del category, filename, lineno, file, line
    note(str(message))


def _show_traceback(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    import traceback

    for part in traceback.format_exception(kind, error, trace):
        for line in part.rstrip("\n").split("\n"):
            tell(line)


class _Told(logging.Handler):
    """Prints what a library logs."""

    def emit(self, record: logging.LogRecord) -> None:
        """One line."""
        note(record.getMessage())
