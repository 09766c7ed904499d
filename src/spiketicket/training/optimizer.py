"""The optimizer of a training, made of its settings."""

from __future__ import annotations

import torch
from torch import nn

from spiketicket.errors import UserError
from spiketicket.recipe import OptimizerConfig


def make_optimizer(
    parameters: list[nn.Parameter],
    config: OptimizerConfig,
    also: tuple[list[nn.Parameter], OptimizerConfig] | None = None,
) -> torch.optim.Optimizer:
    """The optimizer of a config over ``parameters``, in torch's fused form.

    ``also`` are further parameters with their own rate and decay.

    Raises:
        UserError: the two need different optimizers.
    """
    if also is not None:
        return _joint(parameters, config, *also)
    lr, decay = config.lr, config.weight_decay
    if config.name == "sgd":
        momentum = config.momentum
        return torch.optim.SGD(parameters, lr=lr, momentum=momentum, weight_decay=decay, fused=True)
    kind = torch.optim.Adam if config.name == "adam" else torch.optim.AdamW
    return kind(parameters, lr=lr, weight_decay=decay, betas=config.betas, fused=True)


def _joint(
    parameters: list[nn.Parameter],
    config: OptimizerConfig,
    others: list[nn.Parameter],
    second: OptimizerConfig,
) -> torch.optim.Optimizer:
    check_together(config, second)
    groups = [
        {"params": p, "lr": c.lr, "weight_decay": c.weight_decay, "betas": c.betas}
        for p, c in ((parameters, config), (others, second))
    ]
    return torch.optim.AdamW(groups, fused=True)


def check_together(weights: OptimizerConfig, scores: OptimizerConfig) -> None:
    """Whether one optimizer can do for both.

    Raises:
        UserError: it cannot; Adam and AdamW differ only by how they decay weights.
    """
    for where, c in (("train.weights", weights), ("train.scores", scores)):
        if c.name == "sgd" or (c.name == "adam" and c.weight_decay):
            raise UserError(
                "weights and scores that are trained together need adamw, or adam without"
                " weight decay",
                where=f"{where}.name",
                value=c.name,
            )
