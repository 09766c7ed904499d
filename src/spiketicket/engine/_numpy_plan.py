"""The plan of a program as numpy runs it: op by op."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spiketicket.engine import ops, reference
from spiketicket.engine.program import Program


def numpy_plan(program: Program, x: NDArray[Any] | None) -> list[dict[str, Any]]:
    """One entry an op; with ``x`` ``[N, frames, C, H, W]``, N >= 1, also microseconds a sample."""
    known = {} if x is None else {0: reference.as_float(program, x)}
    entries = []
    for op in program.ops:
        value = program.values[op.out]
        entry: dict[str, Any] = {
            "op": type(op).__name__,
            "name": program.names.get(op.out, ""),
            "kernel": "numpy",
            "shape": list(value.shape),
            "us": None,
        }
        if isinstance(op, ops.Synapse) and op.signs is not None:
            entry["density"] = float(np.count_nonzero(op.signs) / op.signs.size)
        if x is not None and len(x):
            start = time.perf_counter()
            known[op.out] = reference.apply(op, [known[i] for i in op.inputs], value, len(x))
            entry["us"] = (time.perf_counter() - start) * 1e6 / len(x)
        entries.append(entry)
    return entries
