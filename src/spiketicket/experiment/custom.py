"""What a search on a custom network is made of: its settings, its stages, how it is called."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Literal, cast, get_args

import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn.utils import parametrize

from spiketicket.errors import UserError
from spiketicket.experiment.folder import SeedFolder
from spiketicket.experiment.loader import Loader
from spiketicket.machine.files import write_bytes
from spiketicket.methods.method import check_settings
from spiketicket.methods.scene import Prepared, Scene
from spiketicket.methods.stages import Stage, stages_of
from spiketicket.methods.usable import require_usable
from spiketicket.methods.weights import norm_parameters
from spiketicket.models.custom import leave as leave_as_they_are
from spiketicket.models.custom import reset_before, reset_state
from spiketicket.models.encoder import EncodedNetwork
from spiketicket.models.probe import Probe, copied, said
from spiketicket.recipe import (
    ControlsConfig,
    MethodConfig,
    ModelConfig,
    Recipe,
    TrainConfig,
    registry,
)
from spiketicket.recipe.shapes import encoder_words
from spiketicket.training.loop import Batches

Logits = Callable[[Any], Tensor]
Weights = Literal["binary", "float"]
_FEW = 8
"""Samples that a network is probed with."""
_REFUSED = {
    "channels": "removes whole channels, and no smaller network can be made of a custom one",
    "patches": "needs a network with patches, a transformer of this package",
    "multisp": "needs a network with patches, a transformer of this package",
}


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
    own = {"name": method, "density": density}
    if twice := [key for key in options or {} if key in own]:
        what = "is no option: the call has an argument for it"
        raise UserError(what, where="options", value=twice[0])
    try:
        config: MethodConfig = choice.Config.model_validate({**own, **(options or {})})
    except ValidationError as error:
        raise wrong_settings(error, method, where=where) from error
    if getattr(config, "fine_tune_epochs", 0):
        raise UserError(
            "fine-tuning is a stage of a run",
            where="options",
            value="fine_tune_epochs",
            remedy="Leave it out; `spiketicket find` with a recipe of the network has it",
        )
    return config


def require_weights(weights: str) -> None:
    """Refuse a kind of weights that there is not.

    Raises:
        UserError: so.
    """
    if weights not in get_args(Weights):
        raise UserError(f"must be {' or '.join(get_args(Weights))}", where="weights", value=weights)


def wrong_settings(error: ValidationError, method: str, *, where: str) -> UserError:
    """What is wrong with the arguments of a search, in one line."""
    lines = [
        f"{'.'.join(map(str, e['loc'])) or method}: {e['msg'].removeprefix('Value error, ')}"
        for e in error.errors()
    ]
    return UserError("; ".join(lines), where=where)


def stages(config: MethodConfig, train: TrainConfig, net: nn.Module) -> tuple[Stage, ...]:
    """The trainings of a search on a network, the ticket's last; each has its schedule.

    Raises:
        UserError: the method does not go with this network or this number of epochs.
    """
    if config.name == "early_time" and not isinstance(getattr(net, "timesteps", None), int):
        raise UserError(
            "needs a network that says how many time steps it runs: an attribute `timesteps`,"
            " a whole number that its forward reads, as the search sets it to fewer",
            where="method",
            value=config.name,
            remedy="Give the network that attribute, or use another method",
        )
    recipe = Recipe.model_construct(
        name="search",
        ticket=config,
        train=train,
        model=model_config(net, "float"),
        controls=ControlsConfig(dense=False, random_trained=False, random_frozen=False),
    )
    check_settings(recipe)
    return tuple(replace(stage, train=stage.schedule(recipe)) for stage in stages_of(recipe))


def prepare(stage: Stage, scene: Scene) -> Prepared:
    """Attach what a stage trains to the scene's network, in place.

    Raises:
        UserError: as the method says.
    """
    made: Prepared = registry.load("methods", scene.config.name).prepare(stage, scene)
    return made


def scene_of(
    config: MethodConfig,
    network: ModelConfig,
    stage: Stage,
    batches: Batches,
    *,
    seed: int,
    place: SeedFolder,
    build: Callable[[ModelConfig], nn.Module],
) -> Scene:
    """What a method has at hand of a custom network."""
    return Scene(
        config=config,
        model_config=network,
        build=build,
        seed=seed,
        train=cast("TrainConfig", stage.train),
        batches=batches,
        own=place.stage(stage.name),
        earlier=place.stage,
        write=write_bytes,
    )


def model_config(net: nn.Module, weights: Weights) -> ModelConfig:
    """The little that is known of a custom network."""
    timesteps = getattr(net, "timesteps", 1)
    return ModelConfig.model_construct(name="custom", timesteps=timesteps, weights=weights)


def freeze(
    net: nn.Module, config: MethodConfig, *, train_norms: bool, leave: tuple[str, ...]
) -> None:
    """Say which parameters a search may train, beside those that it adds.

    Raises:
        UserError: there is no layer of a name in ``leave``.
    """
    if config.trains == "scores":
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
    network = {"name": type(model).__name__}
    if isinstance(model, EncodedNetwork):
        encoder = encoder_words("whiten")
        network = {"name": type(model.network).__name__, "encoder": encoder}
    return {
        "network": network,
        "seed": seed,
        "method": config.model_dump(mode="json"),
        "weights": weights,
        "accuracy": {"validation": validation},
    }
