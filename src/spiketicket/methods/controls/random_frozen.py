"""The same random mask on the frozen random weights: the floor.

Only BatchNorm statistics move; biases stay at zero, as in a search that trains no weight.
"""

from __future__ import annotations

import functools

from spiketicket.methods.controls.asked import Asked, frozen
from spiketicket.methods.controls.random_trained import masks_like_ticket
from spiketicket.methods.scene import Prepared, Scene
from spiketicket.methods.stages import ALL, Stage
from spiketicket.methods.weights import WeightStart


def stage(asked: Asked) -> Stage:
    """An estimate of BatchNorm statistics."""
    return Stage(
        name="random_frozen",
        title="random mask, frozen",
        role="control",
        trains=(),
        needs=("ticket",),
        ignores=ALL,
        prepare=functools.partial(_prepare, start=asked.frozen_start),
    )


def _prepare(stage: Stage, scene: Scene, *, start: WeightStart) -> Prepared:
    del stage
    return frozen(scene, start, masks_like_ticket(scene))
