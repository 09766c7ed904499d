"""Columns of numbers of any type, as .npz and .npy files hold them, as events.

Such a file does not say what its times are counted in. They are taken in the layout's usual unit
as long as that gives whole microseconds, and else in the unit that the user names.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from spiketicket.errors import UserError
from spiketicket.events.stores import Columns
from spiketicket.events.types import LARGEST_SENSOR, TimeUnit

_LARGEST: Final = 1 << 53
"""Whole numbers up to here are exact as float64: 285 years of microseconds."""

_SCALES: Final[dict[TimeUnit, float]] = {"s": 1e6, "ms": 1e3, "us": 1.0, "ns": 1e-3}
_MOST_ROOM_US: Final = 0.25
_REMEDY: Final = (
    'Name the unit of the times: data.time_unit = "s", "ms", "us" or "ns" (time_unit= in Python)'
)


class Plain:
    """Turns the numbers of one file into events, a block at a time.

    Args:
        where: the file, for errors.
        usual: the unit of the times where the user names none.

    ``asked`` is the unit that the user names: times are then rounded to whole microseconds, which
    a note tells.
    """

    def __init__(self, where: str, usual: TimeUnit = "us") -> None:
        self.asked: TimeUnit | None = None
        self._where, self._usual = where, usual
        self._rounded = 0
        self._polarities: set[int] = set()

    @property
    def remedy(self) -> str:
        """What to do when the times cannot be in the unit that they were taken in."""
        return _REMEDY

    def block(self, t: NDArray[Any], x: NDArray[Any], y: NDArray[Any], p: NDArray[Any]) -> Columns:
        """Some events, each column [n]. Polarities may be 0 and 1, or -1 and 1, all through a file.

        Raises:
            UserError: a number that is not finite, a time that is no whole microsecond (unless the
                unit was asked for) or that its type cannot hold, a negative or broken address,
                another polarity, or all three of -1, 0 and 1.
        """
        return Columns(
            self._times(_wide(t), t.dtype),
            _addresses(_wide(x), f"{self._where}: x"),
            _addresses(_wide(y), f"{self._where}: y"),
            self._on(p),
        )

    def notes(self) -> list[str]:
        """What was done to the times."""
        told = [] if self.asked is None else [f"times are read in {self.asked}, as asked for"]
        if self._rounded:
            told.append(f"{self._rounded} times are rounded to whole microseconds")
        return told

    def _times(self, t: NDArray[Any], stored: np.dtype[Any]) -> NDArray[np.int64]:
        unit = self.asked or self._usual
        scale = _SCALES[unit]
        largest = int(_LARGEST / scale)
        # Two comparisons: abs of the smallest int64 is negative, and NaN compares as false.
        fine = (t >= -largest) & (t <= largest)
        if not fine.all():
            what = f"must be finite and within {largest} {unit}, which is 285 years"
            raise self._wrong(what, t[~fine][0])
        if t.dtype.kind == "f":
            return self._from_floats(t, stored, unit)
        if unit == "ns":
            whole, rest = np.divmod(t.astype(np.int64), 1000)
            self._rounded += int(np.count_nonzero(rest))
            return whole + (rest >= 500)
        return t.astype(np.int64) * int(scale)

    def _from_floats(
        self, t: NDArray[np.float64], stored: np.dtype[Any], unit: TimeUnit
    ) -> NDArray[np.int64]:
        """Whole microseconds from float64 [n], which the file holds in the type ``stored``."""
        scale = _SCALES[unit]
        kind = stored if stored.itemsize < t.dtype.itemsize else t.dtype
        # Above the largest number of a type there is infinity.
        with np.errstate(over="ignore", invalid="ignore"):
            steps = np.spacing(np.abs(t).astype(kind)).astype(np.float64)
        # The neighbours of a number that is stored in few bits may be many microseconds away.
        coarse = (steps * scale > 1) & ((steps > 1) | (t != np.rint(t)))
        if coarse.any():
            what = f"are stored as {stored}, which cannot hold times of this size exactly"
            remedy = "Save them as int64 or float64"
            raise UserError(
                what, where=f"{self._where}: t", value=t[coarse][0].item(), remedy=remedy
            )
        scaled = t * scale
        whole = np.rint(scaled)
        broken = np.abs(scaled - whole) > (0 if unit == "us" else _room(steps * scale))
        if broken.any():
            if self.asked is None:
                likely = "seconds" if unit == "us" else "another unit"
                what = f"must give whole microseconds, taken in {unit}: these look like {likely}"
                raise self._wrong(what, t[broken][0])
            self._rounded += int(np.count_nonzero(broken))
        return whole.astype(np.int64)

    def _wrong(self, what: str, value: Any) -> UserError:
        return UserError(what, where=f"{self._where}: t", value=value.item(), remedy=_REMEDY)

    def _on(self, p: NDArray[Any]) -> NDArray[np.uint8]:
        on: NDArray[np.bool_] = p == 1
        off, minus = p == 0, p == -1
        wrong = ~(on | off | minus)
        if wrong.any():
            what = "must be 0 and 1, or -1 and 1"
            raise UserError(what, where=f"{self._where}: p", value=p[wrong][0].item())
        self._polarities |= {value for value, at in ((0, off), (-1, minus)) if at.any()}
        if len(self._polarities) > 1:
            what = "must be 0 and 1, or -1 and 1: -1 and 0 in one file do not say which is OFF"
            raise UserError(
                what,
                where=f"{self._where}: p",
                value=[-1, 0],
                remedy="Leave out or correct the events of the wrong one",
            )
        return on.astype(np.uint8)


def _room(steps_us: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far from a whole microsecond a time may be and still be meant as one, [n].

    A decimal number is no exact float, and one that was made by a product (``us * 1e-3``) is off
    by up to three steps of its size: that is no fraction. In short floats so many would hide one.
    """
    return np.maximum(steps_us, np.minimum(4 * steps_us, _MOST_ROOM_US))


def _wide(values: NDArray[Any]) -> NDArray[Any]:
    """Floats as float64: smaller ones cannot be compared with large numbers."""
    return values.astype(np.float64) if values.dtype.kind == "f" else values


def _addresses(values: NDArray[Any], where: str) -> NDArray[np.uint16]:
    fine = (values >= 0) & (values < LARGEST_SENSOR)
    if values.dtype.kind == "f":
        fine &= np.floor(values) == values
    if not fine.all():
        what = f"must be whole numbers from 0 to {LARGEST_SENSOR - 1}"
        raise UserError(what, where=where, value=values[~fine][0].item())
    return values.astype(np.uint16)
