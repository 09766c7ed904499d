"""Families are folders, choices are files, and the name is the file name.

``spiketicket/models/vgg9.py`` is the choice ``vgg9`` of the family ``models``. The list of names
comes from the folder alone: nothing is imported for it. A module whose name starts with ``_`` is
a helper of its folder, not a choice.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from pathlib import Path
from types import ModuleType
from typing import Final

from spiketicket.errors import NO_TORCH, UserError

FAMILIES: Final = {
    "data": "dataset",
    "neurons": "neuron",
    "models": "network",
    "methods": "ticket search method",
}
"""Family (the folder's name) -> what one of its choices is called in a message."""


def names(family: str) -> tuple[str, ...]:
    """The choices of a family, sorted; imports nothing.

    Raises:
        UserError: no such family.
    """
    if family not in FAMILIES:
        raise UserError("unknown family", value=family, remedy=_suggest(family, tuple(FAMILIES)))
    folder = Path(__file__).parent / family
    return tuple(
        sorted(
            module.name
            for module in pkgutil.iter_modules([str(folder)])
            if not module.name.startswith("_")
        )
    )


def load(family: str, name: str) -> ModuleType:
    """Import one choice and return its module.

    A network named ``module:function`` is one of the user's own: what makes it is returned, and
    nothing of the user's is imported yet.

    Raises:
        UserError: unknown family or name (with the nearest names), or a package that the choice
            needs is not installed.
    """
    known = names(family)
    own = family == "models" and ":" in name
    if name not in known and not own:
        raise UserError(f"unknown {FAMILIES[family]}", value=name, remedy=_suggest(name, known))
    module = f"{__package__}.{family}.{'_own' if own else name}"
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing == "torch":
            raise UserError(NO_TORCH) from error
        if missing in ("", __package__):
            raise
        raise UserError(
            f"the {FAMILIES[family]} {name} needs the Python package {missing}",
            remedy="Install it and try again",
        ) from error


def _suggest(name: str, known: tuple[str, ...]) -> str:
    listed = ", ".join(known) or "none"
    near = difflib.get_close_matches(str(name), known, n=3, cutoff=0.5)
    return f"Did you mean {' or '.join(near)}? Known: {listed}" if near else f"Known: {listed}"
