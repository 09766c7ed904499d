"""PyTorch, the ticket's own model in float32: the faster kernel and memory layout of two each."""

from __future__ import annotations

from spiketicket.bench.job import Job, Prepared
from spiketicket.bench.peers._torch import fastest_of


def prepare(job: Job) -> Prepared:
    """The model, ready to run."""
    return fastest_of(job)
