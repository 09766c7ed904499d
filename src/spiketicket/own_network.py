"""A ticket search on your own network: any ``nn.Module`` with convolutions or linear layers.

ticket = spiketicket.search(MyNet(), loader, validation=val_loader, density=0.5, epochs=10)
ticket.save("my.ticket")
net = spiketicket.load_into(MyNet(), spiketicket.Ticket.load("my.ticket"))
"""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn.utils import parametrize

from spiketicket import registry
from spiketicket.bake import to_ticket
from spiketicket.errors import UserError
from spiketicket.measure.accuracy import Evaluation, evaluate
from spiketicket.methods._layers import norm_parameters
from spiketicket.methods._usable import require_usable
from spiketicket.models._own import leave as leave_as_they_are
from spiketicket.models._own import mean_over_time, reset_state
from spiketicket.models._probe import Probe, copied
from spiketicket.philox import Stream
from spiketicket.recipe import ScoreOptimizerConfig, TrainConfig
from spiketicket.reporting import NullReporter, Reporter
from spiketicket.ticket import Ticket
from spiketicket.train import Stage, Trainee, Validate, autocast, fit

__all__ = ["reset_state", "search"]

Loader = Iterable[tuple[Tensor, Tensor]]
_FEW = 8
"""Samples that a network is probed with."""


def search(
    model: nn.Module, loader: Loader, *, validation: Loader | None = None, density: float = 0.5,
    weights: Literal["binary", "float"] = "binary", epochs: int = 10, lr: float = 0.02,
    precision: Literal["fp32", "bf16"] = "fp32", seed: int = 0, method: str = "edge_popup",
    options: dict[str, Any] | None = None, train_norms: bool = False,
    logits: Callable[[Any], Tensor] | None = None, leave: tuple[str, ...] = (),
    folder: Path | str | None = None, reporter: Reporter | None = None,
) -> Ticket:  # fmt: skip
    """Find a ticket in a copy of ``model``; the model itself is left as it is.

    Args:
        model: called with a batch of the loader. The state of SpikingJelly and snnTorch neurons
            is reset before every batch; those of norse keep none.
        loader: yields (inputs, classes int64 [b]); iterated once an epoch, must have a length.
            torch's random numbers are seeded from (seed, epoch) for it; an augmentation that
            draws from numpy or ``random`` is the caller's to seed.
        validation: chooses the best epoch; without it the last epoch is taken.
        density: fraction of the weights kept, in (0, 1).
        weights: ``binary`` keeps alpha times the sign, ``float`` the random weights themselves.
        lr: learning rate of Adam on the scores.
        method, options: the search method and further fields of its ``Config``.
        train_norms: also train the scale and shift of normalisation layers.
        logits: makes ``[B, classes]`` of what the model returns; the default takes a tensor
            ``[B, classes]``, averages ``[T, B, classes]`` over time, and takes the output of
            norse's ``(output, state)``.
        leave: layers, by path, that are no part of the ticket and stay as they are.
        folder: keeps checkpoints there, so that a stopped search can be run again with the same
            arguments and goes on.

    Raises:
        UserError: no layer to search, a network that a search would not do justice to (see
            :mod:`spiketicket.methods._usable`), a density that keeps nothing, a loss that is not
            a number.
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
    net = copied(model)
    for parameter in net.parameters():
        parameter.requires_grad_(False)
    leave_as_they_are(net, leave)
    wrapped = _Resetting(net, logits or mean_over_time)
    batches = _LoaderBatches(loader, seed)
    _require_usable(net, *batches.first(), wrapped.logits)
    popup = choice.attach(net, config, binary=weights == "binary", seed=seed, epochs=epochs)
    parameters = list(popup.parameters())
    if train_norms:
        parameters += [p.requires_grad_(True) for p in norm_parameters(net)]
    trainee = Trainee(wrapped, parameters, train.scores, popup.update, popup.restore)

    with _folder(folder) as place:
        shapes = sorted((k, tuple(v.shape)) for k, v in net.state_dict().items())
        key = repr((seed, train, config, weights, train_norms, validation is None, shapes))
        stage = Stage("ticket", seed, place, hashlib.sha256(key.encode()).hexdigest())
        check = None if validation is None else _validation(validation, precision)
        fitted = fit(trainee, batches, check, train, stage, reporter or NullReporter())
    metadata = {
        "network": {"name": type(model).__name__},
        "seed": seed,
        "method": config.model_dump(mode="json"),
        "weights": weights,
        "accuracy": {"validation": None if validation is None else 100 * fitted.validation},
    }
    return to_ticket(net, metadata)


def _require_usable(net: nn.Module, x: Tensor, y: Tensor, logits: Callable[[Any], Tensor]) -> None:
    """Probe a network with a few samples of a batch, whichever axis of it they lie along."""
    axes = [axis for axis in (0, 1) if x.dim() > 1 and x.shape[axis] == len(y)]
    problems = []
    for axis in axes or [0]:
        few = x.narrow(axis, 0, min(len(y), _FEW))
        sizes = list(map(str, few.shape))
        sizes[axis] = "B"
        probe = Probe(
            model=copied(net), x=few, forward=lambda m, x: _Resetting(m, logits)(x),
            where=type(net).__name__, inputs=f"[{', '.join(sizes)}]", axis=axis,
        )  # fmt: skip
        try:
            return require_usable(net, probe)
        except UserError as problem:
            problems.append(problem)
    raise problems[0]


def _validation(loader: Loader, precision: str) -> Validate:
    def validate(model: nn.Module) -> Evaluation:
        with autocast(next(model.parameters()).device, precision):
            return evaluate(model, loader)

    return validate


class _Resetting(nn.Module):
    """Resets neuron states, computes every layer's weight once, and makes logits."""

    def __init__(self, net: nn.Module, logits: Callable[[Any], Tensor]) -> None:
        super().__init__()
        self.net = net
        self.logits = logits

    def forward(self, x: Tensor) -> Tensor:
        reset_state(self.net)
        with parametrize.cached():
            return self.logits(self.net(x))


@dataclass(frozen=True)
class _LoaderBatches:
    """A loader as batches: its order and augmentation drawn anew from (seed, epoch)."""

    loader: Loader
    seed: int

    @property
    def steps(self) -> int:
        try:
            steps = len(self.loader)  # type: ignore[arg-type]
        except TypeError as error:
            raise UserError("the loader must have a length", where="loader") from error
        if not steps:
            raise UserError("the loader has no batch", where="loader")
        return steps

    def first(self) -> tuple[Tensor, Tensor]:
        """A batch."""
        if not self.steps:
            raise UserError("the loader has no batch", where="loader")
        with torch.random.fork_rng(devices=[]):
            x, y = next(iter(self.loader))
        return x, y

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        number = int(Stream(self.seed, "loader", epoch).bits(1)[0])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(number)
            generator = getattr(self.loader, "generator", None)
            if isinstance(generator, torch.Generator):
                generator.manual_seed(number)
            for step, (x, y) in enumerate(self.loader):
                if step >= start:
                    yield x, y


@contextlib.contextmanager
def _folder(folder: Path | str | None) -> Iterator[Path]:
    if folder is not None:
        Path(folder).mkdir(parents=True, exist_ok=True)
        yield Path(folder)
        return
    with tempfile.TemporaryDirectory() as scratch:
        yield Path(scratch)
