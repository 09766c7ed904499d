"""One training over several processes, as ``torchrun`` starts them.

Every process draws the same global batch, a function of (seed, epoch, step), computes its share of
the rows, and gets the gradient of the whole batch's mean loss through torch's
DistributedDataParallel. With synchronised BatchNorm the steps are those of one process with the
same batch, up to rounding. The first process alone writes.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from spiketicket.errors import UserError


def is_first() -> bool:
    """Whether this process is the one that writes and prints; a process alone is."""
    return os.environ.get("RANK", "0") == "0"


@dataclass(frozen=True)
class Workers:
    """The processes of one training; a process alone is ``Workers()``."""

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes."""
        return self.rank == 0

    def share(self, count: int) -> slice:
        """This process's rows of ``count`` rows; all shares together are all rows.

        Raises:
            UserError: fewer rows than processes.
        """
        if count < self.count:
            raise UserError(
                f"a batch of {count} cannot be shared by {self.count} processes",
                where="train.batch_size",
                value=count,
                remedy="Use larger batches or fewer processes",
            )
        return slice(count * self.rank // self.count, count * (self.rank + 1) // self.count)

    def parallel(self, model: nn.Module, trained: list[nn.Parameter], *, synced: bool) -> nn.Module:
        """The model whose backward pass adds up gradients over the processes.

        Only ``trained`` take part; ``synced`` are BatchNorm's batch statistics too. Where they
        are not, the first process's running statistics become everyone's.
        """
        if self.count == 1:
            return model
        wanted = {id(p) for p in trained}
        for parameter in model.parameters():
            parameter.requires_grad_(id(parameter) in wanted)
        for norm in model.modules():
            if synced and isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
                norm.workers = self  # type: ignore[assignment]
        return cast("nn.Module", DistributedDataParallel(model, broadcast_buffers=not synced))

    def sums(self, *values: float) -> list[float]:
        """Each value added up over the processes, in float64."""
        if self.count == 1:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64)
        distributed.all_reduce(total)
        return [float(v) for v in total]

    def agreed(self, value: Any) -> Any:
        """The first process's value, on every process."""
        if self.count == 1:
            return value
        box = [value]
        distributed.broadcast_object_list(box, src=0)
        return box[0]


ALONE = Workers()
_GROUPS = itertools.count()
"""Numbers of the groups that this process has joined; the same ones in every process."""


@contextmanager
def joined(device: str) -> Iterator[Workers]:
    """The processes ``torchrun`` started, joined for as long as the context lasts.

    Raises:
        UserError: they do not find each other.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1 or distributed.is_initialized():
        yield _current()
        return
    # Numbers that all agree on travel over gloo whatever the device; gradients over NCCL.
    backend = "gloo" if device == "cpu" else "cpu:gloo,cuda:nccl"
    if device != "cpu":
        torch.cuda.set_device(own_device(device))
    try:
        # Names of its own for every group: one process may still be in the last one.
        store, rank, _ = next(distributed.rendezvous("env://"))  # type: ignore[attr-defined]
        names = distributed.PrefixStore(f"group {next(_GROUPS)}", store)  # type: ignore[attr-defined]
        distributed.init_process_group(backend, store=names, rank=rank, world_size=count)
    except (RuntimeError, ValueError) as error:
        remedy = "Start the processes with torchrun"
        raise UserError(f"the processes do not find each other: {error}", remedy=remedy) from error
    try:
        yield _current()
    finally:
        distributed.destroy_process_group()


def _current() -> Workers:
    if not distributed.is_initialized():
        return ALONE
    return Workers(distributed.get_rank(), distributed.get_world_size())


def own_device(name: str) -> torch.device:
    """The device of this process: of several GPUs on a host, one each."""
    if name == "cuda" and "LOCAL_RANK" in os.environ:
        return torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    return torch.device(name)


def batch_stats(rows: Tensor) -> tuple[Tensor, Tensor, int]:
    """Mean and biased variance of each channel over all processes' rows ``[..., C]``, and how many.

    Differentiable: the backward pass adds up over the processes what depends on a statistic.
    """
    axes = tuple(range(rows.dim() - 1))
    own = torch.tensor([rows.numel() // rows.shape[-1]], device=rows.device, dtype=torch.float64)
    distributed.all_reduce(own)
    count = int(own)
    mean = _sum(rows.sum(axes)) / count
    var = _sum((rows - mean).square().sum(axes)) / count
    return mean, var, count


class _AllReduce(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        del ctx
        total = x.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        del ctx
        total = gradients[0].clone()
        distributed.all_reduce(total)
        return total


def _sum(x: Tensor) -> Tensor:
    return cast("Tensor", _AllReduce.apply(x.contiguous()))  # type: ignore[no-untyped-call]
