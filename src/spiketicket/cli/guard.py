"""What every command does with errors: a clear line and an exit code, never a traceback.

A traceback is left to mistakes of the program itself.
"""

from __future__ import annotations

import contextlib
import errno
import warnings
from collections.abc import Iterator
from typing import TextIO

from spiketicket.errors import DataNote, RecipeError, UserError, missing_package
from spiketicket.machine.output import fail, note, tell

SOME_FAILED = 1
BAD_INPUT = 2
INTERRUPTED = 130

_NO_WRITE = (errno.EROFS, errno.EACCES, errno.EPERM)
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)

EXPECTED = (KeyboardInterrupt, MemoryError, UserError, OSError, ImportError)


def said(error: BaseException) -> int | None:
    """Tell a person of one of the EXPECTED errors: the exit code, or None where the mistake is the
    program's own and nothing was said.
    """
    if isinstance(error, KeyboardInterrupt):
        tell("stopped; run the same command again to go on")
        return INTERRUPTED
    if isinstance(error, MemoryError):
        remedy = "Use smaller frames, fewer samples or fewer time steps"
        fail(f"does not fit into memory: {error}. {remedy}")
        return BAD_INPUT
    if isinstance(error, RecipeError):
        fail(*error.problems)
        return BAD_INPUT
    text = explained(error) if isinstance(error, UserError | OSError | ImportError) else None
    if text is None:
        return None
    fail(text)
    return BAD_INPUT


@contextlib.contextmanager
def told_notes() -> Iterator[None]:
    """Print notes on the data that was taken as lines, each once; other warnings stay warnings."""
    before, shown = warnings.showwarning, set[str]()

    def show(  # noqa: PLR0917 - as Python calls it
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if not issubclass(category, DataNote):
            before(message, category, filename, lineno, file, line)
        elif str(message) not in shown:
            shown.add(str(message))
            note(str(message))

    with warnings.catch_warnings():
        warnings.simplefilter("always", DataNote)
        warnings.showwarning = show
        yield


def explained(error: UserError | OSError | ImportError) -> str | None:
    """What to tell a person about an error, or None where it is not theirs to mend."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, ImportError):
        return missing_package(error)
    if error.errno is None or error.errno == errno.EPIPE:
        return None
    where = f"{error.filename}: " if error.filename else ""
    if error.errno in _DISK_FULL:
        return f"{where}the disk is full. Make room, then run the same command again to go on"
    if error.errno in _NO_WRITE:
        return f"{where}no permission, or the disk is read-only. Choose another folder"
    return f"{where}{error.strerror}"
