"""The fields of the transformer tickets' configs, and what they share."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from annotated_types import Gt, Le
from pydantic import Field

from spiketicket.methods.weights import WeightStart
from spiketicket.recipe import Epochs, MethodConfig
from spiketicket.recipe.shapes import RANKER_OF_OLD, Ranker

CHANGED: Final = {
    "shuffled": "mask shuffled, trained",
    "flipped": "signs flipped, frozen",
    "inverted": "smallest scores, frozen",
}
"""Controls that change something of a ticket's ConvPEP, off by default, with their titles."""
Rung = Literal["patch", "pepsp", "multisp"]
PatchControl = Literal["random", "fixed", "center", "pixel_energy"]


class LadderConfig(MethodConfig):
    """Patch tickets and what stands on them; ``density`` is ConvPEP's.

    Every stage has the recipe's whole budget of epochs, except where a share is named.
    """

    keep: Annotated[float, Gt(0), Le(1)] = 0.5
    """Fraction of the tokens kept; the same rule in training, validation and test."""
    ranker: Annotated[Ranker, Field(json_schema_extra={"hashed_default": RANKER_OF_OLD})] = "own"
    """Whose embeddings patches are ranked by: those of the net's own ConvPEP, as in the paper's
    Algorithm 1, or those of a selector that is trained before and stays beside the net."""
    score: Literal["auto", "firing_rate", "embedding_norm", "attention_first", "attention_last"] = (
        "firing_rate"
    )
    """What patches are ranked by, see :mod:`spiketicket.models.patches`; ``auto`` tries every score
    of the ranker and takes the best by validation accuracy."""
    selector_share: Annotated[float, Gt(0), Le(1)] = 0.25
    """Epochs of a selector, and of each trial of ``auto``, as a share of ``train.epochs``."""
    patch_controls: tuple[PatchControl, ...] = ("random", "fixed", "center", "pixel_energy")
    """Choices of as many patches without a selector, each trained beside the patch ticket."""
    fine_tune_epochs: Epochs = 0
    """Extra epochs for the surviving weights of the last ticket, mask fixed; 0 is none."""
    fine_tune_bn_affine: bool = False
    """Whether fine-tuning trains BatchNorm's scale and shift as well."""


def weight_start(binary: bool) -> WeightStart:
    """How the frozen weights of a ConvPEP ticket start: as those of edge-popup."""
    return WeightStart("signed_constant" if binary else "kaiming_normal")
