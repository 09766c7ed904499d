"""The densities of iterative pruning."""

from __future__ import annotations

import math
from typing import Final

MAX_ROUNDS: Final = 1000
"""Trainings of one search; a person waits for a few dozen."""


def round_densities(density: float, share: float, rounds: int | None) -> tuple[float, ...]:
    """The density after every round, the last one ``density`` itself; at most MAX_ROUNDS.

    With ``rounds`` each of them keeps the same fraction, density**(1/rounds). Without, each
    removes ``share`` of what is left for as long as more than ``density`` remains, so that a lower
    density only adds rounds; the last one removes what is left to remove.

    Raises:
        ValueError: they would be more, or the numbers are out of range.
    """
    if rounds is not None:
        if not 1 <= rounds <= MAX_ROUNDS:
            raise ValueError(f"rounds must be from 1 to {MAX_ROUNDS}")
        return (*(density ** (i / rounds) for i in range(1, rounds)), density)
    # a round that would remove next to nothing is no round: 0.75**3 is not to be followed by 0.42
    needed = math.log(density) / math.log1p(-share)
    if not needed <= MAX_ROUNDS:
        raise ValueError(f"a share this small takes more than {MAX_ROUNDS} rounds")
    whole = max(1, math.ceil(round(needed, 6)))
    return (*((1.0 - share) ** i for i in range(1, whole)), density)
