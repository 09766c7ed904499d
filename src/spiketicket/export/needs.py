"""Packages that only an export needs, and their chatter."""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from spiketicket.errors import UNSET, UserError


def needed(module: str, extra: str) -> Any:
    """The module, which comes with an extra of this package.

    Raises:
        UserError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        missing = error.name or module
        raise UserError(
            f"this needs the Python package {missing}",
            where="export",
            remedy=f"pip install 'spiketicket[{extra}]'",
        ) from error


def first_line(error: BaseException) -> str:
    """What another library's exception says, in one line."""
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:200]}"


@contextlib.contextmanager
def foreign(
    what: str,
    *,
    where: str = "export",
    value: object = UNSET,
    remedy: str = "",
    reason: Callable[[Exception], str] = first_line,
) -> Iterator[None]:
    """Call another library in silence: whatever it raises becomes an error of ours.

    Args:
        what: what has failed, in a few words; ``reason`` of the exception follows.
        where, value, remedy: of the error.
        reason: what to say of an exception.

    Raises:
        UserError: any exception but those of this package, of the system, and of memory.
    """
    try:
        with silence():
            yield
    except (UserError, OSError, MemoryError):
        raise
    except Exception as error:
        said = f"{what}: {reason(error)}"
        raise UserError(said, where=where, value=value, remedy=remedy) from error


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Keep what other libraries print, log and warn of to themselves; errors come through."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with (
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
