"""The packed engine in C, with the instructions that the peer's name says."""

from __future__ import annotations

from spiketicket.bench.job import Array, Job, Prepared, Unavailable
from spiketicket.engine.engine import Engine
from spiketicket.errors import UserError


def prepare(job: Job) -> Prepared:
    """The engine, ready to run."""
    level = job.peer.removeprefix("engine-")
    try:
        engine = Engine(job.ticket, threads=job.threads, level=level, backend="c")
    except UserError as error:
        raise Unavailable(str(error)) from error

    def run(x: Array) -> Array:
        return engine.run(x)

    return Prepared(run, {"level": level})
