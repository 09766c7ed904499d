"""OpenVINO on the ticket's program, in float32."""

from __future__ import annotations

from spiketicket.bench.job import Job, Prepared
from spiketicket.bench.peers._openvino import compiled
from spiketicket.bench.peers._ort import float_model


def prepare(job: Job) -> Prepared:
    """The compiled model, ready to run."""
    return Prepared(compiled(float_model(job), job), {"hint": "latency"})
