"""PyTorch with convolutions and linear layers in bfloat16; BatchNorm stays in float32."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from spiketicket.bench.job import Job, Prepared
from spiketicket.bench.peers._torch import fastest_of


def prepare(job: Job) -> Prepared:
    """The model, ready to run."""
    return fastest_of(job, in_bfloat16)


def in_bfloat16(model: nn.Module) -> nn.Module:
    """Weights in bfloat16 once and for all: autocast would convert them at every call."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.to(torch.bfloat16)
            module.register_forward_pre_hook(_in_bfloat16)
    return model


def _in_bfloat16(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    del module
    return (inputs[0].to(torch.bfloat16), *inputs[1:])
