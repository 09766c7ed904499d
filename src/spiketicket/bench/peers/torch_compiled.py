"""PyTorch through ``torch.compile``, with weights frozen into the compiled code."""

from __future__ import annotations

import torch

from spiketicket.bench.job import Job, Prepared
from spiketicket.bench.peers._torch import MEMORY, runner, set_up
from spiketicket.machine.private import own_compiler_cache
from spiketicket.models.of_ticket import from_ticket
from spiketicket.ticket import Ticket


def prepare(job: Job) -> Prepared:
    """The model, compiled for this batch size; the compiler chooses layouts from here on."""
    set_up(job)
    from torch._inductor import config

    # Folds BatchNorm into the weights and lays them out for the processor.
    config.freezing = True
    memory = "channels last"
    model = from_ticket(Ticket.load(job.ticket), "eager")
    model = model.to(memory_format=MEMORY[memory])  # type: ignore[call-overload]
    own_compiler_cache()
    return Prepared(runner(torch.compile(model, dynamic=False)), {"memory": memory})
