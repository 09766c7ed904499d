"""The training loop, the same for a ticket search and for every control.

Plain and resumable: what a step does is a function of the checkpoint before it and of
(seed, epoch, step). The best epoch is chosen on the validation split, the earlier one in a tie.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from spiketicket.errors import UserError
from spiketicket.machine.claims import Guard, unguarded
from spiketicket.machine.files import write_bytes
from spiketicket.machine.workers import ALONE, Workers
from spiketicket.progress import Reporter, tell_doing, tell_resumed
from spiketicket.recipe import OptimizerConfig, TrainConfig
from spiketicket.streams import share
from spiketicket.training import checkpoint
from spiketicket.training.checkpoint import Progress
from spiketicket.training.evaluate import Evaluation
from spiketicket.training.forward import called, drawing


@dataclass(frozen=True)
class Trainee:
    """A model and what the optimizer may move in it.

    Args:
        model: maps a batch ``[B, ...]`` to logits ``[B, classes]``.
        parameters: what is trained; nothing else of the model is.
        optimizer: its settings.
        after_step: called after every optimizer step with the epochs done so far (fractional).
        restored: called after a state was loaded into the model.
        complete_after: whether the model after an epoch is what was asked for (a density ramp is
            over): only such epochs are chosen from.
        also: further parameters with settings of their own, such as the scores of a part.
        fresh_statistics: whether BatchNorm statistics are estimated anew before an epoch is
            judged. The running averages lag behind a mask that still moves.
        start_step: optimizer steps of the schedule that lie behind the model as it is given, as
            after rewinding; the learning rate and the batches go on from there.
        stop_after: whether the training ends with an epoch, although the schedule has more.
        optimizer_made: called once with the optimizer, for what also changes its state.
    """

    model: nn.Module
    parameters: list[nn.Parameter]
    optimizer: OptimizerConfig
    after_step: Callable[[float], None] = lambda epoch: None
    restored: Callable[[], None] = lambda: None
    complete_after: Callable[[int], bool] = lambda epoch: True
    also: tuple[list[nn.Parameter], OptimizerConfig] | None = None
    fresh_statistics: bool = False
    start_step: int = 0
    stop_after: Callable[[int], bool] = lambda epoch: False
    optimizer_made: Callable[[torch.optim.Optimizer], None] = lambda optimizer: None


class Batches(Protocol):
    """Training batches that are a function of (epoch, step)."""

    @property
    def steps(self) -> int:
        """Batches in an epoch."""

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Inputs and classes int64 ``[b]`` of every batch of an epoch, from batch ``start`` on."""


Validate = Callable[[nn.Module], Evaluation]
"""Measures the model on the validation split; leaves its mode as it found it."""


@dataclass(frozen=True)
class Training:
    """One training: its title, seed, the folder it writes to, and the key of its checkpoint.

    ``guard`` is called before every write.
    """

    title: str
    seed: int
    folder: Path
    key: str
    guard: Guard = unguarded


@dataclass(frozen=True)
class Fitted:
    """What a training gives: the model holds the best epoch's state.

    ``validation`` is that epoch's accuracy (a fraction, NaN without validation); ``wall_s``
    counts all parts of the training, before and after any interruption; ``epochs`` are those that
    were trained here.
    """

    best_epoch: int
    validation: float
    wall_s: float
    history: list[dict[str, float]]
    epochs: float = 0


def fit(
    trainee: Trainee,
    batches: Batches,
    validate: Validate | None,
    config: TrainConfig,
    training: Training,
    reporter: Reporter,
    workers: Workers = ALONE,
) -> Fitted:
    """Train for ``config.epochs`` epochs from the checkpoint in the stage's folder, if any.

    The best epoch by ``validate`` is kept, or the last one where it is None, among those at the
    final number of timesteps and with a trainee that is complete. All of ``workers`` call this
    together, with the same batches; the first one validates and writes.

    Raises:
        UserError: the loss is not a number (with the step and the likely causes), the disk is
            full, or a checkpoint does not fit.
    """
    return _Loop(trainee, batches, validate, config, training, reporter, workers).run()


class _Loop:
    def __init__(
        self,
        trainee: Trainee,
        batches: Batches,
        validate: Validate | None,
        config: TrainConfig,
        training: Training,
        reporter: Reporter,
        workers: Workers,
    ) -> None:
        self.workers = workers
        self.trainee, self.batches, self.validate = trainee, batches, validate
        self.config, self.training, self.reporter = config, training, reporter
        self.model, self.steps = trainee.model, batches.steps
        self.optimizer = make_optimizer(trainee.parameters, trainee.optimizer, trainee.also)
        self.rates = [group["lr"] for group in self.optimizer.param_groups]
        self.trained = trainee.parameters + (trainee.also[0] if trainee.also else [])
        self.parallel = workers.parallel(self.model, self.trained, synced=config.sync_batch_norm)
        self.file, self.log = training.folder / "checkpoint.pt", training.folder / "log.jsonl"
        self.timesteps = getattr(self.model, "timesteps", None)
        if config.timestep_ramp and self.timesteps is None:
            raise UserError("this network has no timesteps to ramp", where="train.timestep_ramp")
        self.best: dict[str, Tensor] = {}
        self.at = Progress(*divmod(trainee.start_step, self.steps))
        trainee.optimizer_made(self.optimizer)

    def run(self) -> Fitted:
        loaded = checkpoint.load(self.file, self.training.key, self.model, self.optimizer)
        if loaded is not None:
            self.at, self.best = loaded
            self.trainee.restored()
        self._write_log()
        self.reporter.stage_started(
            self.training.title, self.training.seed, self.config.epochs, self.steps
        )
        if loaded is not None:
            tell_resumed(self.reporter, self.at.epoch)
        merging = self.model.register_forward_pre_hook(fewer_frames)
        try:
            while self.at.epoch < self.config.epochs and not self.at.stopped:
                self._epoch()
        finally:
            merging.remove()
        self._use_timesteps(self.config.epochs)
        self.model.load_state_dict(self.best)
        self.trainee.restored()
        at = self.at
        done = at.epoch * self.steps - self.trainee.start_step
        epochs = done / self.steps if done % self.steps else done // self.steps
        return Fitted(at.best_epoch, at.best_accuracy, at.wall_s, at.history, epochs)

    def _epoch(self) -> None:
        at, epoch = self.at, self.at.epoch
        self._use_timesteps(epoch)
        self.model.train()
        since = time.perf_counter()
        for x, y in self.batches.epoch(epoch, at.step):
            self._step(x, y)
            now = time.perf_counter()
            at.wall_s, at.epoch_wall_s = at.wall_s + now - since, at.epoch_wall_s + now - since
            since = now
            at.step += 1
            speed = at.seen / at.epoch_wall_s
            self.reporter.step(
                epoch, at.step - 1, at.loss_sum / at.seen, at.correct / at.seen, speed
            )
            if at.step % self.config.checkpoint_steps == 0 and at.step < self.steps:
                self._save()
        if self.trainee.fresh_statistics and self._eligible(epoch):
            with autocast(next(self.model.parameters()).device, self.config.precision):
                tell_doing(self.reporter, "estimating BatchNorm statistics")
                estimate_statistics(self.model, self.batches.epoch(epoch))
        result = self._judge()
        at.wall_s += time.perf_counter() - since
        self._finish_epoch(result)

    def _judge(self) -> Evaluation | None:
        if self.validate is None:
            return None
        tell_doing(self.reporter, "validating")
        own = self.validate(self.model) if self.workers.first else None
        agreed: Evaluation = self.workers.agreed(own)
        return agreed

    def _step(self, x: Tensor, y: Tensor) -> None:
        at, rows = self.at, self.workers.share(len(y))
        if self.workers.count > 1:
            x, y = (x[:, rows] if x.dim() == 5 else x[rows]), y[rows]
        total = self.config.epochs * self.steps
        done = at.epoch * self.steps + at.step
        factor = learning_rate(done, total, self.config.warmup)
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * factor
        drawn = drawing(
            self.model, x.device, self.training.seed, at.epoch, at.step, self.workers.rank
        )
        with autocast(x.device, self.config.precision), share(rows), drawn:
            logits = called(self.parallel, x, len(y))
        smoothing = self.config.label_smoothing
        loss = functional.cross_entropy(logits.float(), y, label_smoothing=smoothing)
        hits = int((logits.detach().argmax(1) == y).sum())
        total_loss, correct, seen = self.workers.sums(loss.item() * len(y), hits, len(y))
        value = total_loss / seen
        if not math.isfinite(value):
            raise self._diverged("the loss", value)
        self.optimizer.zero_grad(set_to_none=True)
        # DistributedDataParallel takes the mean of the processes' gradients, each of its own rows.
        (loss * (len(y) * self.workers.count / seen)).backward()
        self.optimizer.step()
        if not all(torch.isfinite(p.detach().sum()) for p in self.trained):
            raise self._diverged("a parameter", math.nan)
        self.trainee.after_step((done + 1) / self.steps)
        at.loss_sum, at.correct, at.seen = (
            at.loss_sum + total_loss,
            at.correct + int(correct),
            at.seen + int(seen),
        )

    def _diverged(self, what: str, value: float) -> UserError:
        at = self.at
        return UserError(
            f"{what} is not a number at epoch {at.epoch}, step {at.step}",
            where=f"stage {self.training.title}, seed {self.training.seed}",
            value=value,
            remedy=f"Likely causes: a learning rate that is too high (it is"
            f" {self.trainee.optimizer.lr}), bf16 where fp32 is needed, or a NaN in the input."
            " The last checkpoint is kept",
        )

    def _finish_epoch(self, result: Evaluation | None) -> None:
        at = self.at
        record = {
            "epoch": at.epoch,
            "loss": at.loss_sum / at.seen,
            "accuracy": at.correct / at.seen,
            "wall_s": round(at.wall_s, 3),
        }
        accuracy = math.nan
        if not all(v.isfinite().all() for v in self.model.state_dict().values()):
            raise self._diverged("a BatchNorm statistic", math.nan)
        if result is not None:
            accuracy = result.accuracy
            record |= {"validation_loss": result.loss, "validation_accuracy": accuracy}
        at.history.append(record)
        self._write_log()
        ends = self.trainee.stop_after(at.epoch)
        at.stopped = ends and self._at_final_timesteps(at.epoch)
        if self._eligible(at.epoch) and (result is None or accuracy > at.best_accuracy):
            at.best_accuracy, at.best_epoch = accuracy, at.epoch
            self.best = {k: v.detach().clone() for k, v in self.model.state_dict().items()}
        self.reporter.epoch_finished(
            at.epoch, record["loss"], record["accuracy"], accuracy, at.epoch_wall_s
        )
        at.epoch, at.step = at.epoch + 1, 0
        at.loss_sum, at.correct, at.seen, at.epoch_wall_s = 0.0, 0, 0, 0.0
        self._save()

    def _eligible(self, epoch: int) -> bool:
        return self._at_final_timesteps(epoch) and self.trainee.complete_after(epoch)

    def _at_final_timesteps(self, epoch: int) -> bool:
        last = self.config.epochs - 1
        return timesteps_at(epoch, self.config, 0) == timesteps_at(last, self.config, 0)

    def _save(self) -> None:
        if not self.workers.first:
            return
        self.training.guard()
        checkpoint.save(
            self.file, self.training.key, self.at, self.model, self.optimizer, self.best
        )

    def _write_log(self) -> None:
        """The log is the checkpoint's history, so that a resumed run's is that of a whole one."""
        if not self.workers.first:
            return
        self.training.guard()
        lines = "".join(json.dumps(record) + "\n" for record in self.at.history)
        write_bytes(self.log, lines.encode())

    def _use_timesteps(self, epoch: int) -> None:
        if self.timesteps is not None:
            now = timesteps_at(epoch, self.config, int(self.timesteps))
            self.model.timesteps = now  # type: ignore[assignment]


STATISTICS_BATCHES = 100
"""Training batches that BatchNorm statistics are estimated on."""


@torch.no_grad()
def estimate_statistics(model: nn.Module, batches: Iterator[tuple[Tensor, Tensor]]) -> None:
    """Set BatchNorm statistics to their plain averages over the first batches, in place.

    Normalisations that ``model.train()`` leaves in evaluation mode stay as they are.
    """
    model.train()
    kinds = (nn.BatchNorm1d, nn.BatchNorm2d)
    norms = [m for m in model.modules() if isinstance(m, kinds) and m.training]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    for step, (x, y) in enumerate(itertools.islice(batches, STATISTICS_BATCHES)):
        with drawing(model, x.device, 0, step):
            called(model, x, len(y))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def fewer_frames(model: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Frames for the fewer time steps of a ramp: neighbours are added up."""
    x, steps = inputs[0], getattr(model, "timesteps", None)
    if not isinstance(x, Tensor) or x.dim() != 5 or steps in (None, len(x)) or len(x) % steps:
        return inputs
    return (x.unflatten(0, (steps, -1)).sum(1), *inputs[1:])


def timesteps_at(epoch: int, config: TrainConfig, final: int) -> int:
    """Timesteps of an epoch under ``train.timestep_ramp``."""
    end = 0
    for epochs, timesteps in config.timestep_ramp:
        end += epochs
        if epoch < end:
            return timesteps
    return final


def epochs_of_timesteps(config: TrainConfig, final: int) -> dict[int, int]:
    """How many epochs :func:`timesteps_at` gives each number of timesteps, the ramp's first."""
    found: dict[int, int] = {}
    left = config.epochs
    for epochs, timesteps in (*config.timestep_ramp, (left, final)):
        found[timesteps] = found.get(timesteps, 0) + min(epochs, left)
        left -= min(epochs, left)
    return {timesteps: epochs for timesteps, epochs in found.items() if epochs}


def learning_rate(step: int, total: int, warmup: float) -> float:
    """Factor in (0, 1]: linear rise over the first ``warmup * total`` steps, then a cosine to 0."""
    rise = warmup * total
    if step < rise:
        return (step + 1) / (math.floor(rise) + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(total - rise, 1)))


def make_optimizer(
    parameters: list[nn.Parameter],
    config: OptimizerConfig,
    also: tuple[list[nn.Parameter], OptimizerConfig] | None = None,
) -> torch.optim.Optimizer:
    """The optimizer of a config over ``parameters``, in torch's fused form.

    ``also`` are further parameters with their own rate and decay.

    Raises:
        UserError: the two need different optimizers.
    """
    if also is not None:
        return _joint(parameters, config, *also)
    lr, decay = config.lr, config.weight_decay
    if config.name == "sgd":
        momentum = config.momentum
        return torch.optim.SGD(parameters, lr=lr, momentum=momentum, weight_decay=decay, fused=True)
    kind = torch.optim.Adam if config.name == "adam" else torch.optim.AdamW
    return kind(parameters, lr=lr, weight_decay=decay, fused=True)


def _joint(
    parameters: list[nn.Parameter],
    config: OptimizerConfig,
    others: list[nn.Parameter],
    second: OptimizerConfig,
) -> torch.optim.Optimizer:
    check_together(config, second)
    groups = [
        {"params": p, "lr": c.lr, "weight_decay": c.weight_decay}
        for p, c in ((parameters, config), (others, second))
    ]
    return torch.optim.AdamW(groups, fused=True)


def check_together(weights: OptimizerConfig, scores: OptimizerConfig) -> None:
    """Whether one optimizer can do for both.

    Raises:
        UserError: it cannot; Adam and AdamW differ only by how they decay weights.
    """
    for where, c in (("train.weights", weights), ("train.scores", scores)):
        if c.name == "sgd" or (c.name == "adam" and c.weight_decay):
            raise UserError(
                "weights and scores that are trained together need adamw, or adam without"
                " weight decay",
                where=f"{where}.name",
                value=c.name,
            )


@contextlib.contextmanager
def autocast(device: torch.device, precision: str) -> Iterator[None]:
    """bfloat16 autocast on the device, or nothing for fp32."""
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
        yield
