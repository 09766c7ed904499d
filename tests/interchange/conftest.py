"""Small networks with BatchNorm statistics that let neurons fire."""

import pytest
import torch
from torch import nn

from spiketicket.models.blocks import DataShape
from spiketicket.neurons import lif
from spiketicket.recipe import registry

SHAPE = DataShape(channels=1, height=16, width=16, classes=10)


def _network(name="convnet", neuron=None, shape=SHAPE, **options):
    module = registry.load("models", name)
    torch.manual_seed(0)
    made = module.build(module.Config(**options), neuron or lif.Config(), shape, "eager")
    for part in made.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.1)
            part.running_var.uniform_(0.03, 0.1)
    return made.eval()


def _images(count=6, shape=SHAPE):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, shape.channels, shape.height, shape.width, generator=generator)


@pytest.fixture(scope="session")
def network():
    return _network


@pytest.fixture(scope="session")
def images():
    return _images
