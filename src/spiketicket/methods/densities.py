"""How many weights of each layer a density keeps. This module needs no PyTorch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Literal

from spiketicket.errors import UserError

Distribution = Literal["uniform", "erk"]
"""``uniform`` keeps the same fraction of every layer. ``erk`` (Erdos-Renyi kernel; Evci et al.,
"Rigging the Lottery", ICML 2020, arXiv 1911.11134) keeps of all layers together as many, and of a
layer with n inputs, m outputs and kernels of k x k a fraction that is proportional to
(n + m + 2 k) / (n m k^2): small layers keep more. A layer that would keep more than all of its
weights keeps all, and the others share the rest."""


def kept_count(size: int, density: float, where: str) -> int:
    """``density * size`` weights, rounded half up: the exact number that a ticket keeps.

    Raises:
        UserError: the number would be 0; names the smallest density that keeps one.
    """
    # The decimal number as it is written: 0.29 * 50 is 14.5, where floats say 14.499999999999998.
    kept = math.floor(Decimal(repr(density)) * size + Decimal("0.5"))
    if kept < 1:
        raise UserError(
            f"keeps no weight of the {size} of {where}",
            where="ticket.density",
            value=density,
            remedy=f"The smallest feasible density here is {math.ceil(5e9 / size) / 1e10:.10g}",
        )
    return kept


def kept_counts(
    shapes: Mapping[str, tuple[int, ...]], density: float, distribution: Distribution
) -> dict[str, int]:
    """How many weights every layer keeps, by the shape of its weight, ``[m, n, k, k]``.

    ``uniform`` rounds half up in each layer. ``erk`` keeps of all layers together what the density
    says, to the weight, and at least one of each.

    Raises:
        UserError: a layer would keep none.
    """
    if distribution == "uniform":
        return {n: kept_count(math.prod(s), density, f"layer {n}") for n, s in shapes.items()}
    sizes = {name: math.prod(shape) for name, shape in shapes.items()}
    total = kept_count(sum(sizes.values()), density, "the network")
    if total < len(sizes):
        raise UserError(
            f"keeps {total} weights in {len(sizes)} layers",
            where="ticket.density",
            value=density,
            remedy="Use a higher density",
        )
    exact = _erk(shapes, sizes, total)
    kept = {name: min(sizes[name], max(1, math.floor(share))) for name, share in exact.items()}
    # Largest remainders first, as seats are given to parties; a tie goes to the first by name.
    order = sorted(exact, key=lambda name: (kept[name] - exact[name], name))
    while (missing := total - sum(kept.values())) != 0:
        step = 1 if missing > 0 else -1
        free = [n for n in order[::step] if 1 <= kept[n] + step <= sizes[n]]
        for name in free[: abs(missing)]:
            kept[name] += step
    return kept


def _erk(
    shapes: Mapping[str, tuple[int, ...]], sizes: Mapping[str, int], total: int
) -> dict[str, float]:
    """The weights of each layer before they are rounded: its share of what is not full."""
    full: set[str] = set()
    while True:
        rest = {name: float(sum(shape)) for name, shape in shapes.items() if name not in full}
        room = total - sum(sizes[name] for name in full)
        whole = sum(rest.values())
        found = {name: room * raw / whole for name, raw in rest.items()}
        over = {name for name, share in found.items() if share > sizes[name]}
        if not over:
            return {name: float(sizes[name]) if name in full else found[name] for name in shapes}
        full |= over
