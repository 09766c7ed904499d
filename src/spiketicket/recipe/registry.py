"""Families are folders, choices are files, and the name is the file name.

``spiketicket/models/vgg9.py`` is the choice ``vgg9`` of the family ``models``. The list of names
comes from the folder alone: nothing is imported for it. A choice is a module with a ``Config`` of
its own; the others are what the choices of a folder share.
"""

from __future__ import annotations

import functools
import importlib
import re
from pathlib import Path
from types import ModuleType
from typing import Final, cast

from spiketicket.errors import UserError, did_you_mean, missing_package

FAMILIES: Final = {
    "data": "dataset",
    "neurons": "neuron",
    "models": "network",
    "methods": "ticket search method",
}
"""Family (the folder's name) -> what one of its choices is called in a message."""

SHIPPED: Final = Path(__file__).parent / "shipped"
"""Folder of the recipes that come with the package."""

_PACKAGE = __name__.partition(".")[0]
DEFAULT_CONTROLS: Final = ("dense", "random_trained", "random_frozen")
"""The controls that a recipe has unless it says otherwise."""
_CONTROL = re.compile(rb"^def stage\(", re.MULTILINE)
_CHOICE = re.compile(rb"^class Config\(", re.MULTILINE)

CUSTOM_PATTERN: Final = r"[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_]*"
_CUSTOM = re.compile(CUSTOM_PATTERN)
_LONGEST = 500
_FORMERLY: Final = {("neurons", "own"): "custom"}
"""Choices that version 0.2 and earlier call otherwise."""


def names(family: str) -> tuple[str, ...]:
    """The choices of a family, sorted; imports nothing.

    Raises:
        UserError: no such family.
    """
    if family not in FAMILIES:
        raise UserError(
            "unknown family", value=family, remedy=did_you_mean(family, FAMILIES, most=3)
        )
    return _names(family)


@functools.cache
def _names(family: str) -> tuple[str, ...]:
    folder = Path(__file__).parent.parent / family
    return tuple(
        sorted(path.stem for path in folder.glob("*.py") if _CHOICE.search(path.read_bytes()))
    )


@functools.cache
def controls() -> tuple[str, ...]:
    """The controls that a ticket can have, in the order they run; imports nothing.

    They are the files of ``methods/controls`` with a ``stage`` function: first those that are on by
    default, then the others by name.
    """
    folder = Path(__file__).parent.parent / "methods" / "controls"
    found = {path.stem for path in folder.glob("*.py") if _CONTROL.search(path.read_bytes())}
    return (*DEFAULT_CONTROLS, *sorted(found - {*DEFAULT_CONTROLS}))


def load(family: str, name: str) -> ModuleType:
    """Import one choice of this package and return its module.

    Raises:
        UserError: unknown family or name (with the nearest names), or a package that the choice
            needs is not installed.
    """
    known = names(family)
    name = _FORMERLY.get((family, name), name) if isinstance(cast("object", name), str) else name
    # The name may come from a file, and be anything.
    if not isinstance(cast("object", name), str) or name not in known:
        raise UserError(
            f"unknown {FAMILIES[family]}", value=name, remedy=did_you_mean(name, known, most=3)
        )
    return _module(family, name)


def load_network(name: str) -> ModuleType:
    """As :func:`load` of ``models``, or what makes a custom network.

    Nothing of the user's is imported: its ``build`` does that, and asks for consent first.

    Raises:
        UserError: as :func:`load`.
    """
    return _module("models", "custom") if is_custom(name) else load("models", name)


def is_custom(name: object) -> bool:
    """Whether it is ``module:function``, and so names a custom network."""
    return isinstance(name, str) and len(name) <= _LONGEST and _CUSTOM.fullmatch(name) is not None


def _module(family: str, name: str) -> ModuleType:
    module = f"{_PACKAGE}.{family}.{name}"
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if told := missing_package(error):
            raise UserError(told) from error
        missing = (error.name or "").partition(".")[0]
        if missing in ("", _PACKAGE):
            raise
        raise UserError(
            f"the {FAMILIES[family]} {name} needs the Python package {missing}",
            remedy="Install it and try again",
        ) from error
