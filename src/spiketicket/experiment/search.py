"""A ticket search on a custom network: any ``nn.Module`` with convolutions or linear layers.

ticket = spiketicket.search(MyNet(), loader, validation=val_loader, density=0.5, epochs=10)
ticket.save("my.ticket")
net = spiketicket.load_into(MyNet(), spiketicket.Ticket.load("my.ticket"))
"""

from __future__ import annotations

import contextlib
import math
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from pydantic import ValidationError
from torch import nn

from spiketicket.errors import UserError
from spiketicket.experiment import custom, search_key
from spiketicket.experiment.custom import Logits, Weights
from spiketicket.experiment.display import reporting
from spiketicket.experiment.folder import SeedFolder, StageFolder
from spiketicket.experiment.loader import Loader
from spiketicket.experiment.results import read_result, write_result
from spiketicket.experiment.traced import with_graph_or_reason
from spiketicket.machine.above import notebook
from spiketicket.machine.bounded import parse_json, read_regular
from spiketicket.machine.files import explained, write_bytes
from spiketicket.machine.typed import typed
from spiketicket.methods.method import require_density
from spiketicket.methods.scene import Prepared
from spiketicket.methods.stages import Stage
from spiketicket.methods.states import save_plain
from spiketicket.models.custom import mean_over_time, reset_state
from spiketicket.models.of_ticket import to_ticket
from spiketicket.models.probe import copied
from spiketicket.progress import PlannedStage, Reporter, tell_plan
from spiketicket.recipe import MethodConfig, ModelConfig, TrainConfig
from spiketicket.ticket import Ticket
from spiketicket.training.evaluate import Evaluation, evaluate
from spiketicket.training.forward import autocast
from spiketicket.training.loop import Fitted, Training, Validate, fit

__all__ = ["Searched", "reset_state", "search"]


@dataclass(frozen=True, eq=False, repr=False)
class Searched(Ticket):
    """The ticket of a search, with how the search went.

    ``history`` has a row for every epoch of every training: ``stage``, ``seed``, ``epoch`` from 0,
    ``loss`` and ``accuracy``, and with a validation ``validation_loss`` and
    ``validation_accuracy``; accuracies are fractions.
    """

    drawn_by: ClassVar[str] = "searched_html"

    history: tuple[Mapping[str, Any], ...] = ()

    @property
    def ticket(self) -> Ticket:
        """The ticket alone, as it is saved."""
        metadata = {k: v for k, v in self.metadata.items() if k != "format_version"}
        return Ticket(self.layers, self.tensors, metadata)

    def plot(self) -> Any:
        """The training curves, as figures that a notebook shows; ``save(folder)`` writes them."""
        return notebook("history_figures", "search", self.history)


@typed
def search(
    model: nn.Module,
    loader: Iterable[Any],
    *,
    validation: Iterable[Any] | None = None,
    density: float = 0.5,
    weights: Weights = "binary",
    epochs: int = 10,
    lr: float | None = None,
    precision: Literal["fp32", "bf16"] = "fp32",
    seed: int = 0,
    method: str = "edge_popup",
    options: dict[str, Any] | None = None,
    train_norms: bool = False,
    logits: Logits | None = None,
    leave: tuple[str, ...] = (),
    folder: Path | str | None = None,
    reporter: Reporter | Sequence[Reporter] | None = None,
    progress: bool = True,
) -> Searched:
    """Find a ticket in a copy of ``model``; the model itself is left as it is.

    The weights of its layers are drawn anew, from ``seed``. To search in a training loop of your
    own: :func:`spiketicket.attach`.

    Args:
        model: called with a batch of the loader. The state of SpikingJelly and snnTorch neurons
            is reset before every batch; those of norse keep none.
        loader: yields (inputs, classes); iterated once per epoch, must have a length. What is
            taken for a batch: :mod:`spiketicket.experiment.loader`. torch's random numbers are
            seeded from (seed, epoch) for it; an augmentation that draws from numpy or ``random``
            is the caller's to seed.
        validation: chooses the best epoch; without it the last epoch is taken.
        density: fraction of the weights kept, in (0, 1).
        weights: ``binary`` keeps alpha times the sign, ``float`` the weights themselves.
        epochs: of each training; a method that needs several runs them one after another.
        lr: learning rate of Adam on the scores of ``edge_popup`` and ``signed_supermask`` (0.02),
            or of AdamW on the weights that the other methods train (0.002).
        method: any of them but those that need a network of this package (``channels``,
            ``patches``, ``multisp``). ``early_time`` reads and sets the network's ``timesteps``.
        options: further fields of the method's ``Config``.
        precision: of the forward passes in training; ``bf16`` is faster where the processor has it.
        seed: of the weights and the scores, and of torch's random numbers.
        train_norms: also train the scale and shift of normalisation layers. Biases are trained by
            the methods that train weights, and stay as they are in a search over scores.
        logits: makes ``[B, classes]`` of what the model returns; the default takes a tensor
            ``[B, classes]``, averages ``[T, B, classes]`` over time, and takes the output of
            norse's ``(output, state)``.
        leave: layers, by path, that are no part of the ticket and stay as they are.
        folder: keeps checkpoints there, in a folder per training, so that a stopped search can be
            run again with the same arguments and goes on. A call with others is refused with what
            differs; to tell the data, one pass is made through the first epoch and the validation.
        reporter: is told of every epoch, see :class:`spiketicket.progress.Reporter`; or several.
        progress: whether the search shows itself, as a bar on a terminal and as lines elsewhere.

    Returns:
        The ticket, which also has the ``history`` of the search, and ``plot()``.

    Raises:
        UserError: no layer to search, a network that a search would not do justice to (see
            :mod:`spiketicket.methods.usable`), a density that keeps nothing, a batch that is
            none, a folder of another search, a loss that is not a number.
    """
    custom.require_weights(weights)
    leave = tuple(sorted(set(leave), key=str))  # in any order it is the same search
    config = custom.method_config(method, density, options, where="search")
    train = _schedule(config, epochs, precision, lr)
    to_logits = logits or mean_over_time
    batches = Loader(source=loader, where="loader", seed=seed)
    net = copied(model)
    custom.freeze(net, config, train_norms=train_norms, leave=leave)
    batches = replace(batches, outputs=custom.require_network(net, batches, to_logits))
    judged = None
    if validation is not None:
        judged = Loader(source=validation, where="validation", seed=seed, outputs=batches.outputs)
        # before an epoch is spent
        with torch.no_grad(), custom.giving_logits(copied(net).eval(), to_logits) as other:
            custom.Explained(other)(judged.first()[0])
    require_density(config, net)
    stages = custom.stages(config, train, net)
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
    check = None if judged is None else _validation(judged, precision)

    def build(config: ModelConfig) -> nn.Module:
        made = copied(net)
        made.timesteps = config.timesteps  # type: ignore[assignment]
        return made

    history: list[dict[str, Any]] = []
    shown = reporting("search", progress=progress, reporter=reporter)
    with _folder(folder) as place, custom.giving_logits(net, to_logits), shown as listener:
        key = ""
        if asked is not None:
            key = search_key.settled(place, asked | search_key.of_start(net, batches, judged))
        tell_plan(listener, [PlannedStage(s.name, seed, _scheduled(s)) for s in stages])
        for stage in stages:
            own, last = SeedFolder(place).stage(stage.name), stage is stages[-1]
            if not last and _is_done(own, key):
                history += _rows(stage.name, seed, _logged(own.log))
                continue
            with explained(own.path, "folder"):
                own.path.mkdir(exist_ok=True)
            scene = custom.scene_of(
                config,
                custom.model_config(net, weights),
                stage,
                batches,
                seed=seed,
                place=SeedFolder(place),
                build=build,
            )
            made = custom.prepare(stage, scene)
            trainee = replace(made.trainee, model=custom.Explained(made.trainee.model))
            training = Training(
                title=stage.name,
                seed=seed,
                checkpoint=own.checkpoint,
                log=own.log,
                key=f"{key}/{stage.name}",
            )
            fitted = fit(
                trainee,
                batches,
                check,
                config=scene.train,
                training=training,
                reporter=listener,
            )
            history += _rows(stage.name, seed, fitted.history)
            listener.stage_finished(stage.name, _summary(fitted))
            if not last:
                _keep(own, made, key)
    accuracy = None if validation is None else 100 * fitted.validation
    said = custom.metadata(model, config, weights=weights, seed=seed, validation=accuracy)
    found = to_ticket(made.trainee.model, said)
    found = with_graph_or_reason(found, model, batches.first(), to_logits)
    return Searched(found.layers, found.tensors, found.metadata, tuple(history))


def _schedule(config: MethodConfig, epochs: int, precision: str, lr: float | None) -> TrainConfig:
    rate = {} if lr is None else {"lr": lr}
    settings = {"epochs": epochs, "batch_size": 1, "precision": precision, config.trains: rate}
    try:
        return TrainConfig.model_validate(settings)
    except ValidationError as error:
        raise custom.wrong_settings(error, config.name, where="search") from error


def _keep(own: StageFolder, made: Prepared, key: str) -> None:
    """Leave what later trainings read."""
    write_bytes(own.weights, save_plain(made.trainee.model))
    write_result(own.result, {"key": key, "search": dict(made.finish())})
    own.checkpoint.unlink()


def _scheduled(stage: Stage) -> int:
    """The epochs of a training of a search, at most."""
    most = stage.train.epochs if stage.train is not None else 0
    return min(stage.stops_after or most, most)


def _summary(fitted: Fitted) -> str:
    if math.isnan(fitted.validation):
        return f"{fitted.epochs:g} epochs trained"
    return f"{100 * fitted.validation:.2f}% on the validation set"


def _rows(stage: str, seed: int, epochs: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{"stage": stage, "seed": seed, **epoch} for epoch in epochs]


def _logged(path: Path) -> list[dict[str, Any]]:
    """The epochs of a training that was done before; none where its log is gone or damaged."""
    try:
        lines = read_regular(path).decode().splitlines()
        return [dict(parse_json(line, constants=True)) for line in lines]
    except (OSError, UserError, ValueError, TypeError):
        return []


def _is_done(folder: StageFolder, key: str) -> bool:
    """Whether a training has left what later ones read.

    Raises:
        UserError: it was that of another search.
    """
    found = read_result(folder.result)
    if found is not None and found.get("key") != key:
        remedy = "Delete the folder, or give another one"
        raise UserError("is of another search", where=str(folder.path), remedy=remedy)
    return found is not None


def _validation(loader: Loader, precision: str) -> Validate:
    def validate(model: nn.Module) -> Evaluation:
        with autocast(next(model.parameters()).device, precision):
            return evaluate(model, loader)

    return validate


@contextlib.contextmanager
def _folder(folder: Path | str | None) -> Iterator[Path]:
    if folder is not None:
        with explained(Path(folder), "folder"):
            Path(folder).mkdir(parents=True, exist_ok=True)
        yield Path(folder)
        return
    with tempfile.TemporaryDirectory() as scratch:
        yield Path(scratch)
