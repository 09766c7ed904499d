"""Inputs to time kernels on, where none were given."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spiketicket.engine.program import Program

F32 = NDArray[np.float32]
_COUNT = 4
_BLOCK = 4
"""Pixels of a side that share a value: neighbours in pictures are alike."""
_EVENTS = 0.1
"""Events a pixel, step and polarity, on average."""


def drawn_inputs(program: Program, constants: tuple[F32, ...] | None) -> F32:
    """Float32 ``[4, frames, C, H, W]``, the same every time: blocks of normal values, which is what
    normalised pictures have on average, or normalised counts of scattered events.

    ``constants`` are scale and shift ``[C]`` of raw values, where the ticket has them.
    """
    rng = np.random.default_rng(0)
    p = program
    shape = (_COUNT, p.frames, p.channels, p.height, p.width)
    if p.frames > 1 and constants is not None:
        scale, shift = (constant[:, None, None] for constant in constants)
        return np.asarray(rng.poisson(_EVENTS, shape).astype(np.float32) * scale + shift, "f4")
    coarse = rng.normal(size=(*shape[:3], -(-p.height // _BLOCK), -(-p.width // _BLOCK)))
    whole = coarse.repeat(_BLOCK, axis=3).repeat(_BLOCK, axis=4)[..., : p.height, : p.width]
    return np.ascontiguousarray(whole, np.float32)
