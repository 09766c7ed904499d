"""``measure.json``: what was measured of a stage's ticket."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeGuard

FORMAT = 3

Measured = dict[str, Any]
"""What a ``measure.json`` holds."""


def is_whole(found: Any) -> TypeGuard[Measured]:
    """Whether a ``measure.json`` has what is read of it later; a damaged one is made anew."""
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        return False
    part = found.get("set")
    counts = [part.get(key) for key in ("images", "of")] if isinstance(part, dict) else [None]
    kinds = {
        "layers": list,
        "neurons": list,
        "groups": dict,
        "total": dict,
        "sparsity": dict,
        "energy": list,
        "accuracy": float,
        "ticket_digest": str,
    }
    return all(isinstance(count, int) for count in counts) and all(
        isinstance(found.get(key), kind) for key, kind in kinds.items()
    )


def of_equal_ticket(found: Mapping[str, Any], digest: str, file_bytes: int) -> Measured:
    """What was measured, as of a ticket that differs only in what its file says of the recipe."""
    sparsity = {**found["sparsity"], "file_bytes": file_bytes}
    return {**found, "ticket_digest": digest, "sparsity": sparsity}
