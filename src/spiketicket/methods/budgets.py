"""Schedules of stages that do not have the recipe's own."""

from __future__ import annotations

import math

from spiketicket.recipe import Recipe, TrainConfig


def tuning_budget(train: TrainConfig, epochs: int) -> TrainConfig:
    """The training of a fine-tuning stage: at all time steps from the start."""
    return train.model_copy(update={"epochs": epochs, "timestep_ramp": ()})


def shorter(train: TrainConfig, epochs: int) -> TrainConfig:
    """The training of a stage with another number of epochs, as large a part of them at fewer
    time steps.
    """
    share = epochs / train.epochs
    ramp = tuple((math.floor(e * share), t) for e, t in train.timestep_ramp)
    short = tuple((e, t) for e, t in ramp if e)
    return train.model_copy(update={"epochs": epochs, "timestep_ramp": short})


def rescheduled(recipe: Recipe, train: TrainConfig) -> Recipe:
    """A recipe with another schedule; epochs that its method counts are as large a part of it."""
    share, checked = train.epochs / recipe.train.epochs, TrainConfig.model_validate(dict(train))
    ticket = recipe.ticket if share == 1 else recipe.ticket.shortened(share)
    return recipe.model_copy(update={"train": checked, "ticket": ticket})
