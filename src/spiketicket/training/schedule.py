"""What changes from step to step by a rule: the learning rate and the number of timesteps."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor, nn

from spiketicket.recipe import TrainConfig


def timesteps_at(epoch: int, config: TrainConfig, final: int) -> int:
    """Timesteps of an epoch under ``train.timestep_ramp``."""
    end = 0
    for epochs, timesteps in config.timestep_ramp:
        end += epochs
        if epoch < end:
            return timesteps
    return final


def is_at_final_timesteps(epoch: int, config: TrainConfig) -> bool:
    """Whether an epoch has as many timesteps as the last one."""
    return timesteps_at(epoch, config, 0) == timesteps_at(config.epochs - 1, config, 0)


def epochs_of_timesteps(config: TrainConfig, final: int) -> dict[int, int]:
    """How many epochs :func:`timesteps_at` gives each number of timesteps, the ramp's first."""
    found: dict[int, int] = {}
    left = config.epochs
    for epochs, timesteps in (*config.timestep_ramp, (left, final)):
        found[timesteps] = found.get(timesteps, 0) + min(epochs, left)
        left -= min(epochs, left)
    return {timesteps: epochs for timesteps, epochs in found.items() if epochs}


def learning_rate(step: int, total: int, warmup: float) -> float:
    """Factor in (0, 1]: linear rise over the first ``warmup * total`` steps, then a cosine to 0."""
    rise = warmup * total
    if step < rise:
        return (step + 1) / (math.floor(rise) + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(total - rise, 1)))


def fewer_frames(model: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Frames for the fewer time steps of a ramp: neighbours are added up."""
    x, steps = inputs[0], getattr(model, "timesteps", None)
    if not isinstance(x, Tensor) or x.dim() != 5 or steps in (None, len(x)) or len(x) % steps:
        return inputs
    return (x.unflatten(0, (steps, -1)).sum(1), *inputs[1:])
