"""ResNet-19 (Zheng et al., AAAI 2021): stem of 64 channels, 3/3/2 basic blocks of 128/256/512.

    block:  x -> conv3x3-BN-neuron-conv3x3-BN, + (x or conv1x1-BN of x) -> neuron
    net:    conv3x3-BN-neuron, blocks, average pool, fc 256-BN-neuron, fc classes

12,630,858 parameters at 10 classes and 12,653,988 at 100, the affine BatchNorm of the
convolutions and the biases of the two linear layers counted. The BatchNorm of the hidden linear
layer never has an affine part. Strides of the stages are ``first_stride``-2-2.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from spiketicket.errors import UserError
from spiketicket.models.blocks import (
    Block,
    DataShape,
    fire,
    make_neuron,
    normalise,
    over_time,
    scaled,
    time_first,
)
from spiketicket.neurons.lif import Kernel
from spiketicket.recipe import ModelConfig, NeuronConfig
from spiketicket.recipe.shapes import RESNET19_STAGES, resnet19_strides


class Config(ModelConfig):
    """Settings of the network beside those that all have."""

    name: Literal["resnet19"] = "resnet19"
    first_stride: Literal[1, 2] = 1
    """2 halves the image in the first stage already: a quarter of the work."""


class Residual(nn.Module):
    """Basic block on ``[T, B, C, H, W]``."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        stride: int,
        neurons: tuple[nn.Module, nn.Module],
        bn_affine: bool,
    ) -> None:
        super().__init__()
        first = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.first = Block(first, neurons[0], bn_affine=bn_affine, pool=False)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm = nn.BatchNorm2d(outputs, affine=bn_affine)
        self.shortcut: nn.Module | None = None
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.shortcut_norm = nn.BatchNorm2d(outputs, affine=bn_affine)
        self.neuron = neurons[1]

    def forward(self, x: Tensor, steps: int) -> Tensor:
        h = normalise(over_time(self.second, self.first(x, steps)), self.norm)
        if self.shortcut is not None:
            x = normalise(over_time(self.shortcut, x), self.shortcut_norm)
        return fire((h + x).to(x.dtype), self.neuron, steps)


class ResNet19(nn.Module):
    """Logits ``[B, classes]`` of images ``[B, C, H, W]`` or frames ``[T, B, C, H, W]``."""

    def __init__(
        self, config: Config, neuron: NeuronConfig, shape: DataShape, kernel: Kernel
    ) -> None:
        super().__init__()
        shrink = 4 * config.first_stride
        if shape.height < shrink or shape.width < shrink:
            raise UserError(
                f"resnet19 divides the image by {shrink}: it must be at least that large",
                where="model.name",
                value=(shape.height, shape.width),
            )
        self.timesteps = config.timesteps
        affine, width = config.bn_affine, scaled(64, config.width)

        def unit() -> nn.Module:
            return make_neuron(neuron, kernel)

        stem = nn.Conv2d(shape.channels, width, 3, padding=1, bias=False)
        self.stem = Block(stem, unit(), bn_affine=affine, pool=False)
        blocks = []
        plans = [plan for count, plan in RESNET19_STAGES for _ in range(count)]
        for plan, stride in zip(plans, resnet19_strides(config.first_stride), strict=True):
            outputs = scaled(plan, config.width)
            blocks.append(Residual(width, outputs, stride, (unit(), unit()), affine))
            width = outputs
        self.blocks = nn.ModuleList(blocks)
        hidden = nn.Linear(width, scaled(256, config.width))
        self.hidden = Block(hidden, unit(), bn_affine=False, pool=False)
        self.classifier = nn.Linear(hidden.out_features, shape.classes)

    def forward(self, x: Tensor) -> Tensor:
        steps = self.timesteps
        h = self.stem(time_first(x, steps), steps)
        for block in self.blocks:
            h = block(h, steps)
        h = self.hidden(h.mean((-2, -1)), steps)
        logits: Tensor = self.classifier(h.float().mean(0))
        return logits


def build(
    config: Config, neuron: NeuronConfig, shape: DataShape, kernel: Kernel = "auto"
) -> nn.Module:
    """The network; parameters are torch's own initial values, to be replaced by a seed's."""
    return ResNet19(config, neuron, shape, kernel)
