"""What the ONNX peers share: writing the model, quantising it, opening a session."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)

from spiketicket.bench.job import Array, Job
from spiketicket.bench.onnx_graph import INPUT, OUTPUT
from spiketicket.bench.onnx_program import to_onnx
from spiketicket.bench.peers._program import program_of
from spiketicket.machine import processor

_QUANTISED = ("Conv", "Gemm")


def float_model(job: Job) -> Path:
    """The ticket as an ONNX file of the job's batch size."""
    path = Path(job.folder) / "float.onnx"
    onnx.save(to_onnx(program_of(job), job.batch), path)
    return path


def int8_model(job: Job) -> tuple[Path, dict[str, Any]]:
    """The same, its convolutions and linear layers quantised: weights per channel, static ranges
    of training images; and what was chosen.
    """
    path = Path(job.folder) / "int8.onnx"
    # Without these instructions products are added in pairs in 16 bits, which 8-bit weights
    # overflow.
    seven_bits = not has_dot_products()
    quantize_static(
        float_model(job),
        path,
        _Calibration(job),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=list(_QUANTISED),
        per_channel=True,
        reduce_range=seven_bits,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    return path, {"weight bits": 7 if seven_bits else 8, "calibration": "min-max"}


def has_dot_products() -> bool:
    """Whether the processor adds four 8-bit products into 32 bits at once (VNNI, ARM dot)."""
    known = set(processor.features().split())
    return bool(known & {"avx512_vnni", "avx_vnni", "asimddp"})


def session(path: Path, job: Job) -> Callable[[Array], Array]:
    """An ONNX Runtime session as a function of a batch."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = job.threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3
    opened = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def run(x: Array) -> Array:
        return np.asarray(opened.run([OUTPUT], {INPUT: x})[0], np.float32)

    return run


class _Calibration(CalibrationDataReader):  # type: ignore[misc]
    """Training images in whole batches."""

    def __init__(self, job: Job) -> None:
        self._batches = self._cut(job)

    def _cut(self, job: Job) -> Iterator[dict[str, Array]]:
        images = job.calibration_images()
        for start in range(0, len(images) - job.batch + 1, job.batch):
            yield {INPUT: np.ascontiguousarray(images[start : start + job.batch])}

    def get_next(self) -> dict[str, Array] | None:
        """The next batch, or None at the end."""
        return next(self._batches, None)
