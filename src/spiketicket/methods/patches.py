"""Patch tickets: only the most informative patches of every image reach the encoder.

Shen et al., "Data-Level Lottery Ticket Hypothesis for Vision Transformers", 2022; on spiking
transformers: Cheng et al., IROS 2024. The network's own ConvPEP ranks the patches, or a selector
that is trained before; the ticket's network is trained from scratch on the kept ones. The controls
keep as many patches by other rules (see ``models/patches.py``); a selector is part of the ticket
and of its cost.
"""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Ge, Le

from spiketicket.methods.ladder import check, prepare
from spiketicket.methods.rung_config import LadderConfig, Rung
from spiketicket.methods.rungs import condition, stages

__all__ = ["Config", "check", "condition", "prepare", "stages"]


class Config(LadderConfig):
    """A patch ticket; its ConvPEP is dense."""

    name: Literal["patches"] = "patches"
    density: Annotated[float, Ge(1), Le(1)] = 1.0
    """1: every weight of ConvPEP is kept."""

    @property
    def rungs(self) -> tuple[Rung, ...]:
        """The tickets of the ladder, in order."""
        return ("patch",)
