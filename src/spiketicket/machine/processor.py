"""What processor this is, where the system says so (Linux)."""

from __future__ import annotations

import platform
from pathlib import Path


def name() -> str:
    """The processor's name for a record of a run."""
    return _line("model name") or platform.processor() or platform.machine()


def features() -> str:
    """Its instruction sets, space between; "" where they are not known."""
    return _line("flags") or _line("Features")


def computes_bfloat16() -> bool:
    """Whether it multiplies bfloat16 matrices itself, or nobody knows; else it is emulated."""
    known = set(features().split())
    return not known or bool(known & {"avx512_bf16", "amx_bf16", "bf16", "svebf16"})


def multiplies_bfloat16() -> bool:
    """Whether it is known to have instructions for it that PyTorch uses: AVX512-BF16 or AMX."""
    return bool(set(features().split()) & {"avx512_bf16", "amx_bf16"})


def _line(key: str) -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    found = (line.split(":", 1)[1].strip() for line in lines if line.startswith(key))
    return next(found, "")
