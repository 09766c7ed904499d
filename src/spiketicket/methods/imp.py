"""Iterative magnitude pruning with rewinding: the lottery ticket search.

Frankle & Carbin, "The Lottery Ticket Hypothesis", ICLR 2019 (arXiv 1803.03635); rewinding to an
early step: Frankle et al., ICML 2020 (arXiv 1912.05671); on spiking networks: Kim et al.,
"Exploring Lottery Ticket Hypothesis in Spiking Neural Networks", ECCV 2022 (arXiv 2207.01382),
whose settings are the defaults: a quarter of the remaining weights is removed a round, by one
threshold for all layers, and the weights go back to epoch 20 of 300.

    train the dense net; then, round after round:
    M <- the largest |w| among those M keeps;  w <- w_k * M;  train from step k on
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from annotated_types import Ge, Interval, Lt
from pydantic import model_validator

from spiketicket.errors import UserError
from spiketicket.methods.layers import Scope, largest_masks
from spiketicket.methods.pruning import (
    Plan,
    Prepared,
    PruningConfig,
    Scene,
    magnitudes_in,
    weight_start,
)
from spiketicket.methods.rewinding import (
    PRETRAINED,
    RewindOptions,
    prepare_pretrained,
    pretrained,
    rewound,
)
from spiketicket.methods.rounds import MAX_ROUNDS, round_densities

__all__ = ["Config", "plans", "prepare", "weight_start"]


class Options(RewindOptions):
    """How the rounds go."""

    scope: Scope = "global"
    """One threshold for all layers, or one per layer."""
    share: Annotated[float, Ge(0.01), Lt(1)] = 0.25
    """Fraction of the remaining weights that a round removes; the last one removes as many as lead
    to the density."""
    rounds: Annotated[int, Interval(ge=1, le=MAX_ROUNDS)] | None = None
    """Number of rounds, each keeping the same fraction, in place of ``share``."""

    @model_validator(mode="after")
    def _one_of_the_two(self) -> Options:
        if self.rounds is not None and self.share != type(self).model_fields["share"].default:
            raise ValueError("rounds and share are two ways to say the same: give one of them")
        return self


class Config(PruningConfig, Options):
    """Hyper-parameters."""

    name: Literal["imp"] = "imp"


def plans(config: Any) -> tuple[Plan, ...]:
    """The dense training, the rounds, and the last round, which is the ticket."""
    try:
        densities = round_densities(config.density, config.share, config.rounds)
    except ValueError as error:
        raise UserError(str(error), where="ticket.share", value=config.share) from error
    names = [f"round_{i}" for i in range(1, len(densities))] + ["ticket"]
    found = [pretrained(config)]
    for name, density in zip(names, densities, strict=True):
        reads = {
            "masks": "magnitude of the stage before",
            "density": density,
            "scope": config.scope,
            **found[0].reads,
        }
        needs = tuple(dict.fromkeys((PRETRAINED, found[-1].name)))
        found.append(Plan(name, reads, needs, keeps=name != "ticket"))
    return tuple(found)


def prepare(plan: Plan, scene: Scene) -> Prepared:
    """Make a training ready."""
    if plan.name == PRETRAINED:
        return prepare_pretrained(scene, scene.config)
    state = scene.weights(plan.needs[-1])
    magnitudes = magnitudes_in(state, scene.layers())
    masks = largest_masks(magnitudes, float(plan.reads["density"]), scene.config.scope)
    return rewound(scene, scene.config, masks)
