"""Tickets that come with the package, each with the recipe that ``find`` makes it again from.

``index.toml`` says what each is; ``benchmarks/zoo.py --index`` writes it from the files.
"""

from __future__ import annotations

import hashlib
import os
import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from spiketicket.errors import UserError, did_you_mean
from spiketicket.machine.bounded import read_regular
from spiketicket.machine.typed import typed
from spiketicket.ticket import TicketError
from spiketicket.ticket.codec import MAX_FILE_BYTES

_FOLDER = Path(__file__).parent


@dataclass(frozen=True, kw_only=True)
class ZooTicket:
    """One ticket of the zoo. Reading the index does not read the ticket."""

    name: str
    recipe: str
    """Name of the recipe in the package."""
    recipe_hash: str
    changes: tuple[str, ...]
    """Overrides with which the recipe makes the ticket again."""
    seed: int
    data: str
    network: str
    condition: str
    test_accuracy: float
    """Percent of the test set, as ``find`` measured it."""
    test_count: int
    density: float
    """Of the pruned layers."""
    file_bytes: int
    sha256: str

    @property
    def path(self) -> Path:
        """The file."""
        return _FOLDER / f"{self.name}.ticket"

    def to_dict(self) -> dict[str, Any]:
        """JSON-able fields."""
        return asdict(self)


def list_tickets() -> tuple[ZooTicket, ...]:
    """All tickets of the zoo, by name."""
    index = tomllib.loads((_FOLDER / "index.toml").read_text(encoding="utf-8"))
    return tuple(
        ZooTicket(name=name, **{**facts, "changes": tuple(facts["changes"])})
        for name, facts in sorted(index.items())
    )


@typed
def find_ticket(name: str) -> ZooTicket:
    """A ticket by its name, after its file was compared with the index.

    Raises:
        UserError: no such ticket.
        TicketError: its file is missing, or not the one the index names.
    """
    known = {ticket.name: ticket for ticket in list_tickets()}
    if name not in known:
        remedy = did_you_mean(name, known)
        raise UserError("no such ticket in the zoo", value=name, remedy=remedy)
    ticket = known[name]
    require_digest(ticket.path, ticket.sha256)
    return ticket


def ticket_path(source: str | os.PathLike[str]) -> Path:
    """The file a person means: a path, or else the name of a ticket of the zoo.

    Raises:
        TicketError: a bare name of neither a file nor a ticket, or as :func:`find_ticket`.
    """
    place = os.fspath(source)
    path = Path(place)
    if "\0" in place or path.name != place or path.suffix or path.is_file():
        return path
    known = {ticket.name for ticket in list_tickets()}
    if place in known:
        return find_ticket(place).path
    if not path.exists():
        raise TicketError(
            "is neither a file nor a ticket of the zoo",
            where=place,
            remedy=did_you_mean(place, sorted(known), "In the zoo"),
        )
    return path


def require_digest(path: Path, sha256: str) -> None:
    """Refuse a file that is not the one it is said to be.

    Raises:
        TicketError: it is missing, or its SHA-256 is another.
    """
    try:
        found = hashlib.sha256(read_regular(path, MAX_FILE_BYTES)).hexdigest()
    except OSError as error:
        raise TicketError(f"cannot be read: {error.strerror}", where=str(path)) from error
    if found != sha256:
        raise TicketError(
            "was changed: its SHA-256 is not the stated one",
            where=str(path),
            value=found[:16],
            remedy=f"Stated is {sha256[:16]}; get the file again",
        )
