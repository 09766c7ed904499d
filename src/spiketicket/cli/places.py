"""Which ticket a person means: a file, a name in the zoo, or a run folder with one ticket."""

from __future__ import annotations

import re
from pathlib import Path

from spiketicket.errors import UserError, did_you_mean

_MOST_NAMED = 10
_NAME = re.compile("[A-Za-z0-9_-]+")


def ticket_at(text: str) -> Path:
    """The ticket's file.

    Raises:
        UserError: it is something else; says how a ticket is made of it, or where its tickets are.
    """
    path = Path(text)
    return _of_run(path) if path.is_dir() else ticket_or_folder(text)


def ticket_or_folder(text: str) -> Path:
    """The ticket's file, or the folder that ``text`` names.

    Raises:
        UserError: as :func:`ticket_at`.
    """
    path = Path(text)
    if path.exists():
        if path.suffix == ".toml":
            remedy = f"spiketicket find {text} makes one"
            raise UserError("is a recipe, and a ticket is needed", where=text, remedy=remedy)
        return path
    if not _NAME.fullmatch(text):
        return path  # who reads it says what is wrong
    from spiketicket.ticket.zoo import find_ticket, list_tickets

    names = [ticket.name for ticket in list_tickets()]
    if text in names:
        return find_ticket(text).path
    from spiketicket.recipe.registry import SHIPPED

    if (SHIPPED / f"{text}.toml").is_file():
        what = "is a recipe of the package, and a ticket is needed"
        raise UserError(what, where=text, remedy=f"spiketicket find {text} makes one")
    what = "no such file, and no ticket of the zoo has this name"
    raise UserError(what, where=text, remedy=did_you_mean(text, names, "In the zoo"))


def _of_run(folder: Path) -> Path:
    found = sorted(folder.glob("*.ticket"))
    if len(found) == 1:
        return found[0]
    where = str(folder)
    if found:
        names = ", ".join(path.name for path in found[:_MOST_NAMED])
        what = f"is a folder with {len(found)} tickets, and one is needed"
        raise UserError(what, where=where, remedy=f"Name one of them: {names}")
    if (folder / "recipe.toml").is_file():
        what = "is a run that has no ticket yet: it is written at the end"
        remedy = f"spiketicket show {folder} says how far it is"
        raise UserError(what, where=where, remedy=remedy)
    what = "is a folder without a ticket"
    raise UserError(what, where=where, remedy="Give a .ticket file, a run folder or a name")
