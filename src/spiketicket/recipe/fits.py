"""Whether a network takes what the data give, told before any of them is read."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

from spiketicket.errors import UserError
from spiketicket.recipe.shapes import DataShape
from spiketicket.recipe.weight_shapes import weight_shapes

_NEAR: Final = 33
"""Sides that are tried are less than this away from those that do not fit."""
_SMALLEST: Final = 4


def misfits(data: Any, model: Any) -> Iterator[UserError]:
    """What two sections of a recipe do not agree on, as far as they alone say it.

    ``data`` and ``model`` are valid ``DataConfig`` and ``ModelConfig``.
    """
    frames = getattr(data, "steps", None)
    if frames is not None and model.timesteps != frames:
        yield frames_differ(model.timesteps, frames)
    stated = data.stated_shape()
    if stated is not None:
        channels, height, width = stated
        shape = DataShape(
            channels=channels, height=height, width=width, classes=2, frames=frames or 1
        )
        problem = misfit(model, shape, data.side_keys)
        if problem is not None:
            yield problem


def frames_differ(timesteps: int, frames: int) -> UserError:
    """Recordings become frames, and a network sees one at each of its time steps."""
    return UserError(
        f"the recordings have {frames} frames",
        where="model.timesteps",
        value=timesteps,
        remedy="Set model.timesteps and data.steps to the same",
    )


def misfit(model: Any, shape: DataShape, side_keys: Sequence[str] = ()) -> UserError | None:
    """Why a network of this package cannot be built for samples of a shape; None where it can.

    ``side_keys`` of ``[data]`` decide the sides: where the sides are what does not fit, the error
    names these keys and the nearest sides that do.
    """
    problem = _refused(model, shape)
    near = () if problem is None else tuple(_fitting(model, shape))
    if problem is None or not near:
        return problem
    sides = " or ".join(f"{height}x{width}" for height, width in near)
    if not side_keys:
        return UserError(
            problem.what,
            where="model.name",
            value=f"{model.name} for {shape.height}x{shape.width}",
            remedy=f"Choose another network; this one takes {sides}",
        )
    keys = [f"data.{key}" for key in side_keys]
    return UserError(
        problem.what,
        where=" and ".join(keys),
        value=f"{shape.height}x{shape.width}",
        remedy=f"The nearest that fit model.name={model.name} are {sides}",
    )


def _refused(model: Any, shape: DataShape) -> UserError | None:
    try:
        weights = weight_shapes(model.name, model.model_dump(mode="json"), shape)
        deque(weights or (), maxlen=0)
    except UserError as error:
        return error
    return None


def _fitting(model: Any, shape: DataShape) -> Iterator[tuple[int, int]]:
    """The nearest smaller and the nearest larger height and width that the network takes."""
    for step in (-1, 1):
        near = range(0, step * _NEAR, step)
        square = shape.height == shape.width
        tried = ((by, by) for by in near) if square else ((a, b) for a in near for b in near)
        sides = ((shape.height + a, shape.width + b) for a, b in sorted(tried, key=_far))
        fit = (
            (height, width)
            for height, width in sides
            if min(height, width) >= _SMALLEST
            and _refused(model, replace(shape, height=height, width=width)) is None
        )
        if found := next(fit, None):
            yield found


def _far(moved: tuple[int, int]) -> int:
    return abs(moved[0]) + abs(moved[1])
