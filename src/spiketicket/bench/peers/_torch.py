"""What the PyTorch peers share: numpy in and out, and the fastest of several ways."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from spiketicket.bench.job import Array, Job, Prepared
from spiketicket.machine.allocator import keep_freed_memory
from spiketicket.models.of_ticket import from_ticket
from spiketicket.neurons import native
from spiketicket.neurons.lif import Kernel
from spiketicket.ticket import Ticket

_TRIES = 3
Name = TypeVar("Name")
MEMORY = {"contiguous": torch.contiguous_format, "channels last": torch.channels_last}


def set_up(job: Job) -> None:
    """Threads and memory of a process that runs PyTorch."""
    torch.set_num_threads(job.threads)
    torch.set_num_interop_threads(1)
    keep_freed_memory()


def fastest_of(
    job: Job, change: Callable[[nn.Module], nn.Module] = lambda model: model
) -> Prepared:
    """The changed model of the ticket with the kernel and memory layout that are fastest."""
    set_up(job)
    ticket = Ticket.load(job.ticket)
    kernels: tuple[Kernel, ...] = ("native", "eager") if native.available() else ("eager",)
    ways = {
        (kernel, memory): runner(
            change(from_ticket(ticket, kernel)).to(memory_format=layout)  # type: ignore[call-overload]
        )
        for kernel in kernels
        for memory, layout in MEMORY.items()
    }
    (kernel, memory), run = fastest(ways, job.images()[: job.batch])
    return Prepared(run, {"kernel": kernel, "memory": memory})


def fastest(
    ways: Mapping[Name, Callable[[Array], Array]], x: Array
) -> tuple[Name, Callable[[Array], Array]]:
    """The way whose best of a few calls on ``x`` is shortest, after one that does not count."""
    times = {}
    for name, run in ways.items():
        run(x)
        times[name] = min(_seconds(run, x) for _ in range(_TRIES))
    best = min(times, key=lambda name: times[name])
    return best, ways[best]


def runner(model: Any) -> Callable[[Array], Array]:
    """A model as a function of a batch, numpy to numpy."""

    def run(x: Array) -> Array:
        with torch.inference_mode():
            logits = cast("Tensor", model(time_first(torch.from_numpy(x))))
        return np.asarray(logits.float().numpy(), np.float32)

    return run


def time_first(x: Tensor) -> Tensor:
    """Frames ``[b, T, C, H, W]`` to ``[T, b, C, H, W]``; images stay as they are."""
    return x.transpose(0, 1).contiguous() if x.dim() == 5 else x


def _seconds(run: Callable[[Array], Array], x: Array) -> float:
    started = time.perf_counter()
    run(x)
    return time.perf_counter() - started
