"""A dense training that pruning starts from, and taking weights back to a step of it.

Frankle et al., "Linear Mode Connectivity and the Lottery Ticket Hypothesis", ICML 2020 (arXiv
1912.05671): beyond small networks a ticket is found only if its weights are rewound to an early
step and not to their random start. Rewinding is of the whole state: BatchNorm's statistics, and
its scale and shift, are those of that step as well.
"""

from __future__ import annotations

from typing import Annotated, Any, Self

from annotated_types import Ge, Interval, Lt
from torch import Tensor

from spiketicket.errors import UserError
from spiketicket.methods.pruning import SHARED
from spiketicket.methods.scene import Prepared, Scene
from spiketicket.methods.stages import Stage
from spiketicket.recipe import Section

PRETRAINED = "pretrained"


class RewindOptions(Section):
    """Where weights are taken back to."""

    rewind_share: Annotated[float, Ge(0), Lt(1)] = 1 / 15
    """Share of the training after which its state is kept; 0 is the random start. The default is
    epoch 20 of 300 (Kim et al., ECCV 2022)."""
    rewind_step: Annotated[int, Interval(ge=0, le=2**31 - 1)] | None = None
    """The optimizer step by its number; None is by ``rewind_share``."""

    def shortened(self, share: float) -> Self:
        """With a step that is as large a part of the training."""
        if not self.rewind_step:
            return self
        return self.model_copy(update={"rewind_step": int(self.rewind_step * share)})


def pretrained(*ignores: str, **fields: Any) -> Stage:
    """The dense training; ``ignores`` are the method's settings that are none of its business,
    beside those of every method.
    """
    return Stage(
        name=PRETRAINED,
        title="dense, pretrained",
        ignores=(*SHARED, *ignores),
        keeps=True,
        **fields,
    )


def prepare_pretrained(scene: Scene, options: RewindOptions) -> Prepared:
    """Train the dense network, and keep its state at the step to rewind to."""
    prepared, step = scene.trained(), rewind_step(scene, options)
    return scene.kept_at(prepared, step) if step else prepared


def rewound(scene: Scene, options: RewindOptions, masks: dict[str, Tensor]) -> Prepared:
    """Train under masks from the state at that step, with what is left of the schedule.

    Where that is the random start, it is the whole schedule.
    """
    step = rewind_step(scene, options)
    state = scene.weights(PRETRAINED, rewind=True) if step else None
    return scene.trained(masks, state, start_step=step)


def rewind_step(scene: Scene, options: RewindOptions) -> int:
    """The optimizer step that is rewound to.

    Raises:
        UserError: the training has no such step.
    """
    total = scene.train.epochs * scene.batches.steps
    if options.rewind_step is None:
        return min(round(options.rewind_share * total), total - 1)
    if options.rewind_step >= total:
        raise UserError(
            f"must be before the last of the training's {total} steps",
            where="ticket.rewind_step",
            value=options.rewind_step,
        )
    return options.rewind_step
