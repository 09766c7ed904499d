"""What a search on a custom network is made of: its settings, its stages, how it is called."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn.utils import parametrize

from spiketicket.errors import UserError
from spiketicket.experiment.loader import Loader
from spiketicket.machine.files import write_bytes
from spiketicket.methods import edge_popup, trainings
from spiketicket.methods.layers import kept_count, norm_parameters
from spiketicket.methods.pruning import Plan, Prepared, PruningConfig, Scene, require_density
from spiketicket.methods.usable import require_usable
from spiketicket.models.custom import leave as leave_as_they_are
from spiketicket.models.custom import reset_before, reset_state
from spiketicket.models.probe import Probe, copied, said
from spiketicket.models.prunable import prunable
from spiketicket.recipe import MethodConfig, ModelConfig, Recipe, TrainConfig, registry
from spiketicket.training.callback import StopAfter
from spiketicket.training.loop import Batches, Trainee

Logits = Callable[[Any], Tensor]
Weights = Literal["binary", "float"]
_FEW = 8
"""Samples that a network is probed with."""
_REFUSED = {
    "channels": "removes whole channels, and no smaller network can be made of a custom one",
    "patches": "needs a network with patches, a transformer of this package",
    "multisp": "needs a network with patches, a transformer of this package",
}


@dataclass(frozen=True)
class CustomStage:
    """One training of a search, with its schedule; ``plan`` is None where scores are trained."""

    name: str
    train: TrainConfig
    plan: Plan | None = None


def method_config(
    method: str, density: float, options: dict[str, Any] | None, *, where: str
) -> MethodConfig:
    """The settings of a method that can be run on a custom network.

    Raises:
        UserError: it cannot, or it has no such settings.
    """
    choice = registry.load("methods", method)
    if method in _REFUSED:
        remedy = "Use another method; `spiketicket find` with a recipe has this one"
        raise UserError(_REFUSED[method], where="method", value=method, remedy=remedy)
    try:
        config: MethodConfig = choice.Config(name=method, density=density, **(options or {}))
    except ValidationError as error:
        raise wrong_settings(error, method, where=where) from error
    return config


def wrong_settings(error: ValidationError, method: str, *, where: str) -> UserError:
    """What is wrong with the arguments of a search, in one line."""
    lines = [f"{'.'.join(map(str, e['loc'])) or method}: {e['msg']}" for e in error.errors()]
    return UserError("; ".join(lines), where=where)


def stages(config: MethodConfig, train: TrainConfig, net: nn.Module) -> tuple[CustomStage, ...]:
    """The trainings of a search on a network, the ticket's last.

    Raises:
        UserError: the method does not go with this network or this number of epochs.
    """
    if not isinstance(config, PruningConfig):
        return (CustomStage(trainings.TICKET, train),)
    if config.name == "early_time" and not isinstance(getattr(net, "timesteps", None), int):
        raise UserError(
            "needs a network that says how many time steps it runs: an attribute `timesteps`,"
            " a whole number that its forward reads, as the search sets it to fewer",
            where="method",
            value=config.name,
            remedy="Give the network that attribute, or use another method",
        )
    recipe = Recipe.model_construct(
        name="search", ticket=config, train=train, model=model_config(net)
    )
    if hasattr(choice := registry.load("methods", config.name), "check"):
        choice.check(recipe)
    found = trainings.plans(recipe)
    trainings.schedules(recipe)
    return tuple(CustomStage(p.name, trainings.budget(recipe, p.name), p) for p in found)


def prepare(stage: CustomStage, scene: Scene) -> Prepared:
    """Attach what a stage trains to the scene's network, in place.

    Raises:
        UserError: as the method says.
    """
    net, config = scene.model, scene.config
    choice = registry.load("methods", config.name)
    if stage.plan is None:
        epochs = stage.train.epochs
        popup = choice.attach(net, config, binary=scene.binary, seed=scene.seed, epochs=epochs)
        norms = [p for p in norm_parameters(net) if p.requires_grad]
        parameters = [*popup.parameters(), *norms]
        return Prepared(Trainee(net, parameters, stage.train.scores, callbacks=(popup,)))
    made: Prepared = choice.prepare(stage.plan, scene)
    if stage.plan.stops_after:
        callbacks = (*made.trainee.callbacks, StopAfter(stage.plan.stops_after))
        made = replace(made, trainee=replace(made.trainee, callbacks=callbacks))
    return made


def scene_of(
    net: nn.Module,
    config: MethodConfig,
    stage: CustomStage,
    batches: Batches,
    *,
    weights: Weights,
    seed: int,
    folder: Path,
    build: Callable[[ModelConfig], nn.Module],
) -> Scene:
    """What a method has at hand of a custom network."""
    return Scene(
        config=config,
        model=net,
        model_config=model_config(net),
        build=build,
        binary=weights == "binary",
        seed=seed,
        train=stage.train,
        batches=batches,
        folder=folder,
        write=write_bytes,
    )


def model_config(net: nn.Module) -> ModelConfig:
    """The little that is known of a custom network."""
    timesteps = getattr(net, "timesteps", 1)
    return ModelConfig.model_construct(name="custom", timesteps=timesteps)


def require_kept(config: MethodConfig, net: nn.Module) -> None:
    """Refuse a density at which nothing would be kept, before anything is trained."""
    sizes = {n: cast("Tensor", layer.weight).numel() for n, layer in prunable(net).items()}
    if isinstance(config, PruningConfig):
        require_density(config, sizes)
    else:
        for name, size in sizes.items():
            kept_count(size, config.density, f"layer {name}")


def freeze(
    net: nn.Module, config: MethodConfig, *, train_norms: bool, leave: tuple[str, ...]
) -> None:
    """Say which parameters a search may train, beside those that it adds.

    Raises:
        UserError: there is no layer of a name in ``leave``.
    """
    if isinstance(config, edge_popup.Config):
        for parameter in net.parameters():
            parameter.requires_grad_(False)
    for parameter in norm_parameters(net):
        parameter.requires_grad_(train_norms)
    leave_as_they_are(net, leave)


@contextmanager
def giving_logits(net: nn.Module, logits: Logits) -> Iterator[nn.Module]:
    """The network, which in the context forgets its state before a call and gives logits.

    Copies of it go on to do so.
    """

    def after(net: nn.Module, inputs: Any, output: Any) -> Tensor:
        del net, inputs
        return logits(output)

    with net.register_forward_pre_hook(reset_before), net.register_forward_hook(after):
        yield net


class Explained(nn.Module):
    """Computes every layer's weight once a call, and makes an error of the user's of what the
    network fails with.
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``[B, classes]`` of a network that gives them."""
        try:
            with parametrize.cached():
                made: Tensor = self.net(x)
                return made
        except (RuntimeError, TypeError, IndexError) as error:
            raise UserError(
                f"fails in forward: {said(error)}",
                where=type(self.net).__name__,
                value=f"{x.dtype} {list(x.shape)}",
                remedy="It must take every batch of the loader",
            ) from error


def require_network(net: nn.Module, loader: Loader, logits: Logits) -> int:
    """Probe a network with a few samples of a batch, whichever axis of it they lie along.

    Returns the number of its logits.

    Raises:
        UserError: a search would not do it justice (:mod:`spiketicket.methods.usable`).
    """
    batch, problems = loader.first(), []
    for axis in (0, 1):
        if axis < batch[0].dim() and batch[0].shape[axis] == len(batch[1]):
            try:
                return require_usable(net, _probe(net, batch, axis, logits))
            except UserError as problem:
                problems.append(problem)
    raise problems[0]


def _probe(net: nn.Module, batch: tuple[Tensor, Tensor], axis: int, logits: Logits) -> Probe:
    x = batch[0].narrow(axis, 0, min(len(batch[1]), _FEW))
    if x.shape[axis] == 1:  # of which BatchNorm has no statistics
        x = torch.cat([x, x], axis)
    sizes = list(map(str, x.shape))
    sizes[axis] = "B"

    def forward(model: nn.Module, x: Tensor) -> Tensor:
        reset_state(model)
        with parametrize.cached():
            return logits(model(x))

    return Probe(
        model=copied(net),
        x=x,
        forward=forward,
        where=type(net).__name__,
        inputs=f"[{', '.join(sizes)}]",
        axis=axis,
    )


def metadata(
    model: nn.Module,
    config: MethodConfig,
    *,
    weights: Weights,
    seed: int,
    validation: float | None,
) -> dict[str, Any]:
    """What a ticket of a custom network says of its search; ``validation`` in percent."""
    return {
        "network": {"name": type(model).__name__},
        "seed": seed,
        "method": config.model_dump(mode="json"),
        "weights": weights,
        "accuracy": {"validation": validation},
    }
