"""The groups of events of an HDF5 file, one of which is read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from spiketicket.errors import UserError, argument

_MOST_SHOWN: Final = 20


class Group(NamedTuple):
    """A group with arrays t, x, y and p, or a table of these fields."""

    name: str
    events: int
    fault: str
    """What keeps it from being read; empty where nothing does."""
    sensor: tuple[int, int] | None


def choose(groups: Sequence[Group], wanted: str | None, where: str) -> Group:
    """The group ``wanted``, or the only one.

    Raises:
        UserError: there is none of the name, none at all or several, or it cannot be read.
    """
    listed = ", ".join(group.name for group in groups[:_MOST_SHOWN]) or "none"
    if not groups:
        what = "has no group with arrays t, x, y and p, as DSEC and M3ED have them"
        raise UserError(what, where=where)
    named = [g for g in groups if wanted is None or g.name.strip("/") == wanted.strip("/")]
    if not named:
        what = f"the file has no such group of events; it has {listed}"
        raise UserError(what, where=f"{where}: {argument('topic')}", value=wanted)
    if len(named) > 1:
        what = f"has several groups of events: {listed}"
        raise UserError(what, where=where, remedy=f"Name one with {argument('topic')}")
    if named[0].fault:
        packed = "packed with" in named[0].fault
        remedy = "pip install hdf5plugin, which has such filters" if packed else ""
        raise UserError(named[0].fault, where=f"{where}: {named[0].name}", remedy=remedy)
    return named[0]
