"""Packages that only an export needs."""

from __future__ import annotations

import importlib
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
