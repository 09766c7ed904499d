"""What the axes of a followed tensor are: time, batch, channels, height, width, or several at once.

An axis is a tuple of atoms ``(role, size)``, the slowest first: ``(("T", 4), ("B", 8))`` after
``x.flatten(0, 1)``, ``()`` where a 1 was put in.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

Atom = tuple[str, int]
Axis = tuple[Atom, ...]
Axes = tuple[Axis, ...]
FEATURES = "CHW"


class AxesError(Exception):
    """A form of tensor that is not followed; the text says why."""


def axis(role: str, size: int) -> Axis:
    """An axis of one role."""
    return ((role, size),)


def sizes(axes: Axes) -> tuple[int, ...]:
    """The tensor's shape."""
    return tuple(math.prod(size for _, size in one) for one in axes)


def plain(one: Axis) -> Axis:
    """An axis without atoms of size 1."""
    return tuple(atom for atom in one if atom[1] > 1)


def features(shape: tuple[int, int, int]) -> Axes:
    """The axes C, H, W of a layer of this shape."""
    return tuple(axis(role, size) for role, size in zip(FEATURES, shape, strict=True))


def find(axes: Axes, role: str) -> int | None:
    """The axis that is of this role alone."""
    for index, one in enumerate(axes):
        if [r for r, _ in plain(one)] == [role] or (len(one) == 1 and one[0][0] == role):
            return index
    return None


def ends_with(axes: Axes, wanted: Axes) -> bool:
    """Whether the last axes are these, whatever is of size 1."""
    tail = axes[len(axes) - len(wanted) :] if len(axes) >= len(wanted) else ()
    rest = axes[: len(axes) - len(wanted)]
    alike = [plain(one) for one in tail] == [plain(one) for one in wanted]
    return alike and not any(role in FEATURES for one in rest for role, _ in plain(one))


def reshaped(axes: Axes, shape: Sequence[int]) -> Axes:
    """The axes of ``tensor.reshape(shape)``.

    Raises:
        AxesError: an axis of time, batch or features would be cut.
    """
    atoms = [atom for one in axes for atom in one]
    found: list[Axis] = []
    for wanted in shape:
        taken: list[Atom] = []
        if wanted == 1:
            if atoms and atoms[0][1] == 1:
                taken.append(atoms.pop(0))
            found.append(tuple(taken))
            continue
        while math.prod(size for _, size in taken) < wanted and atoms:
            taken.append(atoms.pop(0))
        if math.prod(size for _, size in taken) != wanted:
            raise AxesError(f"a reshape to {list(shape)} of {list(sizes(axes))} mixes axes")
        found.append(tuple(taken))
    if any(size > 1 for _, size in atoms):
        raise AxesError(f"a reshape to {list(shape)} of {list(sizes(axes))} mixes axes")
    if atoms and found:  # height and width of 1 belong to the features
        found[-1] = (*found[-1], *atoms)
    return tuple(found)
