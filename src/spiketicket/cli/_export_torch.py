"""The exports that need PyTorch: NIR, ONNX, a plain module, a program, a Hugging Face folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from spiketicket.errors import UserError


def export_nir(
    ticket: Path, folder: Path, name: str, network: str, root: str, samples: int
) -> dict[str, Any]:
    """Write ``NAME.nir`` after other libraries have read it back; facts to show."""
    from spiketicket.bake import from_ticket
    from spiketicket.export import _inputs as inputs
    from spiketicket.export._read_back import missing_readers, read_back
    from spiketicket.export.nir import to_nir, write_nir
    from spiketicket.ticket import Ticket

    loaded = Ticket.load(ticket)
    model = from_ticket(loaded, own=network)
    steps = {"timesteps": int(model.timesteps)}  # type: ignore[arg-type]
    texts = {key.replace(" ", "_"): v for key, v in inputs.texts_of(loaded.metadata).items()}
    graph = to_nir(model, inputs.shape_of(loaded), {**texts, **steps})
    x, source = inputs.check_inputs(loaded, ticket, samples, root=root)
    checks = read_back(graph, model, x)
    path = _folder(folder) / f"{name}.nir"
    write_nir(graph, path)
    return {
        "files": [str(path)], "checked_on": source, "notes": missing_readers(checks),
        "checks": [check.to_dict() for check in checks],
    }  # fmt: skip


def export_onnx(
    ticket: Path, folder: Path, name: str, network: str, root: str, samples: int
) -> dict[str, Any]:
    """Write ``NAME.onnx`` and run it in ONNX Runtime; facts to show."""
    from spiketicket.bake import from_ticket
    from spiketicket.export import _inputs as inputs
    from spiketicket.export.onnx import check_onnx, write_onnx
    from spiketicket.ticket import Ticket

    loaded = Ticket.load(ticket)
    model = from_ticket(loaded, own=network)
    x, source = inputs.check_inputs(loaded, ticket, samples, root=root)
    path = _folder(folder) / f"{name}.onnx"
    write_onnx(model, x, path, inputs.texts_of(loaded.metadata))
    try:
        check = check_onnx(path, model, x)
    except UserError:
        path.unlink()
        raise
    return {
        "files": [str(path)], "checked_on": source, "notes": [], "checks": [check.to_dict()],
    }  # fmt: skip


def export_module(
    ticket: Path, folder: Path, name: str, network: str, root: str, samples: int
) -> dict[str, Any]:
    """Write ``NAME.py`` and ``NAME.npz``, which give the same logits to the bit; facts to show."""
    from spiketicket.bake import from_ticket
    from spiketicket.export import _inputs as inputs
    from spiketicket.export.torch_module import write_module
    from spiketicket.ticket import Ticket

    loaded = Ticket.load(ticket)
    model = from_ticket(loaded, own=network)
    x, source = inputs.check_inputs(loaded, ticket, samples, root=root)
    path = folder / f"{name.replace('-', '_')}.py"
    title = f"{name}: a ticket of spiketicket as plain PyTorch."
    files = write_module(model, x, path, title, inputs.texts_of(loaded.metadata))
    return {
        "files": [str(file) for file in files], "checked_on": source, "notes": [],
        "checks": [{"samples": samples, "logits": "equal to the bit"}],
    }  # fmt: skip


def export_pt2(
    ticket: Path, folder: Path, name: str, network: str, root: str, samples: int
) -> dict[str, Any]:
    """Write ``NAME.pt2``, which gives the same logits to the bit; facts to show."""
    from spiketicket.bake import from_ticket
    from spiketicket.export import _inputs as inputs
    from spiketicket.export.pt2 import write_pt2
    from spiketicket.ticket import Ticket

    loaded = Ticket.load(ticket)
    model = from_ticket(loaded, own=network)
    x, source = inputs.check_inputs(loaded, ticket, samples, root=root)
    path = write_pt2(model, x, folder / f"{name}.pt2", inputs.texts_of(loaded.metadata))
    return {
        "files": [str(path)], "checked_on": source, "notes": [],
        "checks": [{"samples": samples, "logits": "equal to the bit"}],
    }  # fmt: skip


def export_hub(
    ticket: Path, folder: Path, name: str, push: str | None, private: bool
) -> dict[str, Any]:
    """Write the folder, and upload it where ``push`` names a repository; facts to show."""
    from spiketicket.export import hub

    files = hub.write_folder(ticket, folder, name)
    hub.check_folder(folder)
    notes = [f"pushed: {hub.push(folder, push, private=private)}"] if push else []
    return {"files": [str(file) for file in files], "notes": notes, "checks": []}


def print_export(facts: dict[str, Any]) -> None:
    """Print the files, and a line a check."""
    from spiketicket.cli._console import print_facts

    rows = [("files", ", ".join(facts["files"]))]
    rows += [("checked on", facts["checked_on"])] if "checked_on" in facts else []
    for check in facts["checks"]:
        shown = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in check.items())
        rows.append(("check", shown))
    rows += [("note", note) for note in facts["notes"]]
    print_facts(rows, title="export")


def _folder(folder: Path) -> Path:
    from spiketicket._files import explained

    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return folder
