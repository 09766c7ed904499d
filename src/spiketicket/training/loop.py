"""The training loop, the same for a ticket search and for every control.

Plain and resumable: what a step does is a function of the checkpoint before it and of
(seed, epoch, step). The best epoch is chosen on the validation split, the earlier one in a tie.

A device that computes on its own is waited for once every ``LOG_STEPS`` steps, before every
checkpoint and at the end of an epoch; each place that waits says so.
"""

from __future__ import annotations

import json
import math
import time
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from spiketicket.errors import UserError
from spiketicket.machine.files import write_bytes
from spiketicket.machine.parallel import fixed
from spiketicket.machine.workers import ALONE, Workers
from spiketicket.progress import Reporter, tell_doing, tell_resumed
from spiketicket.recipe import TrainConfig
from spiketicket.streams import share
from spiketicket.training import checkpoint
from spiketicket.training.average import Average
from spiketicket.training.checkpoint import Progress
from spiketicket.training.evaluate import Evaluation
from spiketicket.training.forward import autocast, called, drawing
from spiketicket.training.meter import Meter
from spiketicket.training.optimizer import make_optimizer
from spiketicket.training.schedule import (
    fewer_frames,
    is_whole,
    learning_rate,
    side_at,
    smaller,
    timesteps_at,
)
from spiketicket.training.statistics import estimate_statistics, set_momentum
from spiketicket.training.trainee import Batches, Fitted, Trainee, Training, Validate

__all__ = ["LOG_STEPS", "Batches", "Fitted", "Trainee", "Training", "Validate", "fit"]

LOG_STEPS = 10
"""Optimizer steps from one reading of the losses to the next."""


def fit(
    trainee: Trainee,
    batches: Batches,
    validate: Validate | None,
    *,
    config: TrainConfig,
    training: Training,
    reporter: Reporter,
    workers: Workers = ALONE,
) -> Fitted:
    """Train for ``config.epochs`` epochs from the training's checkpoint, if any.

    The best epoch by ``validate`` is kept, or the last one where it is None, among those at the
    final number of timesteps and size of pictures and with a trainee that is complete. All of
    ``workers`` call this together, with the same batches; the first one validates and writes.

    Raises:
        UserError: the loss is not a number (with the step and the likely causes), the disk is
            full, or a checkpoint does not fit.
    """
    with fixed():
        return _fit(
            trainee,
            batches,
            validate,
            config=config,
            training=training,
            reporter=reporter,
            workers=workers,
        )


def _fit(
    trainee: Trainee,
    batches: Batches,
    validate: Validate | None,
    *,
    config: TrainConfig,
    training: Training,
    reporter: Reporter,
    workers: Workers,
) -> Fitted:
    run = _Run(
        trainee, batches.steps, config=config, training=training, reporter=reporter, workers=workers
    )
    at, model = run.resumed(), trainee.model
    with model.register_forward_pre_hook(run.inputs, prepend=True):
        for epoch in range(at.epoch, 0 if at.stopped else config.epochs):
            run.begin(epoch)
            for x, y in batches.epoch(epoch, at.step):
                run.step(x, y)
                last, saves = at.step == batches.steps, at.step % config.checkpoint_steps == 0
                if last or saves or at.step % LOG_STEPS == 0 or not run.shown:
                    run.shown = run.read()  # waits for the device
                reporter.step(epoch, at.step - 1, *run.shown)
                if saves and not last:
                    run.save()
            run.end()
            with run.average.in_place(model, trainee.callbacks, epoch + 1):
                if run.fresh and run.is_eligible(epoch):
                    tell_doing(reporter, "estimating BatchNorm statistics")
                    with autocast(next(model.parameters()).device, config.precision):
                        estimate_statistics(model, batches.epoch(epoch))
                run.record(run.judged(validate))
            run.next()
            if at.stopped:
                break
    return run.best()


class _Run:
    """The state of a training, and what :func:`fit` does with it."""

    def __init__(
        self,
        trainee: Trainee,
        steps: int,
        *,
        config: TrainConfig,
        training: Training,
        reporter: Reporter,
        workers: Workers,
    ) -> None:
        self.trainee, self.steps, self.config = trainee, steps, config
        self.training, self.reporter, self.workers = training, reporter, workers
        self.model = trainee.model
        self.optimizer = make_optimizer(trainee.parameters, trainee.optimizer, trainee.also)
        self.rates = [group["lr"] for group in self.optimizer.param_groups]
        self.trained = trainee.parameters + (trainee.also[0] if trainee.also else [])
        self.average = Average(self.trained, config.average)
        self.fresh = config.judges_afresh or trainee.fresh_statistics
        set_momentum(self.model, config.bn_momentum)
        self.parallel = workers.parallel(self.model, self.trained, synced=config.sync_batch_norm)
        self.timesteps = getattr(self.model, "timesteps", None)
        if config.timestep_ramp and self.timesteps is None:
            raise UserError("this network has no timesteps to ramp", where="train.timestep_ramp")
        self.kept: dict[str, Tensor] = {}
        epoch, step = divmod(trainee.start_step, steps)
        self.at = Progress(epoch=epoch, step=step)
        where = f"stage {training.title}, seed {training.seed}"
        self.meter = Meter(self.trained, workers, where, trainee.optimizer.lr)
        self.shown: tuple[float, float, float] | None = None
        """Loss and accuracy of the epoch's samples, and samples per second, when last read."""
        self.since = 0.0
        self.side = 0
        """Pixels that the pictures' shorter side is reduced to; 0 is not at all."""
        for callback in trainee.callbacks:
            callback.on_optimizer(self.optimizer)

    def resumed(self) -> Progress:
        """Where the training stands: at its checkpoint, or at its start."""
        place, means = self.training.checkpoint, self.average.means
        loaded = checkpoint.load(place, self.training.key, self.model, self.optimizer, means)
        if loaded is not None:
            self.at, self.kept = loaded
            self._state_loaded()
        self._write_log()
        training = self.training
        self.reporter.stage_started(training.title, training.seed, self.config.epochs, self.steps)
        if loaded is not None:
            tell_resumed(self.reporter, self.at.epoch)
        return self.at

    def begin(self, epoch: int) -> None:
        """Make the model ready for an epoch's steps."""
        self._use_ramps(epoch)
        self.model.train()
        self.shown = None
        self.since = time.perf_counter()

    def step(self, x: Tensor, y: Tensor) -> None:
        """Take one optimizer step; does not wait for the device."""
        at, seen = self.at, len(y)
        rows = self.workers.share(seen)
        if self.workers.count > 1:
            x, y = (x[:, rows] if x.dim() == 5 else x[rows]), y[rows]
        done = at.epoch * self.steps + at.step
        config = self.config
        factor = learning_rate(done, config.epochs * self.steps, config.warmup, config.schedule)
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * factor
        try:
            loss, hits = self._losses(x, y, rows)
            self.meter.add(at, loss.detach(), hits, len(y), seen)
            self.optimizer.zero_grad(set_to_none=True)
            # DistributedDataParallel takes the mean of the processes' gradients, each of its rows.
            (loss * (len(y) * self.workers.count / seen)).backward()
            self.optimizer.step()
            for callback in self.trainee.callbacks:
                callback.on_step_end((done + 1) / self.steps)
            self.average.move(done - self.trainee.start_step)
        except Exception:
            self.meter.require_numbers(at)  # what fails on NaN is not the cause
            raise
        at.step += 1

    def _losses(self, x: Tensor, y: Tensor, rows: slice) -> tuple[Tensor, Tensor]:
        """The mean loss of a batch, and how many of its samples are classified correctly."""
        at, config = self.at, self.config
        drawn = drawing(
            self.model, x.device, self.training.seed, at.epoch, at.step, self.workers.rank
        )
        with autocast(x.device, config.precision), share(rows), drawn:
            logits = called(self.parallel, x, len(y))
        loss = functional.cross_entropy(logits.float(), y, label_smoothing=config.label_smoothing)
        return loss, (logits.detach().argmax(1) == y).sum()

    def read(self) -> tuple[float, float, float]:
        """Count the steps since the last time; loss, accuracy and samples per second of the epoch.

        Waits until the device has done them.

        Raises:
            UserError: the loss of one of them, or a parameter, is not a number.
        """
        at = self.at
        self.meter.read(at)
        at.epoch_wall_s += self._elapsed()
        return at.loss_sum / at.seen, at.correct / at.seen, at.seen / at.epoch_wall_s

    def _elapsed(self) -> float:
        """Seconds since the last time, which count as the training's."""
        since, self.since = self.since, time.perf_counter()
        self.at.wall_s += self.since - since
        return self.since - since

    def judged(self, validate: Validate | None) -> Evaluation | None:
        """What the first process's validation finds."""
        result: Evaluation | None = None
        if validate is not None:
            tell_doing(self.reporter, "validating")
            result = self.workers.agreed(validate(self.model) if self.workers.first else None)
        self._elapsed()
        return result

    def end(self) -> None:
        """Ask the callbacks at an epoch's end whether the training ends with it."""
        ends = [callback.should_stop(self.at.epoch) for callback in self.trainee.callbacks]
        self.at.stopped = any(ends) and is_whole(self.at.epoch, self.config)

    def record(self, result: Evaluation | None) -> None:
        """Write an epoch down, and keep the model if it is the best so far.

        Raises:
            UserError: something in the model is not a number.
        """
        at = self.at
        # Waits once for every tensor; BatchNorm's statistics are looked at nowhere else.
        if not all(v.isfinite().all() for v in self.model.state_dict().values()):
            raise self.meter.diverged("a BatchNorm statistic", math.nan, at.epoch, at.step)
        accuracy = math.nan
        record = {
            "epoch": at.epoch,
            "loss": at.loss_sum / at.seen,
            "accuracy": at.correct / at.seen,
            "wall_s": round(at.wall_s, 3),
        }
        if result is not None:
            accuracy = result.accuracy
            record |= {"validation_loss": result.loss, "validation_accuracy": accuracy}
        at.history.append(record)
        self._write_log()
        if self.is_eligible(at.epoch) and (result is None or accuracy > at.best_accuracy):
            at.best_accuracy, at.best_epoch = accuracy, at.epoch
            self.kept = {k: v.detach().clone() for k, v in self.model.state_dict().items()}
        self.reporter.epoch_finished(
            at.epoch, record["loss"], record["accuracy"], accuracy, at.epoch_wall_s
        )

    def next(self) -> None:
        """Go to the next epoch, and write a checkpoint."""
        at = self.at
        at.epoch, at.step = at.epoch + 1, 0
        at.loss_sum, at.correct, at.seen, at.epoch_wall_s = 0.0, 0, 0, 0.0
        self.save()

    def best(self) -> Fitted:
        """Put the best epoch's state into the model."""
        self._use_ramps(self.config.epochs)
        self.model.load_state_dict(self.kept)
        self._state_loaded()
        at = self.at
        done = at.epoch * self.steps - self.trainee.start_step
        epochs = done / self.steps if done % self.steps else done // self.steps
        return Fitted(
            best_epoch=at.best_epoch,
            validation=at.best_accuracy,
            wall_s=at.wall_s,
            history=at.history,
            epochs=epochs,
        )

    def is_eligible(self, epoch: int) -> bool:
        """Whether the model after an epoch may be the one that is kept."""
        complete = (callback.is_complete(epoch) for callback in self.trainee.callbacks)
        return is_whole(epoch, self.config) and all(complete)

    def save(self) -> None:
        """Write a checkpoint, in the first process. Waits for the device, which is copied from."""
        if not self.workers.first:
            return
        self.training.guard()
        checkpoint.save(
            self.training.checkpoint,
            self.training.key,
            self.at,
            model=self.model,
            optimizer=self.optimizer,
            best=self.kept,
            means=self.average.means,
        )

    def _state_loaded(self) -> None:
        for callback in self.trainee.callbacks:
            callback.on_state_loaded()

    def inputs(self, model: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        """A hook of the model: what it is given under a ramp."""
        if self.side and inputs[0].dim() == 4:
            inputs = (smaller(inputs[0], self.side), *inputs[1:])
        return fewer_frames(model, inputs)

    def _use_ramps(self, epoch: int) -> None:
        self.side = side_at(epoch, self.config)
        if self.timesteps is not None:
            now = timesteps_at(epoch, self.config, int(self.timesteps))
            self.model.timesteps = now  # type: ignore[assignment]

    def _write_log(self) -> None:
        """The log is the checkpoint's history, so that a resumed run's is that of a whole one."""
        if not self.workers.first:
            return
        self.training.guard()
        lines = "".join(json.dumps(record) + "\n" for record in self.at.history)
        write_bytes(self.training.log, lines.encode())
