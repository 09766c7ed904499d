"""Columns of numbers of any type, as .npz and .npy files hold them, as events."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from spiketicket.errors import UserError
from spiketicket.events._reading import CHUNK, Columns
from spiketicket.events._types import LARGEST_SENSOR

_LARGEST: Final = 1 << 53
"""Whole numbers up to here are exact as float64."""


def columns(
    t: NDArray[Any], x: NDArray[Any], y: NDArray[Any], p: NDArray[Any], *, scale: int, where: str
) -> Iterator[Columns]:
    """Blocks of the events; times are multiplied by ``scale`` and rounded to microseconds.

    Polarities may be 0 and 1, or -1 and 1.

    Raises:
        UserError: a number that is not finite, a negative or broken address, another polarity.
    """
    for start in range(0, len(t), CHUNK):
        part = slice(start, start + CHUNK)
        yield Columns(
            _times(t[part], scale, f"{where}: t"),
            _addresses(x[part], f"{where}: x"),
            _addresses(y[part], f"{where}: y"),
            _polarities(p[part], f"{where}: p"),
        )


def _times(values: NDArray[Any], scale: int, where: str) -> NDArray[np.int64]:
    _within(values, _LARGEST // scale, where)
    if np.issubdtype(values.dtype, np.integer):
        return values.astype(np.int64) * scale
    return np.rint(values.astype(np.float64) * scale).astype(np.int64)


def _addresses(values: NDArray[Any], where: str) -> NDArray[np.uint16]:
    fine = (values >= 0) & (values < LARGEST_SENSOR)
    if np.issubdtype(values.dtype, np.floating):
        fine &= np.floor(values) == values
    if not fine.all():
        what = f"must be whole numbers from 0 to {LARGEST_SENSOR - 1}"
        raise UserError(what, where=where, value=values[~fine][0].item())
    return values.astype(np.uint16)


def _polarities(values: NDArray[Any], where: str) -> NDArray[np.uint8]:
    on: NDArray[np.bool_] = values == 1
    wrong = ~on & (values != 0) & (values != -1)
    if wrong.any():
        what = "must be 0 and 1, or -1 and 1"
        raise UserError(what, where=where, value=values[wrong][0].item())
    return on.astype(np.uint8)


def _within(values: NDArray[Any], largest: int, where: str) -> None:
    """Whether all are finite and at most ``largest`` away from 0."""
    # Two comparisons: abs of the smallest int64 is negative, and NaN compares as false.
    fine = (values >= -largest) & (values <= largest)
    if not fine.all():
        what = f"must be finite and within {largest}"
        raise UserError(what, where=where, value=values[~fine][0].item())
