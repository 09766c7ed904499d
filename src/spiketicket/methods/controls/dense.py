"""The dense net of the same condition, trained. Biases start at zero and are trained too."""

from __future__ import annotations

from spiketicket.methods.controls.asked import Asked, trained
from spiketicket.methods.scene import Prepared, Scene
from spiketicket.methods.stages import ALL, Stage


def stage(asked: Asked) -> Stage:
    """One training without a mask."""
    return Stage(
        name="dense",
        title="dense, trained",
        role="control",
        model=asked.trained_model,
        ignores=ALL,
        same_as=asked.dense_as,
        prepare=_prepare,
    )


def _prepare(stage: Stage, scene: Scene) -> Prepared:
    del stage
    return trained(scene)
