"""What changes by a rule while a net is trained: learning rate, timesteps, size of pictures."""

from __future__ import annotations

import itertools
import math
from typing import Any, Literal

from torch import Tensor, nn
from torch.nn import functional

from spiketicket.recipe import TrainConfig

Schedule = Literal["cosine", "linear", "constant"]


def timesteps_at(epoch: int, config: TrainConfig, final: int) -> int:
    """Timesteps of an epoch under ``train.timestep_ramp``."""
    end = 0
    for epochs, timesteps in config.timestep_ramp:
        end += epochs
        if epoch < end:
            return timesteps
    return final


def side_at(epoch: int, config: TrainConfig) -> int:
    """Pixels of the shorter side of an epoch's pictures under ``train.size_ramp``; 0 is all."""
    end = 0
    for epochs, side in config.size_ramp:
        end += epochs
        if epoch < end:
            return side
    return 0


def is_whole(epoch: int, config: TrainConfig) -> bool:
    """Whether an epoch has as many timesteps and as large pictures as the last one."""
    last = config.epochs - 1
    return (timesteps_at(epoch, config, 0), side_at(epoch, config)) == (
        timesteps_at(last, config, 0),
        side_at(last, config),
    )


def epochs_of_kinds(config: TrainConfig, final: int) -> dict[tuple[int, int], int]:
    """How many epochs have each :func:`timesteps_at` and :func:`side_at`, the first ones first."""
    ends = {0, config.epochs}
    for ramp in (config.timestep_ramp, config.size_ramp):
        ends |= set(itertools.accumulate(epochs for epochs, _ in ramp))
    found: dict[tuple[int, int], int] = {}
    for start, end in itertools.pairwise(sorted(e for e in ends if e <= config.epochs)):
        kind = timesteps_at(start, config, final), side_at(start, config)
        found[kind] = found.get(kind, 0) + end - start
    return found


def learning_rate(step: int, total: int, warmup: float, schedule: Schedule = "cosine") -> float:
    """Factor in (0, 1]: a linear rise over the first ``warmup * total`` steps, then the schedule.

    That is half a cosine to 0, a line to 0, or 1 to the end.
    """
    rise = warmup * total
    if step < rise:
        return (step + 1) / (math.floor(rise) + 1)
    left = max(total - rise, 1)
    if schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * (step - rise) / left))
    return 1.0 - (step - rise) / left if schedule == "linear" else 1.0


def fewer_frames(model: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Frames for the fewer time steps of a ramp: neighbours are added up."""
    x, steps = inputs[0], getattr(model, "timesteps", None)
    if not isinstance(x, Tensor) or x.dim() != 5 or steps in (None, len(x)) or len(x) % steps:
        return inputs
    return (x.unflatten(0, (steps, -1)).sum(1), *inputs[1:])


def smaller(x: Tensor, side: int) -> Tensor:
    """Pictures ``[B, C, H, W]`` with a shorter side of so many pixels, by the mean over areas.

    The longer side keeps its proportion, rounded. Pictures that are no larger stay as they are.
    """
    height, width = x.shape[-2:]
    scale = side / min(height, width)
    if scale >= 1:
        return x
    return functional.adaptive_avg_pool2d(x, (round(height * scale), round(width * scale)))
