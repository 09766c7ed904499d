"""SpikingJelly: the ticket's program as its layers and multi-step LIF nodes, on PyTorch."""

from __future__ import annotations

from spiketicket.bench.job import Job, Prepared
from spiketicket.bench.peers._program import program_of
from spiketicket.bench.peers._torch import MEMORY, fastest, runner, set_up
from spiketicket.bench.spikingjelly_program import Net


def prepare(job: Job) -> Prepared:
    """The net in the faster of two memory layouts, ready to run."""
    set_up(job)
    program = program_of(job)
    ways = {
        memory: runner(Net(program).eval().to(memory_format=layout))  # type: ignore[call-overload]
        for memory, layout in MEMORY.items()
    }
    memory, run = fastest(ways, job.images()[: job.batch])
    return Prepared(run, {"memory": memory, "backend": "torch", "step mode": "m"})
