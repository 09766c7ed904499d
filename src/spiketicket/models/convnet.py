"""A small convolutional network for small images: three 3x3 convolutions and a linear classifier.

c-M-2c-M-4c-classes, c = 32 at width 1; the last convolution is pooled too where the image has
at least 16 pixels a side, in multiples of 8.
"""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Interval
from torch import Tensor, nn

from spiketicket.models.blocks import (
    DataShape,
    Pooling,
    conv_block,
    make_neuron,
    scaled,
    time_first,
)
from spiketicket.neurons.lif import Kernel
from spiketicket.recipe import ModelConfig, NeuronConfig
from spiketicket.recipe.shapes import CONVNET_PLAN, convnet_pools

Positive = Annotated[int, Interval(ge=1, le=65536)]


class Config(ModelConfig):
    """Settings of the network beside those that all have."""

    name: Literal["convnet"] = "convnet"
    pooling: Pooling = "max"
    """How the image is halved: max or average pooling, or strided convolutions."""
    channels: tuple[Positive, Positive, Positive] | None = None
    """Outputs of the three convolutions, in place of the plan times ``width``."""


class ConvNet(nn.Module):
    """Logits ``[B, classes]`` of images ``[B, C, H, W]`` or frames ``[T, B, C, H, W]``."""

    def __init__(
        self, config: Config, neuron: NeuronConfig, shape: DataShape, kernel: Kernel
    ) -> None:
        super().__init__()
        pooled = convnet_pools(shape)
        self.timesteps = config.timesteps
        channels, blocks = shape.channels, []
        widths = config.channels or [scaled(plan, config.width) for plan in CONVNET_PLAN]
        for width, pool in zip(widths, pooled, strict=True):
            block = conv_block(
                channels,
                width,
                make_neuron(neuron, kernel),
                bn_affine=config.bn_affine,
                halve=pool,
                pooling=config.pooling,
            )
            blocks.append(block)
            channels = width
        self.features = nn.ModuleList(blocks)
        size = channels * (shape.height >> sum(pooled)) * (shape.width >> sum(pooled))
        self.classifier = nn.Linear(size, shape.classes, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        h = time_first(x, self.timesteps)
        for block in self.features:
            h = block(h, self.timesteps)
        logits: Tensor = self.classifier(h.flatten(2).float().mean(0))
        return logits


def build(
    config: Config, neuron: NeuronConfig, shape: DataShape, kernel: Kernel = "auto"
) -> nn.Module:
    """The network; parameters are torch's own initial values, to be replaced by a seed's."""
    return ConvNet(config, neuron, shape, kernel)
