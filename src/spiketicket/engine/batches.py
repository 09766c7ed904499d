"""Batches of samples as a person gives them, in the form that a backend takes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spiketicket.engine.program import Program
from spiketicket.errors import UserError
from spiketicket.machine.typed import need

_BLOCK_BYTES = 1 << 26
"""Input that is brought into the form a backend takes at once."""


class Batches:
    """What a program takes; ``constants`` are scale and shift of whole numbers, where there are.

    A block has at least ``least`` samples.
    """

    def __init__(
        self, program: Program, constants: tuple[NDArray[np.float32], ...] | None, least: int
    ) -> None:
        self._program, self._constants, self._least = program, constants, least

    def checked(self, x: NDArray[Any], wanted: tuple[int, ...]) -> NDArray[Any]:
        """``x`` as ``[N, *wanted]``, of a type that is taken.

        Raises:
            UserError: it is not.
        """
        if type(x) is not np.ndarray:
            need("x", x, np.ndarray)
        if [n for n in x.shape[1:] if n > 1] == [n for n in wanted if n > 1] and len(
            x.shape
        ) < 1 + len(wanted):
            x = x.reshape(len(x), *wanted)  # [N, F] and [N, C, L] of a custom network
        if x.ndim != 1 + len(wanted) or x.shape[1:] != wanted:
            raise UserError(
                f"must have the shape [N, {', '.join(map(str, wanted))}]",
                where="x",
                value=list(x.shape),
                remedy=self._shape_remedy(x.shape, wanted),
            )
        events = self._program.frames > 1
        if not (x.dtype == np.uint8 or x.dtype.kind == "f" or (events and x.dtype == np.uint16)):
            kinds = "uint8, uint16" if events else "uint8"
            raise UserError(
                f"must be {kinds} or float32",
                where="x",
                value=str(x.dtype),
                remedy=f"Use x.astype(numpy.{'uint16' if events else 'uint8'}) for raw values, or "
                "normalise them to float32",
            )
        if x.dtype.kind != "f" and self._constants is None:
            raise UserError(
                "the ticket has no normalisation for whole numbers",
                where="x",
                value=str(x.dtype),
                remedy="Give float32 values, normalised as in training",
            )
        return x

    def _shape_remedy(self, shape: tuple[int, ...], wanted: tuple[int, ...]) -> str:
        if shape == wanted:
            return "Give one sample as a batch: x[None]"
        if len(wanted) == 3 and shape[1:] == (*wanted[1:], wanted[0]):
            return "Channels come first: x.transpose(0, 3, 1, 2)"
        if len(wanted) == 4 and shape[:1] + shape[2:] == wanted:
            return "Samples come first: x.swapaxes(0, 1)"
        kind = "frames of recordings, as many as time steps"
        if len(wanted) == 3:
            kind = "images" if self._program.frames == 1 else "single frames of recordings"
        return f"This ticket classifies {kind} of this size"

    def blocks(self, x: NDArray[Any]) -> Iterator[tuple[int, NDArray[Any]]]:
        """Where each block starts, and it as ``[n, frames, C, H, W]``, uint8 or finite float32."""
        p = self._program
        values = p.frames * p.channels * p.height * p.width
        block = max(self._least, _BLOCK_BYTES // (4 * values))
        for start in range(0, len(x), block):
            yield start, self.prepared(x[start : start + block], start)

    def prepared(self, part: NDArray[Any], start: int) -> NDArray[Any]:
        """Samples from ``start`` on as ``[n, frames, C, H, W]``, uint8 or finite float32."""
        p = self._program
        if part.dtype == np.uint16 and self._constants is not None:
            scale, shift = (constant[:, None, None] for constant in self._constants)
            part = part.astype(np.float32) * scale + shift
        if part.dtype != np.uint8:
            with np.errstate(over="ignore"):
                part = np.ascontiguousarray(part, np.float32)
            if not np.isfinite(part).all():
                wrong = float(part[~np.isfinite(part)][0])
                raise UserError(
                    "must be finite numbers",
                    where="x",
                    value=wrong,
                    remedy=f"Look at samples {start} to {start + len(part) - 1}",
                )
        frames = part.shape[1] if part.ndim == 5 else 1
        shape = (len(part), frames, p.channels, p.height, p.width)
        return np.ascontiguousarray(part).reshape(shape)
