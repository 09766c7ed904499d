"""What the OpenVINO peers share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import openvino

from spiketicket.bench.job import Array, Job


def compiled(path: Path, job: Job) -> Callable[[Array], Array]:
    """An ONNX file compiled for one stream of inferences, as a function of a batch."""
    settings = {
        "INFERENCE_NUM_THREADS": job.threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
        # The cores are given to the whole process.
        "ENABLE_CPU_PINNING": False,
    }
    request = openvino.Core().compile_model(path, "CPU", settings).create_infer_request()

    def run(x: Array) -> Array:
        results = request.infer([openvino.Tensor(x, shared_memory=True)], share_outputs=True)
        return np.asarray(results[0], np.float32)

    return run
