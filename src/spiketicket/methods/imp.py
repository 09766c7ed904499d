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
from spiketicket.methods.masks import Scope, largest_masks
from spiketicket.methods.pruning import SHARED, PruningConfig, the_ticket, with_controls
from spiketicket.methods.rewinding import (
    PRETRAINED,
    RewindOptions,
    prepare_pretrained,
    pretrained,
    rewound,
)
from spiketicket.methods.rounds import MAX_ROUNDS, round_densities
from spiketicket.methods.scene import Prepared, Scene
from spiketicket.methods.stages import Stage
from spiketicket.methods.states import magnitudes_in
from spiketicket.recipe import Recipe


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

    scored = True

    name: Literal["imp"] = "imp"


def stages(recipe: Recipe) -> tuple[Stage, ...]:
    """The dense training, the rounds, and the last round, which is the ticket."""
    return with_controls(recipe, *trainings(recipe.ticket), dense=PRETRAINED)


def trainings(config: Any) -> tuple[Stage, ...]:
    """The search of :class:`Options` at a density."""
    try:
        densities = round_densities(config.density, config.share, config.rounds)
    except ValueError as error:
        raise UserError(str(error), where="ticket.share", value=config.share) from error
    found = [pretrained("scope", "share", "rounds")]
    for number, density in enumerate(densities, 1):
        needs = tuple(dict.fromkeys((PRETRAINED, found[-1].name)))
        settings = {"round_density": density}
        if number < len(densities):
            # A lower density only adds rounds: the earlier ones are the same.
            ignored = (*SHARED, "share", "rounds")
            found.append(
                Stage(
                    name=f"round_{number}",
                    needs=needs,
                    ignores=ignored,
                    settings=settings,
                    keeps=True,
                    rate_of=PRETRAINED,
                )
            )
        else:
            found.append(the_ticket(needs=needs, settings=settings))
    return tuple(found)


def prepare(stage: Stage, scene: Scene) -> Prepared:
    """Make a training ready."""
    if stage.name == PRETRAINED:
        return prepare_pretrained(scene, scene.config)
    state = scene.weights(stage.needs[-1])
    magnitudes = magnitudes_in(state, scene.layers())
    if scene.keeps_scores:
        scene.keep_scores(magnitudes_in(scene.weights(PRETRAINED), scene.layers()))
    density = float(stage.settings["round_density"])
    masks = largest_masks(magnitudes, density, scene.config.scope)
    return rewound(scene, scene.config, masks)
