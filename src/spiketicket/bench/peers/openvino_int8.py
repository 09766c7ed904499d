"""OpenVINO on the ticket's program quantised to int8, as ONNX Runtime's tool writes it."""

from __future__ import annotations

from spiketicket.bench.job import Job, Prepared
from spiketicket.bench.peers._openvino import compiled
from spiketicket.bench.peers._ort import int8_model


def prepare(job: Job) -> Prepared:
    """The compiled model, ready to run."""
    path, settings = int8_model(job)
    return Prepared(compiled(path, job), {"hint": "latency", **settings})
