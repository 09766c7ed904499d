r"""Searches of the literature beside edge-popup, as far as ``recipe_parts.py`` needs them to say
what they bring. None is a method of the package: the table of docs/results.md says why.

All have binary weights with one scale per layer, and the exact density of the recipe in every layer
of the net that is judged.

``IteRand``: Chijiwa et al., "Pruning Randomly Initialized Neural Networks with Iterative
Randomization", NeurIPS 2021 (arXiv 2106.09269). After every epoch a tenth of the pruned weights are
drawn anew; of a weight that is one scale with a sign, that is its sign. No seed draws the signs
that are left in the end, so a file would hold them: one more bit per kept weight, as in signed
supermask.

``GemMiner``: Sreenivasan et al., "Rare Gems: Finding Lottery Tickets at Initialization", NeurIPS
2022 (arXiv 2202.12002). A score p in [0, 1] is rounded to keep a weight or not, straight through.
After every epoch the smallest are frozen at 0, so many that the share of the others falls as
density^(epoch / ramp), over the first two thirds of the epochs; then all that is not frozen is
kept. Scores start uniform in [0, 1].

``RelaxedGates``: Tsayag & Lindenbaum, "Uncovering a Winning Lottery Ticket with Continuously
Relaxed Bernoulli Gates", 2026 (arXiv 2603.08914). While it is trained a weight is multiplied with a
gate, $z = \text{clip}(\mu - \tau + 1/2 + \varepsilon, 0, 1)$, $\varepsilon \sim N(0, \sigma^2)$,
and the scores get the gate's own gradient. The paper weighs the number of open gates in the loss;
here $\tau$ is each layer's threshold of the density, so that it is exact, and the gates steepen:
$\mu - \tau$ is divided by a width that falls from 1 to 0.05.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, cast
from unittest import mock

import torch
from torch import Tensor, nn

from spiketicket.methods import edge_popup
from spiketicket.methods.edge_popup import EdgePopup
from spiketicket.methods.masks import top_mask
from spiketicket.methods.score_search import PopupWeight, ScoreSearch
from spiketicket.streams import Stream

REDRAWN = 0.1
RAMP = 2 / 3
NOISE, NARROWEST = 0.5, 0.05


def frozen(layer: nn.Module) -> Tensor:
    """A layer's weight, which no search trains."""
    return cast("Tensor", cast("Any", layer).parametrizations.weight.original)


class IteRand(EdgePopup):
    """Signs of pruned weights are drawn anew after every epoch."""

    done = 0

    @torch.no_grad()
    def on_step_end(self, epochs: float) -> None:
        """After an epoch, draw; then the masks as ever."""
        if int(epochs) > self.done:
            self.done = int(epochs)
            for name, popup in self.popups().items():
                weight = frozen(self.layers[name])
                stream = Stream(self.done, "iterand", name)
                again = torch.from_numpy(stream.uniform(weight.numel())).view(weight.shape)
                fresh = (again < REDRAWN) & ~popup.mask
                other = fresh & (again < REDRAWN / 2)  # half of them get the other sign
                weight.copy_(torch.where(other, -weight, weight))
        super().on_step_end(epochs)


class GemMiner(ScoreSearch):
    """Rounded scores, the smallest of which are frozen at 0 epoch by epoch."""

    done = 0

    def initial_scores(self, shape: tuple[int, ...], stream: Stream) -> Tensor:
        """Uniform in [0, 1]."""
        count = torch.Size(shape).numel()
        return torch.from_numpy(stream.uniform(count).reshape(shape)).float()

    def is_complete(self, epoch: int) -> bool:
        """Whether nothing more is frozen."""
        return epoch + 1 >= RAMP * self.epochs

    @torch.no_grad()
    def on_step_end(self, epochs: float) -> None:
        """Freeze after an epoch, and round."""
        end = RAMP * self.epochs
        share = self.config.density ** min(int(epochs) / end, 1.0)
        for name, popup in self.popups().items():
            scores = popup.scores
            scores.clamp_(0, 1)
            if not hasattr(popup, "left"):
                popup.left = torch.ones_like(popup.mask)
            if int(epochs) > self.done:
                kept = max(round(share * scores.numel()), 1)
                popup.left = top_mask(scores.masked_fill(~popup.left, -1), kept)
            scores.masked_fill_(~popup.left, 0)
            rounded = popup.left & (scores >= 0.5)
            mask = popup.left if epochs >= end or not rounded.any() else rounded
            popup.set_mask(self.layers[name].parametrizations.weight.original, mask)  # type: ignore[union-attr, operator]
        self.done = int(epochs)


class GatedWeight(PopupWeight):
    """Continuous gates while it is trained; the mask where it is judged."""

    threshold = 0.0
    width = 1.0

    def forward(self, weight: Tensor) -> Tensor:
        """The gated weight, or the effective one."""
        if not self.training:
            return self.effective
        noise = NOISE * torch.randn_like(self.scores)
        gate = ((self.scores - self.threshold) / self.width + 0.5 + noise).clamp(0, 1)
        return torch.where(weight < 0, -self.alpha, self.alpha) * gate


class RelaxedGates(ScoreSearch):
    """Gates that steepen around each layer's threshold."""

    weight = GatedWeight

    def initial_scores(self, shape: tuple[int, ...], stream: Stream) -> Tensor:
        """Normal around 0."""
        count = torch.Size(shape).numel()
        return torch.from_numpy(stream.normal(count).reshape(shape)).float() * 0.1

    @torch.no_grad()
    def on_step_end(self, epochs: float) -> None:
        """Threshold, mask and width."""
        for name, popup in self.popups().items():
            flat = popup.scores.reshape(-1)
            kept = max(round(self.config.density * flat.numel()), 1)
            mask = top_mask(popup.scores, kept)
            popup.threshold = float(popup.scores[mask].min())
            popup.width = max(1 - epochs / self.epochs, NARROWEST)
            popup.set_mask(self.layers[name].parametrizations.weight.original, mask)  # type: ignore[union-attr, operator]


SEARCHES: dict[str, type[ScoreSearch]] = {
    "IteRand": IteRand,
    "Gem-Miner": GemMiner,
    "relaxed gates": RelaxedGates,
}


@contextlib.contextmanager
def searching(name: str) -> Iterator[None]:
    """Let recipes of ``edge_popup`` search with another one, where it is the name of one."""
    if name not in SEARCHES:
        yield
        return
    with mock.patch.object(edge_popup, "EdgePopup", SEARCHES[name]):
        yield
