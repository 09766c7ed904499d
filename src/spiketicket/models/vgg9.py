"""VGG-9: six 3x3 convolutions, two hidden linear layers, a classifier, no biases.

    64-64-M-128-128-M-256-256-M-fc256-fc256-classes

for 32x32 images. Larger ones are pooled after the other convolutions too, the first ones first,
until 4x4 positions (or as near as the pools come) are left. 2,261,184 weights at 10 classes, three
channels and width 1 (Cheng et al. 2024 give the layer plan; the layer
sizes are Diffenderfer & Kailkhura's VGG-small family scaled to nine layers).
"""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Interval, Len
from torch import Tensor, nn

from spiketicket.models.blocks import (
    Block,
    DataShape,
    Pooling,
    conv_block,
    make_neuron,
    scaled,
    time_first,
)
from spiketicket.neurons.lif import Kernel
from spiketicket.recipe import ModelConfig, NeuronConfig
from spiketicket.recipe.shapes import VGG9_PLAN, vgg9_pools


class Config(ModelConfig):
    """Settings of the network beside those that all have."""

    name: Literal["vgg9"] = "vgg9"
    hidden: Annotated[int, Interval(ge=1, le=2**20)] = 256
    """Size of the two hidden linear layers at width 1."""
    pools: Annotated[int, Interval(ge=3, le=6)] | None = None
    """Convolutions that a 2x2 pooling follows; None leads to 4x4 positions."""
    pooling: Pooling = "max"
    """How the image is halved; ``stride`` gives those convolutions a stride of 2 instead."""
    channels: Annotated[tuple[Annotated[int, Interval(ge=1, le=65536)], ...], Len(8, 8)] | None = (
        None
    )
    """Outputs of the six convolutions and the two hidden layers, in place of the plan times
    ``width``."""


class VGG9(nn.Module):
    """Logits ``[B, classes]`` of images ``[B, C, H, W]`` or frames ``[T, B, C, H, W]``."""

    def __init__(
        self, config: Config, neuron: NeuronConfig, shape: DataShape, kernel: Kernel
    ) -> None:
        super().__init__()
        pooled = vgg9_pools(shape, config.pools)
        self.timesteps = config.timesteps
        affine, channels = config.bn_affine, shape.channels
        blocks = []
        plan = [scaled(p, config.width) for p in (*(p for p, _ in VGG9_PLAN), *2 * [config.hidden])]
        widths = config.channels or plan
        for width, pool in zip(widths, pooled, strict=False):
            block = conv_block(
                channels,
                width,
                make_neuron(neuron, kernel),
                bn_affine=affine,
                halve=pool,
                pooling=config.pooling,
            )
            blocks.append(block)
            channels = width
        self.features = nn.ModuleList(blocks)
        pools = sum(pooled)
        size, hidden = channels * (shape.height >> pools) * (shape.width >> pools), []
        for width in widths[len(pooled) :]:
            linear = nn.Linear(size, width, bias=False)
            hidden.append(Block(linear, make_neuron(neuron, kernel), bn_affine=affine, pool=False))
            size = width
        self.hidden = nn.ModuleList(hidden)
        self.classifier = nn.Linear(size, shape.classes, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        steps = self.timesteps
        h = time_first(x, steps)
        for block in self.features:
            h = block(h, steps)
        h = h.flatten(2)
        for block in self.hidden:
            h = block(h, steps)
        logits: Tensor = self.classifier(h.float().mean(0))
        return logits


def build(
    config: Config, neuron: NeuronConfig, shape: DataShape, kernel: Kernel = "auto"
) -> nn.Module:
    """The network; parameters are torch's own initial values, to be replaced by a seed's."""
    return VGG9(config, neuron, shape, kernel)
