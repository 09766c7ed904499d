"""A ticket as a Hugging Face folder, pushed to the Hub and pulled from it.

    model.ticket    the ticket, as it is
    recipe.toml     what ``find`` makes it again from, where the ticket has a recipe
    config.json     the SHA-256 of both, for who pulls them
    README.md       the model card: what was measured and computed here; what its maker says of
                    it, such as the verdict, is marked so

Writing and checking a folder needs no other package; pushing and pulling needs the extra ``hub``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spiketicket._version import __version__
from spiketicket.errors import UserError
from spiketicket.experiment.record import without_root
from spiketicket.export.card import model_card
from spiketicket.export.needs import needed
from spiketicket.export.staged import staged
from spiketicket.machine.bounded import read_regular
from spiketicket.machine.files import json_bytes, read_json, write_bytes
from spiketicket.machine.typed import typed
from spiketicket.recipe import as_written, parse_recipe, to_toml
from spiketicket.ticket import Ticket, TicketError, describe
from spiketicket.ticket.codec import MAX_FILE_BYTES, located
from spiketicket.ticket.kinds import Text
from spiketicket.ticket.zoo import require_digest

SHA256 = Text(64, pattern="[0-9a-f]{64}")
TICKET, RECIPE, CONFIG, CARD = "model.ticket", "recipe.toml", "config.json", "README.md"


@typed
def write_folder(
    ticket_path: Path | str,
    folder: Path | str,
    name: str,
    *,
    accuracy: tuple[float, int] | None = None,
) -> tuple[Path, ...]:
    """Write a ticket's folder; returns its files.

    Args:
        ticket_path: a sound ticket file.
        folder: is made; files of these names in it are replaced.
        name: the model's, for its card.
        accuracy: percent of so many test samples, as measured of this file now. What the ticket
            states of itself does not get into the card; None leaves the accuracy out.

    Raises:
        TicketError: the file is no sound ticket.
        UserError: the folder cannot be written.
    """
    source, folder = Path(ticket_path), Path(folder)
    content = read_regular(source, MAX_FILE_BYTES)
    with located(source):
        ticket = Ticket.from_bytes(content)
    files, recipe = {TICKET: content}, None
    if isinstance(ticket.metadata.get("recipe"), dict):
        # Where its maker has the data is nobody's business, and no place on another's machine.
        stated = as_written(without_root(ticket.metadata["recipe"]))
        recipe = parse_recipe(stated, str(source))
        files[RECIPE] = to_toml(recipe).encode()
    config = {
        "library_name": "spiketicket",
        "spiketicket_version": __version__,
        "network": _network(ticket.metadata),
        "files": {file: hashlib.sha256(made).hexdigest() for file, made in files.items()},
    }
    recipe_hash = None if recipe is None else recipe.hash
    card = model_card(
        name, ticket.metadata, describe(source), recipe_hash=recipe_hash, accuracy=accuracy
    )
    files |= {CONFIG: json_bytes(config), CARD: card.encode()}
    with staged(*(folder / file for file in files)) as place:
        for file, made in files.items():
            write_bytes(place / file, made, "folder")
    if RECIPE not in files:
        (folder / RECIPE).unlink(missing_ok=True)
    return tuple(folder / file for file in files)


def check_folder(folder: Path | str) -> Path:
    """The ticket file of a folder, after every file was compared with its stated SHA-256.

    Raises:
        UserError: it is no such folder.
        TicketError: a file is missing or was changed, or the ticket is not sound.
    """
    folder = Path(folder)
    try:
        config = read_json(folder / CONFIG)
    except UserError as error:
        raise TicketError(
            "is damaged", where=str(folder / CONFIG), remedy="Get the folder again"
        ) from error
    files = config.get("files") if isinstance(config, dict) else None
    if not isinstance(files, dict) or TICKET not in files:
        raise UserError(f"is no folder of a ticket: {CONFIG} names none", where=str(folder))
    for file in files:
        if file not in (TICKET, RECIPE):
            raise TicketError("names a file it may not", where=str(folder / CONFIG), value=file)
        SHA256.check(files[file], f"{folder / CONFIG}: files.{file}")
        require_digest(folder / file, files[file])
    Ticket.load(folder / TICKET)
    return folder / TICKET


def push(folder: Path | str, repository: str, *, private: bool = False) -> str:
    """Upload a checked folder to ``user/name`` on the Hub, which is made if it is not there.

    The token is the one of ``hf auth login`` or of HF_TOKEN. Returns the address of the commit.

    Raises:
        UserError: the package is missing, or the Hub refuses or cannot be reached.
        TicketError: as :func:`check_folder`.
    """
    check_folder(folder)
    hub: Any = needed("huggingface_hub", "hub")
    api = hub.HfApi()
    try:
        api.create_repo(repository, private=private, exist_ok=True)
        message = f"Ticket of spiketicket {__version__}"
        commit = api.upload_folder(
            repo_id=repository,
            folder_path=str(folder),
            commit_message=message,
            allow_patterns=[TICKET, RECIPE, CONFIG, CARD],
        )
    except _hub_errors(hub) as error:
        raise _refused(repository, error) from error
    return str(commit)


def pull(repository: str, folder: Path | str, *, revision: str | None = None) -> Path:
    """Download ``user/name`` from the Hub into a folder and check it; returns the ticket file.

    Raises:
        UserError: the package is missing, or the Hub refuses or cannot be reached.
        TicketError: as :func:`check_folder`.
    """
    hub: Any = needed("huggingface_hub", "hub")
    try:
        hub.snapshot_download(
            repository,
            revision=revision,
            local_dir=str(folder),
            allow_patterns=[TICKET, RECIPE, CONFIG, CARD],
        )
    except _hub_errors(hub) as error:
        raise _refused(repository, error) from error
    return check_folder(folder)


def _hub_errors(hub: Any) -> tuple[type[Exception], ...]:
    # The client of the network, and with it the base of its errors, differs by the Hub's version.
    http = (t for t in hub.errors.HfHubHTTPError.__mro__ if t not in (Exception, BaseException))
    return (
        *(t for t in http if issubclass(t, Exception)),
        hub.errors.HFValidationError,
        OSError,
        ValueError,
    )


def _refused(repository: str, error: Exception) -> UserError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    return UserError(
        f"the Hub did not do it: {reason}",
        where=repository,
        remedy="Log in with `hf auth login`, name the repository as user/name, and see that the Hub"
        " can be reached",
    )


def _network(metadata: Mapping[str, Any]) -> object:
    network = metadata.get("network")
    return network.get("name") if isinstance(network, dict) else None
