"""Sizes and densities of a ticket file, from its header alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from spiketicket.ticket import codec
from spiketicket.ticket.codec import TicketError
from spiketicket.ticket.layer import PARTS, check_name

_PARTS = ("mask", "signs", "drawn", "alpha", "values", "codes", "scales")

_BITS = {"binary": 1, "int8": 8, "float": 32}


@dataclass(frozen=True, kw_only=True)
class LayerSummary:
    """One row of what ``spiketicket show`` prints. Only a binary layer has an ``alpha``."""

    name: str
    shape: tuple[int, ...]
    kind: str
    size: int
    kept: int
    density: float
    alpha: float | None
    bits: int
    """Of a kept weight: 1 (its sign), 8 (its code) or 32."""
    mask_bytes: int
    """Bytes of the coded mask in the file."""
    mask_entropy_bytes: float
    """What no code can beat on average for a random mask of this density: its binary entropy."""
    packed_bytes: int
    """Bytes of the mask, and of the signs (or their seed) and alpha, of the values, or of the codes
    and scales, in the file."""
    entropy_bytes: float
    """``mask_entropy_bytes``, one bit a random sign, 8 bits a code, 32 bits a scale or value. Signs
    that the file leaves to a seed count as in the file."""
    drawn: bool
    """Whether the signs are left to a seed."""


@dataclass(frozen=True, kw_only=True)
class TicketSummary:
    """The rows of ``spiketicket show`` and their totals; sizes in bytes."""

    layers: tuple[LayerSummary, ...]
    size: int
    """Weights of the pruned layers."""
    kept: int
    density: float
    """kept / size, over the pruned layers."""
    mask_bytes: int
    mask_entropy_bytes: float
    packed_bytes: int
    entropy_bytes: float
    """Sums over layers, see LayerSummary; compare each size with the entropy after it."""
    state_bytes: int
    """The state dict's other entries."""
    file_bytes: int
    dense_bytes: int
    """The same state dict with every weight as a float32."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        plain = asdict(self)
        plain["layers"] = [{**row, "shape": list(row["shape"])} for row in plain["layers"]]
        return plain


def summarise(
    metadata: Mapping[str, Any], sizes: Mapping[str, int], file_bytes: int
) -> TicketSummary:
    """The summary of a file with this metadata and so many bytes in each array.

    Raises TicketError for metadata that makes no sense.
    """
    entries, state_bytes = metadata.get("layers"), metadata.get("state_bytes")
    if not isinstance(entries, list) or type(state_bytes) is not int or state_bytes < 0:
        raise TicketError("its metadata names no layers")
    rows = tuple(_row(entry, sizes) for entry in entries)
    size, kept = sum(row.size for row in rows), sum(row.kept for row in rows)
    return TicketSummary(
        layers=rows,
        size=size,
        kept=kept,
        density=kept / size if size else 1.0,
        mask_bytes=sum(row.mask_bytes for row in rows),
        mask_entropy_bytes=sum(row.mask_entropy_bytes for row in rows),
        packed_bytes=sum(row.packed_bytes for row in rows),
        entropy_bytes=sum(row.entropy_bytes for row in rows),
        state_bytes=state_bytes,
        file_bytes=file_bytes,
        dense_bytes=4 * size + state_bytes,
    )


def _row(entry: object, sizes: Mapping[str, int]) -> LayerSummary:
    """A row from a layer's entry in a header, which may be damaged."""
    table = entry if isinstance(entry, dict) else {}
    name, kind, kept, alpha = (table.get(key) for key in ("name", "kind", "kept", "alpha"))
    name = check_name(name)
    size = codec.entry_count(table.get("shape"), name)
    if (
        not isinstance(kind, str)
        or kind not in PARTS
        or type(kept) is not int
        or not 0 <= kept <= size
        or type(alpha) is not (float if kind == "binary" else type(None))
    ):
        raise TicketError("a layer's entry in the header makes no sense", where=name, value=entry)
    parts = {part: sizes.get(f"{part}/{name}", 0) for part in _PARTS}
    drawn = parts["drawn"] > 0
    bits = _BITS[kind]
    scales = {"binary": 1, "int8": table["shape"][0]}.get(kind, 0)
    mask_entropy = size * _entropy(kept / size) / 8
    return LayerSummary(
        name=name,
        shape=tuple(table["shape"]),
        kind=kind,
        size=size,
        kept=kept,
        density=kept / size,
        alpha=alpha,
        bits=bits,
        mask_bytes=parts["mask"],
        mask_entropy_bytes=mask_entropy,
        packed_bytes=sum(parts.values()),
        entropy_bytes=mask_entropy + (parts["drawn"] if drawn else kept * bits / 8) + 4 * scales,
        drawn=drawn,
    )


def _entropy(p: float) -> float:
    """Entropy in bits of a coin that shows heads with probability ``p``."""
    return -sum(q * math.log2(q) for q in (p, 1.0 - p) if q > 0.0)
