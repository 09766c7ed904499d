"""PyTorch through ``torch.compile``, with weights frozen into the compiled code."""

from __future__ import annotations

import torch

from spiketicket.bake import from_ticket
from spiketicket.bench.job import Job, Prepared
from spiketicket.bench.peers._torch import MEMORY, fastest, runner, set_up
from spiketicket.ticket import Ticket


def prepare(job: Job) -> Prepared:
    """The model, compiled for this batch size in the faster of two memory layouts."""
    set_up(job)
    from torch._inductor import config

    # Folds BatchNorm into the weights and lays them out for the processor.
    config.freezing = True
    ticket = Ticket.load(job.ticket)
    ways = {}
    for memory, layout in MEMORY.items():
        model = from_ticket(ticket, "eager").to(memory_format=layout)  # type: ignore[call-overload]
        ways[(memory,)] = runner(torch.compile(model, dynamic=False))
    (memory,), run = fastest(ways, job.images()[: job.batch])
    return Prepared(run, {"memory": memory})
