"""Packages that only an export needs, and their chatter."""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import warnings
from collections.abc import Iterator
from typing import Any

from spiketicket.errors import UserError


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
            f"this needs the Python package {missing}", where="export",
            remedy=f"pip install 'spiketicket[{extra}]'",
        ) from error  # fmt: skip


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
