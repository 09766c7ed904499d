"""MultiSp: fewer patches, a sparse (binary) ConvPEP, and binary activations inside it.

Cheng et al., IROS 2024 (and arXiv 2311.12060, Algorithm 1). The ladder of tickets:

    patch      the kept patches, everything else dense and trained
    pepsp      and ConvPEP is a connection ticket: frozen random weights under a searched mask
    multisp    and the activations inside ConvPEP are step (0/1) or sign (-1/+1)

The encoder's weights are trained normally. ``search = "joint"`` trains ConvPEP's scores inside
the whole network; ``"two_stage"`` searches it under a temporary linear head first, as Algorithm 1.
"""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Gt, Le, Lt
from pydantic import Field

from spiketicket.methods.ladder import check, prepare
from spiketicket.methods.rung_config import LadderConfig, Rung
from spiketicket.methods.rungs import condition, stages

__all__ = ["Config", "check", "condition", "prepare", "stages"]


class Config(LadderConfig):
    """The ladder up to the rung named last in ``rungs``."""

    name: Literal["multisp"] = "multisp"
    density: Annotated[float, Gt(0), Lt(1), Field(examples=[0.5])]
    """Fraction of ConvPEP's weights that the ticket KEEPS, exact to the weight."""
    search: Literal["joint", "two_stage"] = "joint"
    """ConvPEP's scores inside the whole network, or first under a temporary linear head, as in
    the paper's Algorithm 1."""
    search_share: Annotated[float, Gt(0), Le(1)] = 0.5
    """Epochs under the temporary head, as a share of ``train.epochs``; read by two_stage."""
    activation: Literal["lif", "step", "sign"] = "step"
    """Activation inside ConvPEP on the last rung."""
    rungs: tuple[Rung, ...] = ("patch", "pepsp", "multisp")
    """Tickets of the ladder to search, in this order; the last one is the ticket."""
