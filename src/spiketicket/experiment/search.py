"""A ticket search on a custom network: any ``nn.Module`` with convolutions or linear layers.

ticket = spiketicket.search(MyNet(), loader, validation=val_loader, density=0.5, epochs=10)
ticket.save("my.ticket")
net = spiketicket.load_into(MyNet(), spiketicket.Ticket.load("my.ticket"))
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn.utils import parametrize

from spiketicket.errors import UserError
from spiketicket.experiment import search_key
from spiketicket.experiment.loader import Loader
from spiketicket.machine.files import explained
from spiketicket.machine.typed import typed
from spiketicket.methods.usable import require_usable
from spiketicket.methods.weights import norm_parameters
from spiketicket.models.custom import leave as leave_as_they_are
from spiketicket.models.custom import mean_over_time, reset_state
from spiketicket.models.of_ticket import to_ticket
from spiketicket.models.probe import Probe, copied, said
from spiketicket.progress import NullReporter, Reporter
from spiketicket.recipe import ScoreOptimizerConfig, TrainConfig, registry
from spiketicket.ticket import Ticket
from spiketicket.training.evaluate import Evaluation, evaluate
from spiketicket.training.forward import autocast
from spiketicket.training.loop import Trainee, Training, Validate, fit

__all__ = ["reset_state", "search"]

Logits = Callable[[Any], Tensor]
_FEW = 8
"""Samples that a network is probed with."""


@typed
def search(
    model: nn.Module,
    loader: Iterable[Any],
    *,
    validation: Iterable[Any] | None = None,
    density: float = 0.5,
    weights: Literal["binary", "float"] = "binary",
    epochs: int = 10,
    lr: float = 0.02,
    precision: Literal["fp32", "bf16"] = "fp32",
    seed: int = 0,
    method: str = "edge_popup",
    options: dict[str, Any] | None = None,
    train_norms: bool = False,
    logits: Logits | None = None,
    leave: tuple[str, ...] = (),
    folder: Path | str | None = None,
    reporter: Reporter | None = None,
) -> Ticket:
    """Find a ticket in a copy of ``model``; the model itself is left as it is.

    Args:
        model: called with a batch of the loader. The state of SpikingJelly and snnTorch neurons
            is reset before every batch; those of norse keep none.
        loader: yields (inputs, classes); iterated once per epoch, must have a length. What is
            taken for a batch: :mod:`spiketicket.experiment.loader`. torch's random numbers are
            seeded from (seed, epoch) for it; an augmentation that draws from numpy or ``random``
            is the caller's to seed.
        validation: chooses the best epoch; without it the last epoch is taken.
        density: fraction of the weights kept, in (0, 1).
        weights: ``binary`` keeps alpha times the sign, ``float`` the random weights themselves.
        lr: learning rate of Adam on the scores.
        method: the search method.
        options: further fields of the method's ``Config``.
        train_norms: also train the scale and shift of normalisation layers.
        logits: makes ``[B, classes]`` of what the model returns; the default takes a tensor
            ``[B, classes]``, averages ``[T, B, classes]`` over time, and takes the output of
            norse's ``(output, state)``.
        leave: layers, by path, that are no part of the ticket and stay as they are.
        folder: keeps checkpoints there, so that a stopped search can be run again with the same
            arguments and goes on. A call with others is refused with what differs; to tell the
            data, one pass is made through the first epoch and the validation.

    Raises:
        UserError: no layer to search, a network that a search would not do justice to (see
            :mod:`spiketicket.methods.usable`), a density that keeps nothing, a batch that is
            none, a folder of another search, a loss that is not a number.
    """
    choice = registry.load("methods", method)
    try:
        config = choice.Config(name=method, density=density, **(options or {}))
        train = TrainConfig(
            epochs=epochs, batch_size=1, precision=precision, scores=ScoreOptimizerConfig(lr=lr)
        )
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, e['loc'])) or method}: {e['msg']}" for e in error.errors()]
        raise UserError("; ".join(lines), where="search") from error
    batches = Loader(source=loader, where="loader", seed=seed)
    net = copied(model)
    for parameter in net.parameters():
        parameter.requires_grad_(False)
    leave_as_they_are(net, leave)
    wrapped = _Resetting(net, logits or mean_over_time, explain=True)
    outputs = _require_usable(net, batches.first(), wrapped.logits)
    batches, judged = replace(batches, outputs=outputs), None
    if validation is not None:
        judged = Loader(source=validation, where="validation", seed=seed, outputs=outputs)
        with torch.no_grad():  # before an epoch is spent
            _Resetting(copied(net).eval(), wrapped.logits, explain=True)(judged.first()[0])
    settings = {
        "seed": seed,
        "weights": weights,
        "train_norms": train_norms,
        "leave": leave,
        "method": config.model_dump(mode="json"),
        "train": train.model_dump(mode="json"),
        "device": next(net.parameters()).device.type,
    }
    asked = None if folder is None else search_key.of_call(settings, logits, net)
    popup = choice.attach(net, config, binary=weights == "binary", seed=seed, epochs=epochs)
    parameters = list(popup.parameters())
    if train_norms:
        parameters += [p.requires_grad_(True) for p in norm_parameters(net)]
    trainee = Trainee(
        model=wrapped, parameters=parameters, optimizer=train.scores, callbacks=(popup,)
    )

    with _folder(folder) as place:
        key = ""
        if asked is not None:
            key = search_key.settled(place, asked | search_key.of_start(net, batches, judged))
        training = Training(title="ticket", seed=seed, folder=place, key=key)
        check = None if judged is None else _validation(judged, precision)
        fitted = fit(
            trainee,
            batches,
            check,
            config=train,
            training=training,
            reporter=reporter or NullReporter(),
        )
    metadata = {
        "network": {"name": type(model).__name__},
        "seed": seed,
        "method": config.model_dump(mode="json"),
        "weights": weights,
        "accuracy": {"validation": None if validation is None else 100 * fitted.validation},
    }
    return to_ticket(net, metadata)


def _require_usable(net: nn.Module, batch: tuple[Tensor, Tensor], logits: Logits) -> int:
    """Probe a network with a few samples of a batch, whichever axis of it they lie along.

    Returns the number of its logits.
    """
    problems = []
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
    return Probe(
        model=copied(net),
        x=x,
        forward=lambda m, x: _Resetting(m, logits)(x),
        where=type(net).__name__,
        inputs=f"[{', '.join(sizes)}]",
        axis=axis,
    )


def _validation(loader: Loader, precision: str) -> Validate:
    def validate(model: nn.Module) -> Evaluation:
        with autocast(next(model.parameters()).device, precision):
            return evaluate(model, loader)

    return validate


class _Resetting(nn.Module):
    """Resets neuron states, computes every layer's weight once, and makes logits.

    ``explain`` makes an error of the user's of what the network fails with.
    """

    def __init__(self, net: nn.Module, logits: Logits, *, explain: bool = False) -> None:
        super().__init__()
        self.net = net
        self.logits = logits
        self.explain = explain

    def forward(self, x: Tensor) -> Tensor:
        reset_state(self.net)
        try:
            with parametrize.cached():
                return self.logits(self.net(x))
        except (RuntimeError, TypeError, IndexError) as error:
            if not self.explain:
                raise
            raise UserError(
                f"fails in forward: {said(error)}",
                where=type(self.net).__name__,
                value=f"{x.dtype} {list(x.shape)}",
                remedy="It must take every batch of the loader",
            ) from error


@contextlib.contextmanager
def _folder(folder: Path | str | None) -> Iterator[Path]:
    if folder is not None:
        with explained(Path(folder), "folder"):
            Path(folder).mkdir(parents=True, exist_ok=True)
        yield Path(folder)
        return
    with tempfile.TemporaryDirectory() as scratch:
        yield Path(scratch)
