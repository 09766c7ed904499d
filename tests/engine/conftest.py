"""Tickets of random networks of every kind, with BatchNorm statistics that make neurons fire."""

import numpy as np
import pytest
import torch
from torch import nn

from spiketicket.models.encoder import build_model, encoder_of
from spiketicket.recipe import registry
from spiketicket.recipe.shapes import DataShape
from spiketicket.ticket import Ticket, TicketLayer


def random_model(name, shape, model, neuron, rng):
    """A network in evaluation mode whose statistics are about those of random data."""
    models, neurons = registry.load("models", name), registry.load("neurons", neuron["name"])
    config, unit = models.Config(**model), neurons.Config(**neuron)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(rng.integers(2**31)))
        net = build_model(config, unit, shape, "eager")
        if (encoder := encoder_of(net)) is not None:
            drawn = rng.normal(0, 1.5, tuple(encoder.filters.shape)).astype(np.float32)
            encoder.fit(torch.from_numpy(drawn))
        norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
        for norm in norms:
            norm.momentum = 0.7
        size = (3, shape.channels, shape.height, shape.width)
        frames = (config.timesteps,) if shape.frames > 1 else ()
        for part in (net, getattr(net, "selector", None)):
            if part is not None:
                nn.Module.train(part, True)
        for part in net.modules():
            part.training = True
        with torch.no_grad():
            for _ in range(4):
                net(torch.randn(*frames, *size))
    for norm in norms:
        # so that more than the few neurons fire that a mean of 0 would let fire
        up = torch.from_numpy(rng.uniform(0, 1, norm.num_features)).float()
        norm.running_mean -= up * norm.running_var.sqrt()
        if norm.affine:
            scale = torch.from_numpy(rng.normal(1, 0.7, norm.num_features)).float()
            with torch.no_grad():
                norm.weight.copy_(scale)
                norm.bias.copy_(torch.from_numpy(rng.normal(0, 0.3, norm.num_features)))
    args = {"model": config.model_dump(mode="json"), "neuron": unit.model_dump(mode="json")}
    return net.eval(), {**args, "shape": dict(shape.__dict__)}


def as_ticket(name, net, args, rng, *, density=0.5, dense=(), alpha=None):
    """A ticket with random masks; layers named in ``dense`` stay in the state dict."""
    layers, tensors = [], {k: v.detach().numpy().copy() for k, v in net.state_dict().items()}
    for path, module in net.named_modules():
        if not isinstance(module, nn.Conv2d | nn.Linear) or path in dense:
            continue
        weight = tensors.pop(f"{path}.weight")
        mask = rng.random(weight.shape) < density
        mask.ravel()[0] = True
        if args["model"]["weights"] == "float":
            values = np.where(mask, weight, np.float32(0))
            layers.append(_layer(path, "float", mask, values=values))
        else:
            signs = (np.sign(weight) + (weight == 0)).astype(np.int8) * mask
            scale = float(np.abs(weight).mean()) if alpha is None else alpha
            layers.append(_layer(path, "binary", mask, signs=signs, alpha=scale))
    channels = args["shape"]["channels"]
    metadata = {
        "network": {"name": name, "args": args},
        "normalisation": {"mean": [0.4] * channels, "std": [0.3] * channels},
        "classes": [f"class {i}" for i in range(args["shape"]["classes"])],
    }
    return Ticket(tuple(layers), tensors, metadata)


def random_ticket(name, shape=None, model=None, neuron=None, seed=0, **options):
    """A ticket of a small network; ``model`` and ``neuron`` are fields of their configs."""
    rng = np.random.default_rng(seed)
    small = {
        "convnet": {"width": 0.2},
        "vgg9": {"width": 0.07, "hidden": 150},
        "resconv6": {"width": 0.1},
        "resnet19": {"width": 0.06},
    }.get(name, {"dim": 16, "depth": 2, "heads": 2, "pools": 2})
    side = 16 if name in ("spikformer", "sdt") else 8
    shape = shape or DataShape(channels=2, height=side, width=side, classes=5)
    net, args = random_model(
        name, shape, {"timesteps": 3, **small, **(model or {})}, neuron or {"name": "lif"}, rng
    )
    return as_ticket(name, net, args, rng, **options)


def _layer(path, kind, mask, **parts):
    return TicketLayer(name=path, shape=mask.shape, kind=kind, mask=mask, **parts)


@pytest.fixture(name="random_ticket", scope="session")
def _random_ticket():
    return random_ticket
