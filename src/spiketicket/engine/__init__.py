"""Running a ticket without PyTorch: compile it to a program, run that in C or numpy.

``program.py`` defines the program, ``reference.py`` what it computes, ``compile/`` makes it of a
ticket, ``engine.py`` runs it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spiketicket.engine.engine import Engine

__all__ = ["Engine"]


def __getattr__(name: str) -> Any:
    """Import the engine when it is first used."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.engine"), name)


def __dir__() -> list[str]:
    """The public names, whether they were used or not."""
    return sorted(__all__)
