"""A search in a training loop of one's own.

search = spiketicket.attach(net, "edge_popup", density=0.5)
optimizer = torch.optim.Adam(search.parameters(), lr=0.02)
...
    optimizer.step()
    search.update()
search.ticket().save("my.ticket")
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn.utils import parametrize

from spiketicket.errors import UserError
from spiketicket.experiment import custom
from spiketicket.experiment.custom import Logits, Weights
from spiketicket.experiment.folder import SeedFolder
from spiketicket.experiment.loader import Loader
from spiketicket.experiment.traced import with_graph_or_reason
from spiketicket.machine.typed import typed
from spiketicket.methods.method import require_density
from spiketicket.methods.score_search import PopupWeight, ScoreConfig, ramp_epochs
from spiketicket.methods.usable import require_searchable
from spiketicket.models.custom import LEFT, mean_over_time
from spiketicket.models.of_ticket import to_ticket
from spiketicket.models.probe import copied
from spiketicket.models.prunable import TrainedWeight, is_left
from spiketicket.recipe import MethodConfig, TrainConfig
from spiketicket.ticket import Ticket
from spiketicket.training.loop import Trainee

_STEPS = "steps"
"""Buffer of the first layer's parametrization: updates so far, kept in the model's state."""


class Search:
    """A search that :func:`attach` has put on a network.

    The network's ``state_dict`` holds all of it: weights, scores, masks, and the number of updates.
    Save it with the optimizer's, attach to a network of the same kind with the same arguments, and
    load both to go on.
    """

    def __init__(
        self,
        model: nn.Module,
        trainee: Trainee,
        config: MethodConfig,
        *,
        weights: Weights,
        seed: int,
        steps_per_epoch: int,
        logits: Logits = mean_over_time,
        batch: tuple[Tensor, Tensor] | None = None,
    ) -> None:
        self._logits, self._batch = logits, batch
        self.model, self.config, self.weights, self.seed = model, config, weights, seed
        self._trainee, self._steps_per_epoch, self._updates = trainee, steps_per_epoch, 0
        first = self._layers()[0]
        first.register_buffer(_STEPS, torch.zeros((), dtype=torch.int64, device=first.mask.device))
        model.register_load_state_dict_post_hook(self._loaded)

    def parameters(self) -> list[nn.Parameter]:
        """What the optimizer has to move: the scores, or the weights under their masks and what
        else of the network is trained.
        """
        return list(self._trainee.parameters)

    @property
    def updates(self) -> int:
        """How often :meth:`update` was called, before and after any loading of a state."""
        return self._updates

    def update(self) -> None:
        """Compute the masks anew; to be called after every step of the optimizer."""
        self._layers()[0].steps.add_(1)
        self._updates += 1
        for callback in self._trainee.callbacks:
            callback.on_step_end(self._updates / self._steps_per_epoch)

    def ticket(self, validation: float | None = None) -> Ticket:
        """The ticket as it is now; the network stays attached and can be trained on.

        Args:
            validation: the accuracy in percent, to be written into the file.

        Raises:
            UserError: more is kept than the density asks for, as its schedule is not over.
        """
        masks = [layer.mask for layer in self._layers()]
        kept, size = sum(int(m.sum()) for m in masks), sum(m.numel() for m in masks)
        if kept > self.config.density * size + len(masks):  # each layer's number is rounded
            raise UserError(
                f"the density is {kept / size:.3g} after {self._updates} updates, and is to be"
                f" {self.config.density:g}",
                where="ticket",
                remedy="Call update() after every step of the optimizer, until the schedule that"
                " epochs and steps_per_epoch give is over",
            )
        said = custom.metadata(
            self.model, self.config, weights=self.weights, seed=self.seed, validation=validation
        )
        made = to_ticket(self.model, said)
        if self._batch is None:
            return made
        return with_graph_or_reason(made, _plain(self.model), self._batch, self._logits)

    def _layers(self) -> list[Any]:
        """The parametrizations that the search has put on the network."""
        found = _held(self.model)
        if not found:
            remedy = "Call ticket() before the network is made plain again, or attach anew"
            raise UserError("the network is not attached any more", where="search", remedy=remedy)
        return found

    def _loaded(self, model: nn.Module, keys: object) -> None:
        """Take over what a state that was loaded says; a hook of the model."""
        del keys
        if held := _held(model):  # else it is plain again
            self._updates = int(held[0].steps)
            for callback in self._trainee.callbacks:
                callback.on_state_loaded()


def _held(model: nn.Module) -> list[Any]:
    inside = (getattr(layer, "parametrizations", {}) for layer in model.modules())
    weights = [cast("Any", made)["weight"][0] for made in inside if "weight" in made]
    return [made for made in weights if isinstance(made, PopupWeight | TrainedWeight)]


@typed
def attach(
    model: nn.Module,
    method: str = "edge_popup",
    *,
    density: float = 0.5,
    weights: Weights = "binary",
    seed: int = 0,
    epochs: int | None = None,
    steps_per_epoch: int | None = None,
    loader: Iterable[Any] | None = None,
    batch: tuple[Any, Any] | None = None,
    options: dict[str, Any] | None = None,
    train_norms: bool = False,
    logits: Logits | None = None,
    leave: tuple[str, ...] = (),
) -> Search:
    """Put a search on ``model``, in place, to be trained in a loop of your own.

    Every convolution and linear layer gets random weights of ``seed`` in place of its own, and
    computes with them under a mask. Make the optimizer afterwards, of ``search.parameters()``, call
    ``search.update()`` after each of its steps, and ``search.ticket()`` in the end. Before every
    batch, reset the state of the neurons (:func:`spiketicket.reset_state`). With the same batches,
    optimizer and learning rates the ticket is that of :func:`spiketicket.search`.
    ``torch.nn.utils.parametrize.cached()`` around a forward pass of several time steps computes
    every layer's weight once.

    Args:
        method: ``edge_popup``, ``signed_supermask``, or one that prunes weights in a single
            training: ``gradual``, ``snip``, ``synflow``, ``random_mask``.
        density: fraction of the weights kept, in (0, 1).
        weights: ``binary`` keeps alpha times the sign, ``float`` the weights themselves.
        epochs: how long the training will be, and with
        steps_per_epoch: when masks change; needed by ``gradual``, and by a ramp of a search over
            scores.
        loader: batches ``(inputs, classes)``, as of :func:`spiketicket.search`: ``snip`` and
            ``synflow`` look at them. It also gives ``steps_per_epoch``.
        batch: a single one, in place of a loader, on the model's device; ``snip`` then uses all its
            samples.
        options: further fields of the method's ``Config``.
        train_norms: also train the scale and shift of normalisation layers. Biases are trained by
            the methods that train weights, and stay as they are in a search over scores.
        logits: makes ``[B, classes]`` of what the model returns, as of :func:`spiketicket.search`.
        leave: layers, by path, that are no part of the ticket and stay as they are.

    Raises:
        UserError: no layer to search, a network that is attached already or that a search would
            not do justice to, a density that keeps nothing, a method of several trainings, or no
            ``epochs``, ``steps_per_epoch`` or batch where the method needs them.
    """
    if loader is not None and batch is not None:
        raise UserError("give a loader or a batch, not both", where="attach")
    if steps_per_epoch is not None and steps_per_epoch < 1:
        raise UserError("must be 1 or more", where="steps_per_epoch", value=steps_per_epoch)
    custom.require_weights(weights)
    config = custom.method_config(method, density, options, where="attach")
    to_logits = logits or mean_over_time
    budget = _budget(epochs, method)
    with _as_it_was_on_errors(model):
        custom.freeze(model, config, train_norms=train_norms, leave=leave)
        require_searchable(model)
        require_density(config, model)
        data = None
        if loader is not None or batch is not None:
            source, where = (loader, "loader") if batch is None else ([batch], "batch")
            data = Loader(source=cast("Iterable[Any]", source), where=where, seed=seed)
            data = replace(data, outputs=custom.require_network(model, data, to_logits))
            if batch is None:
                steps_per_epoch = steps_per_epoch or data.steps
            elif method == "snip" and "samples" not in (options or {}):
                config = config.model_copy(update={"samples": len(data.first()[1])})
        batches = _Data(method, data, epochs, steps_per_epoch)
        if isinstance(config, ScoreConfig) and ramp_epochs(config, budget.epochs):
            batches.require_schedule()
        stages = custom.stages(config, budget, model)
        if len(stages) > 1:
            raise UserError(
                f"trains the network {len(stages)} times: {', '.join(s.name for s in stages)}",
                where="method",
                value=method,
                remedy="Use spiketicket.search(model, loader, method=...), which does one training"
                " after another",
            )
        scene = custom.scene_of(
            config,
            custom.model_config(model, weights),
            stages[0],
            batches,
            seed=seed,
            place=SeedFolder(Path()),
            build=lambda network: model,
        )
        with custom.giving_logits(model, to_logits):
            trainee = custom.prepare(stages[0], scene).trainee
    per_epoch = steps_per_epoch or 1
    return Search(
        model,
        trainee,
        config,
        weights=weights,
        seed=seed,
        steps_per_epoch=per_epoch,
        logits=to_logits,
        batch=None if data is None else data.first(),
    )


def _plain(model: nn.Module) -> nn.Module:
    """A copy of an attached network without what is attached."""
    made = copied(model)
    for layer in made.modules():
        if "weight" in getattr(layer, "parametrizations", {}):
            parametrize.remove_parametrizations(layer, "weight")
    return made


@contextmanager
def _as_it_was_on_errors(model: nn.Module) -> Iterator[None]:
    """Put back which parameters are trained, and which layers are left."""
    flags = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    left = {module for module in model.modules() if is_left(module)}
    try:
        yield
    except BaseException:
        for parameter, flag in flags:
            parameter.requires_grad_(flag)
        for module in model.modules():
            if module not in left:
                module.__dict__.pop(LEFT, None)
        raise


@dataclass(frozen=True)
class _Data:
    """What a method may ask for before the training, and the error where it was not given."""

    method: str
    loader: Loader | None
    epochs: int | None
    per_epoch: int | None

    def require_schedule(self) -> None:
        """Refuse a search whose masks change with the epochs, where nobody said how many."""
        missing = [] if self.epochs is not None else ["epochs"]
        missing += [] if self.per_epoch is not None else ["steps_per_epoch"]
        if missing:
            raise UserError(
                f"{self.method} prunes more and more over the training, and needs to know how long"
                f" it is: {' and '.join(missing)}",
                where="attach",
                remedy="Use attach(model, ..., epochs=10, steps_per_epoch=len(loader))",
            )

    @property
    def steps(self) -> int:
        """Batches in an epoch."""
        self.require_schedule()
        return cast("int", self.per_epoch)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of an epoch."""
        if self.loader is None:
            raise UserError(
                f"{self.method} looks at data before the training",
                where="attach",
                remedy="Use attach(model, ..., loader=loader), or batch=(inputs, classes)",
            )
        return self.loader.epoch(epoch, start)


def _budget(epochs: int | None, method: str) -> TrainConfig:
    try:
        return TrainConfig(epochs=1 if epochs is None else epochs, batch_size=1)
    except ValidationError as error:
        raise custom.wrong_settings(error, method, where="attach") from error
