"""How a program's steps are computed, and how long each takes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spiketicket.engine import ops, reference
from spiketicket.engine.program import Program

if TYPE_CHECKING:
    from spiketicket.engine.library import Net

_SAMPLES = 8
"""Of a batch, as many are timed."""


def library_plan(net: Net, program: Program, x: NDArray[Any] | None) -> list[dict[str, Any]]:
    """One entry a step of the C library, which joins ops; the name is that of its first op."""
    timed = None if x is None or not len(x) else reference.as_float(program, x[:_SAMPLES])
    steps = net.plan(timed)["steps"]
    return [
        {
            "op": step["name"],
            "name": program.names.get(program.ops[step["op"]].out, ""),
            "kernel": step["kernel"],
            "shape": list(step["out"]),
            "density": step.get("density"),
            "us": step["microseconds"] if timed is not None else None,
        }
        for step in steps
    ]


def numpy_plan(program: Program, x: NDArray[Any] | None) -> list[dict[str, Any]]:
    """One entry an op."""
    timed = None if x is None or not len(x) else reference.as_float(program, x[:_SAMPLES])
    known = {} if timed is None else {0: timed}
    entries = []
    for op in program.ops:
        value = program.values[op.out]
        start = time.perf_counter()
        if timed is not None:
            given = [known[i] for i in op.inputs]
            known[op.out] = reference.apply(op, given, value, len(timed))
        spent = time.perf_counter() - start
        entries.append(
            {
                "op": type(op).__name__.upper(),
                "name": program.names.get(op.out, ""),
                "kernel": "numpy",
                "shape": list(value.shape),
                "density": _density(op),
                "us": None if timed is None else spent * 1e6 / len(timed),
            }
        )
    return entries


def _density(op: ops.Op) -> float | None:
    """The fraction of a layer's weights that are not 0."""
    if not isinstance(op, ops.Synapse):
        return None
    weight = op.signs if op.signs is not None else op.weight
    return float(np.count_nonzero(weight) / np.size(weight)) if weight is not None else None
