"""A ticket of the shipped digits whose masks and signs are random: nothing is trained."""

from pathlib import Path

import numpy as np
import pytest
import torch

from spiketicket.data import load_dataset
from spiketicket.experiment.provenance import provenance
from spiketicket.experiment.setup import Experiment
from spiketicket.methods.building import build_network
from spiketicket.models.prunable import prunable
from spiketicket.recipe import parse_recipe
from spiketicket.ticket import Ticket, TicketLayer


def random_ticket() -> Ticket:
    recipe = parse_recipe(
        {
            "name": "tiny",
            "data": {"name": "digits"},
            "model": {"name": "convnet", "width": 0.25, "timesteps": 2},
            "neuron": {"name": "lif"},
            "ticket": {"name": "edge_popup", "density": 0.5},
            "train": {"epochs": 1, "batch_size": 16, "tune": "off"},
        }
    )
    experiment = Experiment(
        recipe=recipe,
        dataset=load_dataset(recipe.data),
        device=torch.device("cpu"),
        precision="fp32",
    )
    model, rng = build_network(recipe, experiment.shape), np.random.default_rng(0)
    layers = []
    for name, layer in prunable(model).items():
        signs = rng.choice([-1, 0, 1], tuple(layer.weight.shape)).astype(np.int8)
        layers.append(
            TicketLayer(
                name=name,
                shape=signs.shape,
                kind="binary",
                mask=signs != 0,
                alpha=0.3,
                signs=signs,
            )
        )
    weights = {f"{layer.name}.weight" for layer in layers}
    state = {k: v.numpy() for k, v in model.state_dict().items() if k not in weights}
    data = experiment.dataset
    args = {
        "model": recipe.model.model_dump(mode="json"),
        "neuron": recipe.neuron.model_dump(mode="json"),
        "shape": experiment.shape.__dict__,
    }
    return Ticket(
        tuple(layers),
        state,
        {
            "network": {"name": "convnet", "args": args},
            "normalisation": {"mean": list(data.mean), "std": list(data.std)},
            "eval_batch_size": 16,
            **provenance(experiment),
        },
    )


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bench") / "tiny.ticket"
    random_ticket().save(path)
    return path
