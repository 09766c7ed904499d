"""SNIP: prune once before training, by what removing a connection would do to the loss.

Lee et al., "SNIP: Single-shot Network Pruning based on Connection Sensitivity", ICLR 2019 (arXiv
1810.02340). With c = 1 for every connection of the untrained net, on a few training samples:

    s = |dL/dc| = |dL/dW_eff * W_eff|,  keep the largest s of all layers

BatchNorm computes with the statistics of these samples, as it does in training, and forgets them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, cast

import torch
from torch import Tensor
from torch.nn import functional

from spiketicket.errors import UserError
from spiketicket.methods.masks import Scope, largest_masks
from spiketicket.methods.pruning import PruningConfig, the_ticket, with_controls
from spiketicket.methods.scene import Prepared, Scene
from spiketicket.methods.stages import Stage
from spiketicket.models.prunable import prunable
from spiketicket.recipe import Count, Recipe
from spiketicket.training.forward import drawing


class Config(PruningConfig):
    """Hyper-parameters."""

    scored = True

    name: Literal["snip"] = "snip"
    scope: Scope = "global"
    """One threshold for all layers, or one per layer."""
    samples: Count = 128
    """Training samples that the sensitivity is measured on; the paper's number."""


def stages(recipe: Recipe) -> tuple[Stage, ...]:
    """One training."""
    return with_controls(recipe, the_ticket())


def prepare(stage: Stage, scene: Scene) -> Prepared:
    """Measure, prune and make the training ready."""
    del stage
    config = scene.config
    scores = sensitivity(scene, config.samples)
    scene.keep_scores(scores)
    masks = largest_masks(scores, config.density, config.scope)
    return replace(scene.trained(masks), search_passes=config.samples)


def sensitivity(scene: Scene, samples: int) -> dict[str, Tensor]:
    """|dL/dW_eff * W_eff| by layer, on the first training samples.

    Raises:
        UserError: there are fewer.
    """
    twin = scene.twin()
    weights = {name: cast("Tensor", layer.weight) for name, layer in prunable(twin).items()}
    totals = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    left = samples
    for step, (x, y) in enumerate(scene.batches.epoch(0)):
        part = min(left, len(y))
        x, y = _first(x, part, len(y)), y[:part]
        with drawing(twin, x.device, scene.seed, step):
            loss = functional.cross_entropy(twin(x).float(), y, reduction="sum")
        grads = torch.autograd.grad(loss, list(weights.values()))
        for total, grad in zip(totals.values(), grads, strict=True):
            total += grad
        left -= part
        if not left:
            return {n: (t * weights[n].detach()).abs() for n, t in totals.items()}
    raise UserError(
        f"there are only {samples - left} training samples", where="ticket.samples", value=samples
    )


def _first(x: Tensor, part: int, count: int) -> Tensor:
    """The first of ``count`` samples, which lie along the second axis of ``[T, B, ..]``."""
    if part == count:
        return x
    return x[:, :part] if x.dim() == 5 or len(x) != count else x[:part]
