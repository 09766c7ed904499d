"""ONNX Runtime on the ticket's program, statically quantised to int8 by its own tool."""

from __future__ import annotations

from spiketicket.bench.job import Job, Prepared
from spiketicket.bench.peers._ort import int8_model, session


def prepare(job: Job) -> Prepared:
    """The session, ready to run."""
    path, settings = int8_model(job)
    return Prepared(session(path, job), {"optimisation": "all", **settings})
