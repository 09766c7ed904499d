"""Spikformer: ConvPEP and softmax-free spiking attention, residuals that add spikes.

Zhou et al., ICLR 2023. Presets: nano (64, 2 blocks), tiny (192, 12), small (384, 12), 4-384 and
2-256, the last with ``qkv_bias = false`` as published. With ``neuron.name = "relu"`` and
``timesteps = 1`` it is the ANN twin; ``attention = "softmax"`` gives that twin standard attention.

Published parameter counts include arrays that the published forward pass never uses. They are
not here: 4-384 has 9,324,730 parameters and 2-256 (10 classes) 2,566,666, where the published
9,330,874 add two LayerNorms a block, and 2,585,610 also one more and a position embedding.
"""

from __future__ import annotations

from typing import Literal

from torch import nn

from spiketicket.models.blocks import DataShape
from spiketicket.models.transformer import SpikingTransformer, TransformerConfig
from spiketicket.neurons.lif import Kernel
from spiketicket.recipe import NeuronConfig


class Config(TransformerConfig):
    """Sizes and token choice: see :class:`TransformerConfig`."""

    name: Literal["spikformer"] = "spikformer"


def build(
    config: Config, neuron: NeuronConfig, shape: DataShape, kernel: Kernel = "auto"
) -> nn.Module:
    """The network; parameters are torch's own initial values, to be replaced by a seed."""
    return SpikingTransformer(config, neuron, shape, kernel, membrane=False)
