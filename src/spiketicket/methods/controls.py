"""The stages of an experiment: the ticket and the controls it is judged against.

ticket            the search: frozen random weights, a mask found by scores
dense             the dense net of the same condition, trained
random_trained    a random mask of the ticket's density in every layer, its weights trained
random_frozen     such a mask on the frozen random weights; only BatchNorm statistics move
ticket_finetuned         the ticket, its mask fixed, surviving weights trained further
ticket_finetune_control  as many steps for everything but the ticket's weights, where there is any

Biases start at zero. The trained controls train them, the ticket and the frozen control do not:
a ticket search trains no weight.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from spiketicket.errors import UserError
from spiketicket.methods.layers import WeightStart, norm_parameters, random_masks
from spiketicket.methods.usable import require_usable
from spiketicket.methods.weights import attach_kept, attach_trained
from spiketicket.models.blocks import DataShape
from spiketicket.models.probe import inputs_probe
from spiketicket.models.prunable import prunable
from spiketicket.recipe import (
    ModelConfig,
    NeuronConfig,
    OptimizerConfig,
    Recipe,
    TrainConfig,
    registry,
)
from spiketicket.recipe.weight_shapes import weight_shapes
from spiketicket.streams import Stream
from spiketicket.ticket import Ticket
from spiketicket.ticket.codec import MAX_WEIGHTS
from spiketicket.training.forward import called
from spiketicket.training.loop import Trainee

StageName = str
"""Name of a stage: its folder."""

TUNED = ("ticket_finetuned", "ticket_finetune_control")


@dataclass(frozen=True)
class PreparedStage:
    """One prepared stage: ``trainee.parameters`` is empty where nothing is trained."""

    name: StageName
    trainee: Trainee
    bn_affine: bool
    model: ModelConfig | None = None
    """The network's config where it is not the recipe's."""
    train: TrainConfig | None = None
    """Its own budget, where it is not the recipe's."""
    keeps: bool = False
    """Whether its weights are kept beside its ticket, for later stages."""
    finish: Callable[[], Mapping[str, Any]] | None = None
    """Called once with the trained network; gives what a search found out."""
    search: bool = False
    """Whether it is a training of a search, and not its ticket or a control."""
    search_passes: int = 0
    """Samples that were passed forward and back to prepare it."""
    dense_weights: int | None = None
    """What its density refers to, where its network is smaller than the dense one."""


def stage_names(recipe: Recipe) -> tuple[StageName, ...]:
    """The stages of a recipe, the ticket first: the random masks take their counts from it."""
    controls = recipe.controls
    wanted: dict[StageName, bool] = {
        "ticket": True,
        "dense": controls.dense,
        "random_trained": controls.random_trained,
        "random_frozen": controls.random_frozen,
        "ticket_finetuned": tuning_epochs(recipe) > 0,
        "ticket_finetune_control": tuning_epochs(recipe) > 0 and has_rest(recipe),
    }
    return tuple(name for name, on in wanted.items() if on)


def tuning_epochs(recipe: Recipe) -> int:
    """Epochs of fine-tuning; 0 where there is none."""
    return int(getattr(recipe.ticket, "fine_tune_epochs", 0))


def has_rest(recipe: Recipe) -> bool:
    """Whether fine-tuning has a control: the net has something to train beside the weights.

    That is a bias, or BatchNorm's scale and shift where fine-tuning trains them.
    """
    return _has_rest(recipe.model, recipe.neuron, _tuned_affine(recipe))


@functools.lru_cache(maxsize=64)
def _has_rest(model: ModelConfig, neuron: NeuronConfig, affine: bool) -> bool:
    # What a network is made of does not depend on its images; every network takes this size.
    shape = DataShape(channels=1, height=64, width=64, classes=2, frames=model.timesteps)
    network = registry.load_network(model.name)
    with torch.device("meta"):
        changed = model.model_copy(update={"bn_affine": affine})
        built = network.build(changed, neuron, shape, "eager")
    weights = {id(layer.weight) for layer in prunable(built).values()}
    return any(id(parameter) not in weights for parameter in built.parameters())


def _tuned_affine(recipe: Recipe) -> bool:
    return recipe.model.bn_affine or bool(getattr(recipe.ticket, "fine_tune_bn_affine", False))


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
    _require_size(config, shape)
    module = registry.load_network(config.name)
    network: nn.Module = module.build(config, recipe.neuron, shape, recipe.train.kernel)
    if registry.is_custom(config.name) and not any(p.is_meta for p in network.parameters()):
        _require_usable(network, shape, recipe.train.batch_size)
    for layer in prunable(network).values():
        # torch draws biases from its global stream, which no seed of ours reaches
        if isinstance(layer.bias, nn.Parameter):
            nn.init.zeros_(layer.bias)
    return network


def _require_size(config: ModelConfig, shape: DataShape) -> None:
    """Refuse a network larger than a ticket can be, before its memory is asked for."""
    count = 0
    for name, weight in weight_shapes(config.name, config.model_dump(), shape) or ():
        count += math.prod(weight)
        if count > MAX_WEIGHTS:
            raise UserError(
                f"a network has at most {MAX_WEIGHTS} weights, and this has more from {name} on",
                where="model",
                value=config.model_dump(exclude_defaults=True),
                remedy="Make it smaller",
            )


def _require_usable(network: nn.Module, shape: DataShape, batch_size: int) -> None:
    """Refuse a custom network that cannot be searched on data of this shape."""
    require_usable(network, inputs_probe(network, shape), classes=shape.classes)
    if batch_size == 1:
        probe = inputs_probe(network, shape)
        called(probe.model.train(), probe.x.narrow(probe.axis, 0, 1), 1)


def prepare(
    name: StageName,
    recipe: Recipe,
    shape: DataShape,
    seed: int,
    device: torch.device,
    kept: Mapping[str, int] | None,
    seed_folder: Path | None = None,
) -> PreparedStage:
    """Build the network of a stage and attach what it trains.

    ``kept`` is the number of weights the ticket keeps in each layer; the random masks need it.
    ``seed_folder`` has the stages before it: fine-tuning starts from the ticket.

    Raises:
        UserError: what the stage needs of the ticket is not given.
    """
    if name == "ticket":
        return _ticket_stage(recipe, shape, seed, device)
    if name in TUNED:
        if seed_folder is None:
            raise UserError("fine-tuning starts from the ticket's folder", where=name)
        return _tuned_stage(name, recipe, shape, device, seed_folder / "ticket" / "model.ticket")
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
    return PreparedStage(name, Trainee(model, parameters, recipe.train.weights), affine)


def _ticket_stage(
    recipe: Recipe, shape: DataShape, seed: int, device: torch.device
) -> PreparedStage:
    model = build_network(recipe, shape).to(device)
    method = registry.load("methods", recipe.ticket.name)
    search = method.attach(
        model,
        recipe.ticket,
        binary=recipe.model.weights == "binary",
        seed=seed,
        epochs=recipe.train.epochs,
    )
    parameters = list(search.parameters())
    optimizer: OptimizerConfig = recipe.train.scores
    if recipe.model.bn_affine:
        parameters += norm_parameters(model)
    trainee = Trainee(
        model, parameters, optimizer, search.update, search.restore, search.complete_after
    )
    return PreparedStage("ticket", trainee, recipe.model.bn_affine)


def _tuned_stage(
    name: StageName, recipe: Recipe, shape: DataShape, device: torch.device, path: Path
) -> PreparedStage:
    affine = _tuned_affine(recipe)
    model = build_network(recipe, shape, affine).to(device)
    ticket = Ticket.load(path)
    load_state(model, ticket, path)
    found = attach_kept(model, {layer.name: layer for layer in ticket.layers}, frozen=False)
    if name == "ticket_finetune_control":
        for parameter_name, parameter in model.named_parameters():
            parameter.requires_grad_(not parameter_name.endswith(".original"))
        found = [p for p in found if p.requires_grad]
    train = tuning_budget(recipe.train, tuning_epochs(recipe))
    return PreparedStage(name, Trainee(model, found, recipe.train.weights), affine, train=train)


def tuning_budget(train: TrainConfig, epochs: int) -> TrainConfig:
    """The training of a fine-tuning stage: at all time steps from the start."""
    return train.model_copy(update={"epochs": epochs, "timestep_ramp": ()})


def shorter(train: TrainConfig, epochs: int) -> TrainConfig:
    """The training of a stage with another number of epochs, as large a part of them at fewer
    time steps.
    """
    share = epochs / train.epochs
    ramp = tuple((math.floor(e * share), t) for e, t in train.timestep_ramp)
    short = tuple((e, t) for e, t in ramp if e)
    return train.model_copy(update={"epochs": epochs, "timestep_ramp": short})


def load_state(
    model: nn.Module, ticket: Ticket, path: Path, prefixes: tuple[str, ...] = ("",)
) -> None:
    """Copy into a model what a ticket has of it below some prefixes.

    Raises:
        UserError: the ticket, from ``path``, is for another network.
    """
    state = {
        k: torch.from_numpy(v.copy()) for k, v in ticket.state().items() if k.startswith(prefixes)
    }
    _, unexpected = model.load_state_dict(state, strict=False)
    if unexpected:
        raise UserError("the ticket is for another network", where=str(path), value=unexpected[0])


def _ticket_start(recipe: Recipe) -> WeightStart:
    method = registry.load("methods", recipe.ticket.name)
    start: WeightStart = method.weight_start(recipe.ticket, recipe.model.weights == "binary")
    return start
