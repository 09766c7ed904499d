"""The arms of an experiment: the ticket and the controls it is judged against.

ticket            the search: frozen random weights, a mask found by scores
dense             the dense net of the same condition, trained
random_trained    a random mask of the ticket's density in every layer, its weights trained
random_frozen     such a mask on the frozen random weights; only BatchNorm statistics move

Biases start at zero. The trained controls train them, the ticket and the frozen control do not:
a ticket search trains no weight.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from spiketicket import registry
from spiketicket.errors import UserError
from spiketicket.methods._layers import WeightStart, norm_parameters, prunable, random_masks
from spiketicket.methods._trained import attach_trained
from spiketicket.models._blocks import DataShape
from spiketicket.philox import Stream
from spiketicket.recipe import ModelConfig, OptimizerConfig, Recipe, TrainConfig
from spiketicket.train import Trainee

ArmName = str
"""Name of a stage: its folder."""

TITLES: dict[ArmName, str] = {
    "ticket": "ticket",
    "dense": "dense, trained",
    "random_trained": "random mask, trained",
    "random_frozen": "random mask, frozen",
}


@dataclass(frozen=True)
class Arm:
    """One prepared arm: ``trainee.parameters`` is empty where nothing is trained."""

    name: ArmName
    trainee: Trainee
    bn_affine: bool
    model: ModelConfig | None = None
    """The network's config where it is not the recipe's."""
    train: TrainConfig | None = None
    """Its own budget, where it is not the recipe's."""


def arm_names(recipe: Recipe) -> tuple[ArmName, ...]:
    """The arms of a recipe, the ticket first: the random masks take their counts from it."""
    controls = recipe.controls
    wanted: dict[ArmName, bool] = {
        "ticket": True,
        "dense": controls.dense,
        "random_trained": controls.random_trained,
        "random_frozen": controls.random_frozen,
    }
    return tuple(name for name, on in wanted.items() if on)


def condition(recipe: Recipe) -> str:
    """The condition's name by neuron and weights (METHOD: ANN, BNN, BinAct-BNN, SNN, BinW-SNN)."""
    known = {
        ("relu", "float"): "ANN",
        ("relu", "binary"): "BNN",
        ("sign", "binary"): "BinAct-BNN",
        ("lif", "float"): "SNN",
        ("lif", "binary"): "BinW-SNN",
    }
    neuron, weights = recipe.neuron.name, recipe.model.weights
    return known.get((neuron, weights), f"{neuron}, {weights} weights")


def build_network(recipe: Recipe, shape: DataShape, bn_affine: bool | None = None) -> nn.Module:
    """The recipe's network, with torch's own initial weights."""
    config = recipe.model
    if bn_affine is not None and bn_affine != config.bn_affine:
        config = config.model_copy(update={"bn_affine": bn_affine})
    module = registry.load("models", config.name)
    network: nn.Module = module.build(config, recipe.neuron, shape, recipe.train.kernel)
    for layer in prunable(network).values():
        # torch draws biases from its global stream, which no seed of ours reaches
        if isinstance(layer.bias, nn.Parameter):
            nn.init.zeros_(layer.bias)
    return network


def prepare(
    name: ArmName, recipe: Recipe, shape: DataShape, seed: int, device: torch.device,
    kept: Mapping[str, int] | None,
) -> Arm:  # fmt: skip
    """Build the network of an arm and attach what it trains.

    ``kept`` is the number of weights the ticket keeps in each layer; the random masks need it.
    """
    if name == "ticket":
        return _ticket_arm(recipe, shape, seed, device)
    affine = recipe.controls.bn_affine
    affine = recipe.model.bn_affine if affine is None or name == "random_frozen" else affine
    model = build_network(recipe, shape, affine).to(device)
    masks: dict[str, Tensor] | None = None
    if name != "dense":
        if kept is None:
            raise UserError("a random-mask control needs the ticket's own counts", where=name)
        shapes = {n: tuple(cast("Tensor", m.weight).shape) for n, m in prunable(model).items()}
        masks = random_masks(shapes, kept, Stream(seed, "random mask"))
    frozen = name == "random_frozen"
    parameters = attach_trained(
        model,
        binary=recipe.model.weights == "binary",
        seed=seed,
        # Trained weights start from a normal, the usual start of a dense net; frozen ones are
        # those of the ticket.
        start=_ticket_start(recipe) if frozen else WeightStart("kaiming_normal"),
        frozen=frozen,
        masks=masks,
    )
    if frozen:
        parameters = []
    return Arm(name, Trainee(model, parameters, recipe.train.weights), affine)


def _ticket_arm(recipe: Recipe, shape: DataShape, seed: int, device: torch.device) -> Arm:
    model = build_network(recipe, shape).to(device)
    method = registry.load("methods", recipe.ticket.name)
    search = method.attach(
        model, recipe.ticket, binary=recipe.model.weights == "binary", seed=seed,
        epochs=recipe.train.epochs,
    )  # fmt: skip
    parameters = list(search.parameters())
    optimizer: OptimizerConfig = recipe.train.scores
    if recipe.model.bn_affine:
        parameters += norm_parameters(model)
    trainee = Trainee(
        model, parameters, optimizer, search.update, search.restore, search.complete_after
    )
    return Arm("ticket", trainee, recipe.model.bn_affine)


def _ticket_start(recipe: Recipe) -> WeightStart:
    method = registry.load("methods", recipe.ticket.name)
    start: WeightStart = method.weight_start(recipe.ticket, recipe.model.weights == "binary")
    return start
