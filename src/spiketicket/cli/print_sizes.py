"""What a ticket's file weighs, in words."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from spiketicket.cli.console import size_text
from spiketicket.machine.sizes import file_size

if TYPE_CHECKING:
    from spiketicket.ticket import TicketSummary


def size_facts(summary: TicketSummary, path: Path) -> list[tuple[str, str]]:
    """Name and value of each size, beside what no code can beat where that is known."""
    ratio = summary.dense_bytes / summary.file_bytes
    masks = _beside(summary.mask_bytes, summary.mask_entropy_bytes)
    layers = _beside(summary.packed_bytes, summary.entropy_bytes)
    drawn = sum(layer.drawn for layer in summary.layers)
    facts = [
        ("file", f"{path}, {file_size(summary.file_bytes)}, checked"),
        ("dense float32", f"{size_text(summary.dense_bytes)}, {ratio:.1f} times the file"),
        ("pruned", f"{100 * (1 - summary.density):.2f} %"),
        ("masks", f"{size_text(summary.mask_bytes)}{masks}"),
        ("pruned layers", f"{size_text(summary.packed_bytes)}{layers}"),
        ("BN and biases", size_text(summary.state_bytes)),
    ]
    binary = sum(layer.kind == "binary" for layer in summary.layers)
    if binary:
        facts.append(("signs", _signs(drawn, binary)))
    return facts


def _signs(drawn: int, binary: int) -> str:
    """Where the signs of so many binary layers are."""
    why = (
        "stored: searched, trained, fine-tuned, custom or few, so that no seed draws them, or"
        " packed raw"
    )
    if not drawn:
        return why
    told = f"drawn from the seed in {drawn} of {binary} binary layers"
    return told if drawn == binary else f"{told}; of the others {why}"


def _beside(size: float, entropy: float) -> str:
    return f", {size / entropy:.3f} times the entropy" if entropy else ""
