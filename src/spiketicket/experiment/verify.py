"""Whether a ticket is what it says: everything in it that can be computed anew is.

    found = verify_ticket("my.ticket", root="~/data", rerun=True)
    found.fits, found.checks

A digest, a recipe hash or an accuracy in a file is what its maker wrote. The digest covers those
words too, so that it shows damage and not truth. What needs the data is checked where the data is
at hand; what needs PyTorch where that is installed.
"""

from __future__ import annotations

import contextlib
import platform
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spiketicket.errors import NO_TORCH, UserError, argument
from spiketicket.experiment.stated import (
    Check,
    State,
    masks_check,
    stated_checks,
    stated_recipe,
    weights_check,
)
from spiketicket.progress import NullReporter, Reporter
from spiketicket.recipe import registry
from spiketicket.recipe.consent import Consent, given
from spiketicket.ticket import Ticket, TicketLayer

if TYPE_CHECKING:
    from spiketicket.recipe import Recipe


@dataclass(frozen=True)
class Verification:
    """What was found out about a ticket, in order."""

    ticket: Path
    checks: tuple[Check, ...]

    @property
    def fits(self) -> bool:
        """Whether all that could be checked fits."""
        return all(check.state != "does not fit" for check in self.checks)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able facts."""
        checks = [check.to_dict() for check in self.checks]
        return {"ticket": str(self.ticket), "fits": self.fits, "checks": checks}


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where and how the checks that compute are done.

    ``root`` is the folder of the data, ``consent`` the custom network that is trusted, with
    which arguments, ``runs`` where a repeated search is kept, so that it goes on when it was
    stopped.
    """

    root: str = ""
    device: str = "cpu"
    consent: Consent = field(default_factory=Consent)
    runs: Path | None = None
    threads: int | None = None
    reporter: Reporter | None = None


def verify_ticket(
    path: Path | str, place: Place | None = None, *, rerun: bool = False
) -> Verification:
    """Check a ticket file; with ``rerun`` do its search again and compare the bytes.

    Raises:
        TicketError: it is no sound ticket file, or is of a network of the user's with arguments
            that were not confirmed.
    """
    place = place or Place()
    ticket = Ticket.load(path)
    checks = [*stated_checks(ticket), weights_check(ticket)]
    if (masks := masks_check(ticket)) is not None:
        checks.append(masks)
    checks.append(_accuracy(ticket, Path(path), place))
    if rerun:
        checks.append(_rerun(ticket, Path(path), place))
    return Verification(Path(path), tuple(checks))


def _accuracy(ticket: Ticket, path: Path, place: Place) -> Check:
    name = "accuracy"
    if reason := _cannot_build(ticket, place):
        return Check(name, "not checked", reason)
    from spiketicket.data.of_ticket import find_test_data
    from spiketicket.experiment.evaluate import is_reached
    from spiketicket.models.of_ticket import custom_name, from_ticket
    from spiketicket.training.evaluate import evaluate

    try:
        data = find_test_data(ticket, path, root=place.root)
    except UserError as error:
        return Check(name, "not checked", _reason(error))
    own, options, trusted = (
        place.consent.network,
        place.consent.options,
        place.consent.trust_options,
    )
    try:
        model = from_ticket(ticket, network=own, options=options, trust_options=trusted)
        measured = 100 * evaluate(model.to(place.device), data.batches(place.device)).accuracy
    except UserError as error:
        # Not confirmed, or of the user's code: nothing is known of the ticket.
        if custom_name(ticket):
            raise
        return Check(name, "does not fit", _reason(error))
    count, stated = len(data.dataset.test), data.stated_accuracy
    found = f"{measured:.2f} % of {count} samples measured"
    if stated is None:
        return Check(name, "not checked", f"{found}, none stated")
    accuracy = ticket.metadata["accuracy"]
    if accuracy.get("test_count", count) != count:
        return Check(name, "does not fit", f"{found}, of {accuracy['test_count']} stated")
    state: State = "fits" if is_reached(measured, stated, count) else "does not fit"
    return Check(name, state, f"{found}, {stated:.2f} % stated")


def _cannot_build(ticket: Ticket, place: Place) -> str:
    """Why the network cannot be built here, or ""."""
    try:
        import torch  # noqa: F401
    except ModuleNotFoundError:
        return NO_TORCH
    network = ticket.metadata.get("network")
    name = network.get("name") if isinstance(network, dict) else None
    if registry.is_custom(name) and name != place.consent.network:
        return (
            f"it is of its maker's custom network {name}; trust it with {argument('network', name)}"
        )
    return ""


def _rerun(ticket: Ticket, path: Path, place: Place) -> Check:
    name, meta = "search again", ticket.metadata
    if reason := _cannot_build(ticket, place):
        return Check(name, "not checked", reason)
    try:
        recipe = stated_recipe(ticket)
    except UserError as error:
        return Check(name, "does not fit", _reason(error))
    seed, stage = meta.get("seed"), ticket.stage
    if recipe is None or type(seed) is not int or not 0 <= seed < 1 << 63:
        return Check(name, "not checked", "it names no recipe and seed to search with")
    if registry.is_custom(recipe.model.name) and recipe.model.name != place.consent.network:
        return Check(name, "not checked", f"its recipe is of a network {recipe.model.name}")
    from spiketicket.data import place as data_place

    if root := place.root or data_place.recorded(path):
        data = recipe.data.model_copy(update={"root": root})
        recipe = recipe.model_copy(update={"data": data})
    try:
        with given(place.consent):
            made, isa = _searched(recipe, seed, stage, meta, place)
    except UserError as error:
        return Check(name, "not checked", _reason(error))
    return _same(ticket, made, isa)


def _searched(
    recipe: Recipe, seed: int, stage: object, meta: Mapping[str, Any], place: Place
) -> tuple[Ticket, str]:
    """The ticket of the recipe's search, and the instruction set it was made with.

    Raises:
        UserError: the data is not at hand, or the recipe has no such stage.
    """
    from spiketicket.experiment.folder import RunFolder
    from spiketicket.experiment.seed import run_stages
    from spiketicket.experiment.setup import Context, prepare_experiment
    from spiketicket.methods.stages import stages_of

    order = stages_of(recipe)
    if stage not in [known.name for known in order]:
        raise UserError("its recipe has no such stage", where="stage", value=stage)
    context = Context(
        device=place.device, threads=place.threads, reporter=place.reporter or NullReporter()
    )
    experiment = prepare_experiment(recipe, context)
    stated = meta.get("data")
    checksum = stated.get("checksum") if isinstance(stated, dict) else None
    if experiment.dataset.checksum != checksum:
        raise UserError("the data here is not the data the ticket was made for")
    trained_in = meta.get("precision", experiment.precision)
    if trained_in != experiment.precision:
        raise UserError(f"it was trained in {trained_in}, which is {experiment.precision} here")
    needed = {str(stage)}
    for known in reversed(order):
        if known.name in needed:
            needed |= set(known.needs)
    with _folder(place.runs) as runs:
        # Apart from a run of the recipe, whose finished stages would be taken for a search.
        folder = RunFolder(runs / f"verify-{recipe.folder_name}").seed(seed)
        stages = [known for known in order if known.name in needed]
        made = run_stages(experiment, folder, stages, seed, context)[str(stage)]
        return Ticket.load(made.files.ticket), str(made.timing.get("isa", ""))


@contextlib.contextmanager
def _folder(runs: Path | None) -> Iterator[Path]:
    if runs is not None:
        yield runs
        return
    with tempfile.TemporaryDirectory() as scratch:
        yield Path(scratch)


def _same(ticket: Ticket, made: Ticket, isa: str) -> Check:
    """Whether a search made the same ticket. A verdict is no part of it: it needs the controls."""
    name = "search again"
    verdict = {k: ticket.metadata[k] for k in ("verdict",) if k in ticket.metadata}
    whole = Ticket(made.layers, made.tensors, {**made.metadata, **verdict})
    but = "; its verdict, which needs the controls, was not made again" if verdict else ""
    if whole.digest() == ticket.digest():
        return Check(name, "fits", f"the same bytes: {whole.digest()}{but}")
    here, there = made.metadata["versions"], ticket.metadata.get("versions")
    others = ""
    if here != there:
        others = f"; made with {_words(there)}, here {_words(here)}"
    keys = {
        key
        for key in whole.metadata.keys() | ticket.metadata.keys()
        if whole.metadata.get(key) != ticket.metadata.get(key)
    }
    wrong = _first_difference(ticket, made)
    if not wrong and keys <= {"versions"}:
        return Check(name, "fits", f"the same masks, weights and statistics{others}{but}")
    told = wrong or f"metadata {', '.join(sorted(keys))}"
    machine = " ".join(["", "on", platform.machine(), *([isa] if isa else [])])
    return Check(name, "does not fit", f"it comes to another ticket{machine}: {told}{others}")


def _first_difference(ticket: Ticket, made: Ticket) -> str:
    ours = {layer.name: layer for layer in made.layers}
    if list(ours) != [layer.name for layer in ticket.layers]:
        return "other layers"
    for layer in ticket.layers:
        if wrong := _unlike(layer, ours[layer.name]):
            return wrong
    if set(ticket.tensors) != set(made.tensors):
        return "other tensors"
    same = {key: np.array_equal(t, made.tensors[key]) for key, t in ticket.tensors.items()}
    return next((key for key, equal in same.items() if not equal), "")


def _unlike(layer: TicketLayer, own: TicketLayer) -> str:
    """How two layers of one name differ, or ""."""
    if layer.shape != own.shape or layer.kind != own.kind:
        return f"{layer.name} is another layer"
    if places := int(np.count_nonzero(layer.mask != own.mask)):
        return f"the mask of {layer.name}, at {places} of {layer.size} places"
    return "" if np.array_equal(layer.weight(), own.weight()) else f"the weights of {layer.name}"


def _words(versions: object) -> str:
    if not isinstance(versions, dict):
        return "unknown versions"
    return ", ".join(f"{name} {versions[name]}" for name in sorted(versions))


def _reason(error: UserError) -> str:
    return str(error).splitlines()[0]
