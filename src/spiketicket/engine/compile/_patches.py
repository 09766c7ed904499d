"""Which tokens a program keeps: the rankings of ``models/patches.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from spiketicket.engine import ops
from spiketicket.errors import UserError
from spiketicket.recipe.shapes import OWN_SCORES
from spiketicket.streams import Stream

if TYPE_CHECKING:
    from spiketicket.engine.compile._parts import Parts


def choose_tokens(
    parts: Parts, ranking: str, seed: int, grid: tuple[int, int], kept: int
) -> int | None:
    """The register with the ids of the kept tokens, or None where all of them are.

    Raises:
        UserError: the ranking draws anew for every image.
    """
    tokens = grid[0] * grid[1]
    if kept == tokens:
        parts.net.not_read("selector.")
        return None
    builder = parts.net.builder
    if ranking in ("fixed", "center"):
        scores = _fixed(seed, tokens) if ranking == "fixed" else _center(grid)
        order = np.argsort(-scores.astype(np.float32), kind="stable")[:kept]
        return builder.add(ops.ConstIds, ids=np.sort(order).astype(np.int32), tokens=tokens)
    if ranking == "random":
        raise UserError(
            "patches that are drawn anew for every image cannot be run without PyTorch",
            where="model.ranking",
            value=ranking,
            remedy='Use "fixed", or evaluate the ticket with "spiketicket eval"',
        )
    if ranking == "pixel_energy":
        kind = ops.ScoreKind.PIXEL_ENERGY
        image = parts.net.input
        scores_at = builder.add(ops.Score, image, kind=kind, rows=grid[0], columns=grid[1])
    else:
        scores_at = _selector(parts, ranking)
    return builder.add(ops.TopK, scores_at, k=kept)


def _fixed(seed: int, tokens: int) -> NDArray[np.floating]:
    return Stream(seed, "fixed patches").uniform(tokens)


def _center(grid: tuple[int, int]) -> NDArray[np.float32]:
    r, c = (np.arange(side, dtype=np.float32) - np.float32((side - 1) / 2) for side in grid)
    near: NDArray[np.float32] = -(r[:, None] * r[:, None] + c[None, :] * c[None, :]).ravel()
    return near


def token_scores(parts: Parts, ranking: str, h: int, neuron: str) -> int:
    """The scores of ConvPEP's tokens; ``neuron`` names what fires where they are potentials."""
    net = parts.net
    if ranking == "firing_rate":
        h = net.fire(net.neuron, neuron, h) if parts.membrane else h
        return net.builder.add(ops.Score, h, kind=ops.ScoreKind.FIRING_RATE)
    return net.builder.add(ops.Score, h, kind=ops.ScoreKind.EMBEDDING_NORM)


def _selector(parts: Parts, ranking: str) -> int:
    """The scores of the trained selector."""
    net = parts.net
    h = parts.conv_pep("selector.conv_pep", net.input, net.neuron)
    if ranking in OWN_SCORES:
        return token_scores(parts, ranking, h, "selector.neuron")
    read = 1 if ranking == "attention_first" else parts.depth
    if not parts.depth:
        raise UserError("there is no block to read", where="model.ranking", value=ranking)
    for i in range(read - 1):
        h = parts.block(f"selector.blocks.{i}", h, parts.scale)
    scores = parts.attention_columns(f"selector.blocks.{read - 1}", h)
    # the rest of the last block takes no part in the ranking
    net.not_read(f"selector.blocks.{read - 1}.")
    return scores
