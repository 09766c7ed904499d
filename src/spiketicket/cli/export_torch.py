"""The exports that need PyTorch: NIR, ONNX, a plain module, a program, a Hugging Face folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn

    from spiketicket.recipe.consent import Consent
    from spiketicket.ticket import Ticket


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A ticket's network, and what its export is checked on."""

    ticket: Ticket
    model: nn.Module
    x: Tensor
    source: str
    """Where ``x`` is from."""
    about: dict[str, Any]
    """What goes into the file about it."""

    @property
    def samples(self) -> int:
        """How many it is checked on."""
        return self.x.shape[1 if self.x.dim() == 5 else 0]

    def facts(self, files: list[Path], checks: list[dict[str, Any]]) -> dict[str, Any]:
        """Facts to show."""
        shown = [str(file) for file in files]
        return {"files": shown, "checked_on": self.source, "notes": [], "checks": checks}

    def equal(self, files: list[Path]) -> dict[str, Any]:
        """Facts of an export whose logits are the same to the bit."""
        checks = [{"samples": self.samples, "logits": "equal to the bit"}]
        return self.facts(files, checks)


def opened(path: Path, consent: Consent, root: str, samples: int) -> Opened:
    """A ticket's network, and what it is checked on.

    Raises:
        UserError: it cannot be built, or not without a consent.
    """
    from spiketicket.export import inputs
    from spiketicket.models.of_ticket import from_ticket
    from spiketicket.ticket import Ticket
    from spiketicket.ticket.codec import of_file

    ticket = Ticket.load(path)
    with of_file(path):
        model = from_ticket(
            ticket,
            network=consent.network,
            options=consent.options,
            trust_options=consent.trust_options,
        )
    x, source = inputs.check_inputs(ticket, path, samples, root=root)
    return Opened(
        ticket=ticket, model=model, x=x, source=source, about=inputs.facts_of(ticket.metadata)
    )


def export_nir(opened: Opened, folder: Path, name: str) -> dict[str, Any]:
    """Write ``NAME.nir`` after other libraries have read it back; facts to show."""
    from spiketicket.export.inputs import plain_text, shape_of
    from spiketicket.export.nir import DT_S, read_nir, to_nir, write_nir
    from spiketicket.export.readback import missing_readers, read_back
    from spiketicket.export.readback_traced import read_back_traced
    from spiketicket.export.staged import staged
    from spiketicket.models.traced.network import TracedNetwork

    texts = {key.replace(" ", "_"): plain_text(fact) for key, fact in opened.about.items()}
    steps = {"timesteps": int(opened.model.timesteps)}  # type: ignore[arg-type]
    graph = to_nir(opened.model, shape_of(opened.ticket), {**texts, **steps})
    path = folder / f"{name}.nir"
    with staged(path) as place:
        write_nir(graph, place / path.name)
        graph = read_nir(place / path.name)
        if isinstance(opened.model, TracedNetwork):
            checks, notes = read_back_traced(graph, opened.model, opened.x, DT_S)
        else:
            checks = read_back(graph, opened.model, opened.x)
            notes = missing_readers(checks)
    facts = opened.facts([path], [check.to_dict() for check in checks])
    return {**facts, "notes": notes}


def export_onnx(opened: Opened, folder: Path, name: str) -> dict[str, Any]:
    """Write ``NAME.onnx`` after ONNX Runtime has run it; facts to show."""
    from spiketicket.export.onnx import check_onnx, write_onnx
    from spiketicket.export.staged import staged

    path = folder / f"{name}.onnx"
    with staged(path) as place:
        write_onnx(opened.model, opened.x, place / path.name, opened.about)
        check = check_onnx(place / path.name, opened.model, opened.x)
    return opened.facts([path], [check.to_dict()])


def export_module(opened: Opened, folder: Path, name: str) -> dict[str, Any]:
    """Write ``NAME.py`` and ``NAME.npz``, which give the same logits to the bit; facts to show."""
    from spiketicket.export.torch_module import write_module

    path = folder / f"{name.replace('-', '_')}.py"
    title = f"{name}: a ticket of spiketicket as plain PyTorch."
    return opened.equal([*write_module(opened.model, opened.x, path, title, opened.about)])


def export_pt2(opened: Opened, folder: Path, name: str) -> dict[str, Any]:
    """Write ``NAME.pt2``, which gives the same logits to the bit; facts to show."""
    from spiketicket.export.pt2 import write_pt2

    path = folder / f"{name}.pt2"
    return opened.equal([write_pt2(opened.model, opened.x, path, opened.about)])


def export_hub(
    ticket: Path, folder: Path, name: str, *, root: str, push: str | None, private: bool
) -> dict[str, Any]:
    """Write the folder, and upload it where ``push`` names a repository; facts to show."""
    from spiketicket.export import hub

    measured, notes = _measured(ticket, root)
    files = hub.write_folder(ticket, folder, name, accuracy=measured)
    hub.check_folder(folder)
    notes += [f"pushed: {hub.push(folder, push, private=private)}"] if push else []
    return {"files": [str(file) for file in files], "notes": notes, "checks": []}


def _measured(ticket: Path, root: str) -> tuple[tuple[float, int] | None, list[str]]:
    """Accuracy in percent and number of test samples, as measured now; and what to say of it."""
    from spiketicket.errors import UserError
    from spiketicket.experiment.evaluate import evaluate_ticket
    from spiketicket.ticket import Ticket

    Ticket.load(ticket)  # a damaged one is no matter of the card
    try:
        found = evaluate_ticket(ticket, root=root)
    except UserError as error:
        reason = str(error).splitlines()[0]
        return None, [f"no accuracy in the card, as none could be measured here: {reason}"]
    notes = []
    if found.reached is False:
        words = f"{found.test_accuracy:.2f} % measured, {found.stated_accuracy:.2f} % stated"
        notes.append(f"the stated accuracy is not reached: {words}; the card has the measured one")
    return (found.test_accuracy, found.test_count), notes


def print_export(facts: dict[str, Any]) -> None:
    """Print the files, and a line per check."""
    from spiketicket.cli.console import print_facts

    rows = [("files", ", ".join(facts["files"]))]
    rows += [("checked on", facts["checked_on"])] if "checked_on" in facts else []
    for check in facts["checks"]:
        shown = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in check.items())
        rows.append(("check", shown))
    rows += [("note", note) for note in facts["notes"]]
    print_facts(rows, title="export")
