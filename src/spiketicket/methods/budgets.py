"""Schedules of stages that do not have the recipe's own."""

from __future__ import annotations

import math

from spiketicket.recipe import Recipe, TrainConfig


def tuning_budget(train: TrainConfig, epochs: int) -> TrainConfig:
    """The training of a fine-tuning stage: at all time steps and full size from the start."""
    return train.model_copy(update={"epochs": epochs, "timestep_ramp": (), "size_ramp": ()})


def shorter(train: TrainConfig, epochs: int) -> TrainConfig:
    """The training of a stage with another number of epochs, as large a part of them at fewer
    time steps and on smaller pictures.
    """
    share = epochs / train.epochs
    ramps = {"timestep_ramp": train.timestep_ramp, "size_ramp": train.size_ramp}
    short = {
        name: tuple((math.floor(e * share), value) for e, value in ramp if math.floor(e * share))
        for name, ramp in ramps.items()
    }
    return train.model_copy(update={"epochs": epochs, **short})


def rescheduled(recipe: Recipe, train: TrainConfig) -> Recipe:
    """A recipe with another schedule; epochs that its method counts are as large a part of it."""
    share, checked = train.epochs / recipe.train.epochs, TrainConfig.model_validate(dict(train))
    ticket = recipe.ticket if share == 1 else recipe.ticket.shortened(share)
    return recipe.model_copy(update={"train": checked, "ticket": ticket})
