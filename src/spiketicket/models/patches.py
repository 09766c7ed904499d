"""Which patches of an image a network keeps: rankings with and without a trained selector.

Every ranking gives scores ``[B, N]``; the k tokens with the largest are kept, in the order of
their positions, the same ones at every time step. Without a selector: ``random`` (drawn anew for
every image of every epoch), ``fixed`` (one random set for all images), ``center`` and
``pixel_energy`` (sum of squared deviations from the image's mean). By what was learned:
``firing_rate`` and ``embedding_norm`` of the tokens, of the network's own ConvPEP (Cheng et al.
2024, Algorithm 1) or of a selector's (Shen et al. 2022); of a selector also the column sums of
``Q K^T``, which say how much every token is attended to, in the ``first`` or ``last`` block.
"""

from __future__ import annotations

from typing import Any, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from spiketicket.models.blocks import fire
from spiketicket.recipe.shapes import OWN_SCORES, Score
from spiketicket.recipe.shapes import kept_tokens as kept_tokens  # noqa: PLC0414
from spiketicket.streams import SampleIds, Stream, current

Ranking = Literal[
    "none",
    "random",
    "fixed",
    "center",
    "pixel_energy",
    "firing_rate",
    "embedding_norm",
    "attention_first",
    "attention_last",
]


def top_tokens(scores: Tensor, kept: int) -> Tensor:
    """Ids int64 ``[B, k]`` of the largest scores ``[B, N]``, ascending; of equals the earlier."""
    order = torch.sort(scores.float(), dim=1, descending=True, stable=True).indices
    return order[:, :kept].sort(dim=1).values


def token_scores(score: str, h: Tensor) -> Tensor:
    """Scores ``[B, N]`` of ConvPEP's tokens ``[T or 1, B, D, h, w]``, spikes or their sums.

    ``firing_rate`` is their mean over features and time steps, ``embedding_norm`` the Euclidean
    norm of their mean over time steps. No gradient flows: a choice has none.
    """
    h = h.detach().float()
    if score == "firing_rate":
        return h.mean(dim=(0, 2)).flatten(1)
    return h.mean(0).square().sum(1).sqrt().flatten(1)


class PlainRanking(nn.Module):
    """Scores ``[B, N]`` without a selector; ``x`` is ``[T, B, C, H, W]``."""

    draws: Tensor

    def __init__(self, kind: Ranking, grid: tuple[int, int], seed: int) -> None:
        super().__init__()
        self.kind, self.grid, self.seed = kind, grid, seed
        if kind == "random":
            # Batches in training of which nobody says what samples they have. Saved with the
            # network, so that a resumed training draws what a whole one draws.
            self.register_buffer("draws", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        batch, (rows, columns) = x.shape[1], self.grid
        if self.kind == "pixel_energy":
            image = x.float()
            square = (image - image.mean(dim=(-2, -1), keepdim=True)).square().mean(0).sum(1)
            size = (x.shape[-2] // rows, x.shape[-1] // columns)
            return functional.avg_pool2d(square.unsqueeze(1), size).flatten(1)
        if self.kind == "center":
            r = torch.arange(rows, dtype=torch.float32) - (rows - 1) / 2
            c = torch.arange(columns, dtype=torch.float32) - (columns - 1) / 2
            near = -(r[:, None].square() + c[None, :].square()).flatten()
            return near.to(x.device).expand(batch, -1)
        count = rows * columns
        if self.kind == "fixed":
            drawn = Stream(self.seed, "fixed patches").uniform(count)
            return torch.from_numpy(drawn).to(x.device).expand(batch, -1)
        return torch.from_numpy(self._drawn(batch, count)).to(x.device)

    def _drawn(self, batch: int, count: int) -> NDArray[np.float32]:
        """A function of (seed, epoch, sample); of the place in the batch where nobody says which
        samples it has.
        """
        samples = current(batch)
        if samples is None:
            if self.training:
                self.draws.add_(1)
            samples = SampleIds(np.arange(batch), int(self.draws) if self.training else None)
        return samples.uniform(self.seed, "random patches", count)


class Selector(nn.Module):
    """A trained ConvPEP and as many blocks as a score needs; never trained, always evaluating.

    Args:
        conv_pep: of the trained net.
        blocks: its encoder blocks up to the one whose attention is read (none for token scores).
        score: which of them.
        neuron: fires on the tokens first, where they are membrane potentials and not spikes.
    """

    def __init__(
        self, conv_pep: nn.Module, blocks: nn.ModuleList, score: Score, neuron: nn.Module | None
    ) -> None:
        super().__init__()
        self.conv_pep, self.blocks, self.score, self.neuron = conv_pep, blocks, score, neuron
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> Selector:
        del mode
        return super().train(False)

    @torch.no_grad()
    def rank(self, x: Tensor, steps: int) -> Tensor:
        """Scores ``[B, N]``."""
        h = cast("Tensor", self.conv_pep(x, steps))
        if self.score in OWN_SCORES:
            if self.score == "firing_rate" and self.neuron is not None:
                h = fire(h, self.neuron, steps)
            return token_scores(self.score, h)
        if h.shape[0] != steps:
            h = h.expand(steps, *h.shape[1:])
        tokens = h.flatten(3).transpose(2, 3)
        for block in list(self.blocks)[:-1]:
            tokens = block(tokens, steps)
        columns: Tensor = cast("Any", self.blocks[-1]).attention_columns(tokens, steps)
        return columns
