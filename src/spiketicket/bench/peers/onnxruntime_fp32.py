"""ONNX Runtime on the ticket's program, in float32."""

from __future__ import annotations

from spiketicket.bench.job import Job, Prepared
from spiketicket.bench.peers._ort import float_model, session


def prepare(job: Job) -> Prepared:
    """The session, ready to run."""
    return Prepared(session(float_model(job), job), {"optimisation": "all"})
