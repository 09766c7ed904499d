"""The packed engine in C, with the instructions that the peer's name says."""

from __future__ import annotations

from spiketicket.bench.job import Array, Job, Prepared, Unavailable
from spiketicket.engine.engine import Engine, Mode
from spiketicket.errors import UserError


def prepare(job: Job) -> Prepared:
    """The engine, ready to run."""
    level = job.peer.removeprefix("engine-")
    # threads that have no image of their own work on the others'
    mode: Mode = "latency" if job.batch < job.threads else "throughput"
    try:
        engine = Engine(job.ticket, threads=job.threads, level=level, backend="c", mode=mode)
    except UserError as error:
        raise Unavailable(str(error)) from error

    def run(x: Array) -> Array:
        return engine.run(x)

    return Prepared(run, {"level": level, "mode": mode})
