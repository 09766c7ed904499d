"""``spiketicket show``: what is in a ticket. Needs no PyTorch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spiketicket.cli._options import JsonOption

if TYPE_CHECKING:
    from spiketicket.ticket import TicketSummary

_KEYS = ("condition", "network", "accuracy", "data", "normalisation", "recipe_hash", "seed")


def show(
    ticket: Annotated[Path, typer.Argument(help="A .ticket file.")],
    as_json: JsonOption = False,
) -> None:
    """Check a ticket file and print its layers, sizes, provenance and verdict."""
    from spiketicket.ticket import Ticket, describe, read_metadata

    # The header alone would do for the tables, but not tell whether the rest is intact.
    Ticket.load(ticket)
    summary, metadata = describe(ticket), read_metadata(ticket)
    if as_json:
        facts = {key: value for key, value in metadata.items() if key != "layers"}
        print(json.dumps({**facts, "summary": summary.to_dict()}, indent=2))
    else:
        _print_layers(summary)
        _print_provenance(metadata, summary, ticket)


def _print_layers(summary: TicketSummary) -> None:
    from spiketicket.cli._console import print_table, size_text

    rows = [
        [
            row.name,
            row.kind,
            " x ".join(str(side) for side in row.shape),
            f"{row.size:,}",
            f"{row.kept:,}",
            f"{row.density:.4f}",
            "" if row.alpha is None else f"{row.alpha:.6g}",
            size_text(row.packed_bytes),
        ]
        for row in summary.layers
    ]
    total = [f"{summary.size:,}", f"{summary.kept:,}", f"{summary.density:.4f}"]
    rows.append(["all", "", "", *total, "", size_text(summary.packed_bytes)])
    columns = ("layer", "weights", "shape", "count", "kept", "density", "scale", "packed")
    print_table(columns, rows, left=3)


def _print_provenance(metadata: Mapping[str, Any], summary: TicketSummary, path: Path) -> None:
    from spiketicket.cli._console import print_facts, size_text
    from spiketicket.cli._result import print_verdict

    ratio = summary.dense_bytes / summary.file_bytes
    facts = [
        ("file", f"{path}, {size_text(summary.file_bytes)}, checked"),
        ("dense float32", f"{size_text(summary.dense_bytes)}, {ratio:.1f} times the file"),
        ("pruned", f"{100 * (1 - summary.density):.2f} %"),
        ("BN and biases", size_text(summary.state_bytes)),
    ]
    print_facts([*facts, *_provenance(metadata)], title="ticket")
    if isinstance(metadata.get("verdict"), dict):
        print_verdict(metadata["verdict"])


def _provenance(metadata: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Facts from metadata that any program may have written: what is not there is left out."""
    facts = [(key.replace("_", " "), _flat(key, metadata[key])) for key in _KEYS if key in metadata]
    recipe = metadata.get("recipe")
    if isinstance(recipe, dict) and "name" in recipe:
        facts.append(("recipe", str(recipe["name"])))
    if isinstance(metadata.get("classes"), list):
        facts.append(("classes", str(len(metadata["classes"]))))
    if "versions" in metadata:
        facts.append(("made with", _flat("versions", metadata["versions"])))
    facts.append(("digest", str(metadata.get("digest", ""))))
    return facts


def _flat(key: str, value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_flat(key, inner)}" for name, inner in value.items())
    if key == "accuracy" and isinstance(value, float):
        return f"{value:.2f} %"
    return str(value)
