"""Tickets as a search makes them, without a search: random masks and signs, calibrated BatchNorm.

A net whose BatchNorm has the statistics of real images fires as a trained one does, and a mask of
a trained ticket looks random to a kernel. Accuracy is chance; time is not.
"""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import torch
from torch import nn

from spiketicket.data import load_dataset
from spiketicket.data.of_ticket import find_test_data
from spiketicket.experiment.provenance import provenance, versions
from spiketicket.experiment.setup import Experiment
from spiketicket.measure.observe import observed
from spiketicket.methods.building import build_network
from spiketicket.methods.masks import kept_count
from spiketicket.methods.weights import fan_in
from spiketicket.models.blocks import time_first
from spiketicket.models.of_ticket import from_ticket, load_into
from spiketicket.models.prunable import prunable
from spiketicket.recipe import Recipe, parse_recipe
from spiketicket.streams import Stream
from spiketicket.ticket import Ticket, TicketLayer
from spiketicket.training.statistics import estimate_statistics

NETS: dict[str, dict[str, Any]] = {
    "vgg9": {"name": "vgg9"},
    "resnet19": {"name": "resnet19"},
    "spikformer": {
        "name": "spikformer",
        "preset": "tiny",
        "keep": 0.69,
        "ranking": "firing_rate",
        "ranker": "own",
        "activation": "step",
        "step": "neuron",
    },
    "spikformer-binary": {"name": "spikformer", "preset": "tiny"},
}
RATE_IMAGES, BATCH, BATCHES = 64, 64, 2
THRESHOLD = 1.1
"""Fires from 11 to 18 % of the time, as trained nets do; at 1 some layers fire more."""


def random_ticket(net: str, density: float, seed: int) -> Ticket:
    """A ticket for CIFAR-10 at T = 4 whose binary layers all have ``density``.

    Of ``spikformer`` these are ConvPEP's alone, as in a MultiSp ticket; its other layers are float
    and whole. Of ``spikformer-binary`` they are all, as edge-popup on the whole net makes them.
    """
    recipe = _recipe(net, density)
    experiment = Experiment(
        recipe=recipe,
        dataset=load_dataset(recipe.data),
        device=torch.device("cpu"),
        precision="fp32",
    )
    model = build_network(recipe, experiment.shape)
    layers = tuple(
        _layer(name, layer, density, Stream(seed, name), binary=_is_binary(net, name))
        for name, layer in prunable(model).items()
    )
    names = {f"{layer.name}.weight" for layer in layers}
    load_into(model, Ticket(layers, _rest(model, names)))
    _calibrate(model, experiment, seed)
    data = experiment.dataset
    args = {
        "model": recipe.model.model_dump(mode="json"),
        "neuron": recipe.neuron.model_dump(mode="json"),
        "shape": experiment.shape.__dict__,
    }
    return Ticket(
        layers,
        _rest(model, names),
        {
            "network": {"name": recipe.model.name, "args": args},
            "normalisation": {"mean": list(data.mean), "std": list(data.std)},
            "classes": list(data.classes),
            "seed": seed,
            "eval_batch_size": BATCH,
            **provenance(experiment),
            "condition": "random mask and signs, calibrated BatchNorm",
            "licence": data.licence,
            "versions": versions(),
        },
    )


def firing_rates(ticket: Ticket, path: Path) -> dict[str, float]:
    """Mean output of every layer of neurons on test images, over neurons and steps."""
    model = from_ticket(ticket)
    with observed(model) as seen, torch.no_grad():
        for x, _ in find_test_data(ticket, path).batches("cpu", RATE_IMAGES):
            model(x)
    neurons = seen.operations().neurons
    return {n.name: round(sum(n.rate) / len(n.rate), 4) for n in neurons}


def _recipe(net: str, density: float) -> Recipe:
    return parse_recipe(
        {
            "name": f"random-{net}",
            "data": {"name": "cifar10"},
            "model": {**NETS[net], "timesteps": 4, "weights": "binary"},
            "neuron": {"name": "lif", "decay": 0.5, "v_threshold": THRESHOLD},
            "ticket": {"name": "edge_popup", "density": density},
            "train": {"epochs": 1, "batch_size": BATCH},
        }
    )


def _is_binary(net: str, name: str) -> bool:
    return net != "spikformer" or name.startswith("conv_pep.")


def _layer(
    name: str, layer: nn.Module, density: float, stream: Stream, *, binary: bool
) -> TicketLayer:
    shape = tuple(layer.weight.shape)
    size = math.prod(shape)
    std = math.sqrt(2 / fan_in(shape))
    mask = torch.ones(size, dtype=torch.bool)
    if not binary:
        values = (stream.child("values").normal(size) * std).astype("float32").reshape(shape)
        return TicketLayer(
            name=name, shape=shape, kind="float", mask=mask.view(shape).numpy(), values=values
        )
    order = torch.from_numpy(stream.child("mask").permutation(size))
    mask[order[kept_count(size, density, name) :]] = False
    signs = torch.from_numpy(stream.child("signs").signs(size)).to(torch.int8) * mask
    return TicketLayer(
        name=name,
        shape=shape,
        kind="binary",
        mask=mask.view(shape).numpy(),
        alpha=std / math.sqrt(density),
        signs=signs.view(shape).numpy(),
    )


def _rest(model: nn.Module, names: set[str]) -> dict[str, Any]:
    return {k: v.detach().numpy() for k, v in model.state_dict().items() if k not in names}


def _calibrate(model: nn.Module, experiment: Experiment, seed: int) -> None:
    """BatchNorm statistics from training images."""
    batches, _ = experiment.split(seed)
    selector = getattr(model, "selector", None)
    with torch.no_grad():
        if selector is not None:
            # It is a trained net's own, and whoever trains a net leaves it as it is.
            whole = _Whole(selector.conv_pep, model.timesteps)
            estimate_statistics(whole, itertools.islice(batches.epoch(0), BATCHES))
        estimate_statistics(model, itertools.islice(batches.epoch(0), BATCHES))
    model.eval()


class _Whole(nn.Module):
    """A ConvPEP on images."""

    def __init__(self, conv_pep: nn.Module, steps: int) -> None:
        super().__init__()
        self.conv_pep, self.steps = conv_pep, steps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv_pep(time_first(x, self.steps), self.steps)
