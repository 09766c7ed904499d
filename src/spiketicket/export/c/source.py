"""Pieces of C text: numbers, arrays, definitions."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spiketicket.export.c.chain import ExportError

_WIDTH = 98


def number(value: float) -> str:
    """A float32 as C and C++ of any age: nine digits in decimals, which no two float32 share.

    Raises:
        ExportError: it is not finite.
    """
    single = float(np.float32(value))
    if not math.isfinite(single):
        raise ExportError("a constant of the network is not finite", value=single)
    text = f"{single:.9g}"
    return f"{text}f" if "." in text or "e" in text else f"{text}.0f"


def define(name: str, value: object) -> str:
    """One ``#define``."""
    return f"#define {name} {value}\n"


def array(kind: str, name: str, values: NDArray[Any] | bytes, *, static: bool = True) -> str:
    """A constant array, lines filled; an empty one has one 0, since C has no empty arrays."""
    flat = np.frombuffer(values, np.uint8) if isinstance(values, bytes) else values.ravel()
    if flat.dtype.kind == "f":
        items: Iterable[str] = (number(v) for v in flat.tolist())
    else:
        suffix = "u" if kind == "uint32_t" else ""
        items = (f"{_integer(v)}{suffix}" for v in flat.tolist())
    text = "".join(_lines(items)) or "    0\n"
    storage = "static const" if static else "const"
    return f"{storage} {kind} {name}[{max(flat.size, 1)}] = {{\n{text}}};\n"


def _integer(value: int) -> str:
    # The literal -2147483648 would be a long that is negated.
    return "(-2147483647 - 1)" if value == -(2**31) else str(value)


def _lines(items: Iterable[str]) -> Iterable[str]:
    line = "   "
    for item in items:
        if len(line) + len(item) + 2 > _WIDTH:
            yield line + "\n"
            line = "   "
        line += f" {item},"
    if line.strip():
        yield line + "\n"
