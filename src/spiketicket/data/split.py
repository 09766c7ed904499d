"""Drawing a part of the samples so that every class keeps its share.

Everything here is a function of the classes, the amount and the seed alone.
"""

from __future__ import annotations

import math
from decimal import Decimal
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from spiketicket.data.types import Dataset, Samples
from spiketicket.errors import UserError
from spiketicket.streams import Stream

if TYPE_CHECKING:
    from spiketicket.recipe import DataConfig


def training_split(dataset: Dataset, config: DataConfig, seed: int) -> tuple[Samples, Samples]:
    """The training and the validation samples of a run.

    The validation split is the data set's own, or it is carved from the whole training set first,
    so that it is the same for every ``config.train_limit``; the limit then applies to what remains.

    Raises:
        UserError: as :func:`carve` and :func:`limit`.
    """
    if dataset.validation is not None:
        train, validation = dataset.train, dataset.validation
    else:
        train, validation = carve(dataset.train, config.validation, seed, classes=dataset.classes)
    if config.train_limit is not None:
        train = limit(train, config.train_limit, seed)
    return train, validation


def carve(
    samples: Samples,
    fraction: float,
    seed: int,
    *,
    classes: tuple[str, ...] = (),
    part: str = "validation",
    where: str = "data.validation",
) -> tuple[Samples, Samples]:
    """Split off ``fraction`` of the samples, stratified; returns (rest, part).

    The part has ``fraction * N`` samples rounded half up, shared among the classes by
    :func:`quotas`. Both results keep the samples' order. ``part`` names the draw: another name is
    another, independent draw. ``classes`` and ``where`` are for messages.

    Samples that belong together stay together: with groups, that fraction of the groups is drawn,
    each in the class of its first sample, or in none where a group has samples of many classes.

    Raises:
        UserError: a class would have no sample in the part, or none left.
    """
    y = samples.y
    if samples.groups is None:
        inside = np.zeros(len(y), bool)
        inside[drawn(y, fraction, seed, classes=classes, part=part, where=where)] = True
    else:
        inside = _drawn_groups(
            y, samples.groups, fraction, seed, classes=classes, part=part, where=where
        )
    rest, taken = (samples.take(np.flatnonzero(m)) for m in (~inside, inside))
    return rest, taken


def drawn(
    y: NDArray[np.int64],
    fraction: float,
    seed: int,
    *,
    classes: tuple[str, ...],
    part: str,
    where: str,
) -> NDArray[np.int64]:
    """Indices of the ``fraction`` of the samples of classes ``y`` that :func:`carve` splits off.

    Raises:
        UserError: as :func:`carve`.
    """
    total = len(y)
    # The decimal number as it is written: 0.29 * 50 is 14.5, where floats say 14.499999999999998.
    count = math.floor(Decimal(repr(float(fraction))) * total + Decimal("0.5"))
    present, sizes = np.unique(y, return_counts=True)
    shares = quotas(sizes, count)
    for label, size, share in zip(present, sizes, shares, strict=True):
        if not 0 < share < size:
            name = classes[label] if label < len(classes) else str(label)
            verb = "no sample for" if share <= 0 else "nothing but"
            raise UserError(
                f"leaves class {name} ({size} samples) {verb} {part}",
                where=where,
                value=fraction,
                remedy=_feasible(int(sizes.min()), part),
            )
    return draw(y, count, Stream(seed, "data", part))


def _drawn_groups(
    y: NDArray[np.int64],
    group: NDArray[np.int64],
    fraction: float,
    seed: int,
    *,
    classes: tuple[str, ...],
    part: str,
    where: str,
) -> NDArray[np.bool_]:
    groups, first, of = np.unique(group, return_index=True, return_inverse=True)
    label, shown = y[first], classes
    if (y != label[of]).any():
        label, shown = np.zeros_like(label), ("of any kind",)
    chosen = np.zeros(len(groups), bool)
    chosen[drawn(label, fraction, seed, classes=shown, part=part, where=where)] = True
    inside = chosen[of]
    for side, name in ((~inside, "training"), (inside, part)):
        if missing := set(y.tolist()) - set(y[side].tolist()):
            lost = min(missing)
            shown_as = classes[lost] if lost < len(classes) else str(lost)
            raise UserError(
                f"leaves class {shown_as} no sample for {name}: recordings stay whole",
                where=where,
                value=fraction,
                remedy="Use another fraction or seed",
            )
    return inside


def limit(samples: Samples, count: int, seed: int) -> Samples:
    """``count`` of the samples, stratified, in their order.

    Raises:
        UserError: there are fewer, or a class would have none.
    """
    if count > len(samples):
        what = f"only {len(samples)} training samples are left after the validation split"
        remedy = f"Give at most {len(samples)}, or leave it out to use all"
        raise UserError(what, where="data.train_limit", value=count, remedy=remedy)
    sizes = np.unique(samples.y, return_counts=True)[1]
    if count < 1 or not quotas(sizes, count).all():
        what = "leaves a class without a training sample"
        remedy = f"There are {len(sizes)} classes, the smallest with {sizes.min()} samples"
        raise UserError(what, where="data.train_limit", value=count, remedy=remedy)
    return samples.take(draw(samples.y, count, Stream(seed, "data", "train_limit")))


def limit_test(samples: Samples, count: int) -> Samples:
    """``count`` of the test samples, stratified, in their order: the same ones for every seed.

    Raises:
        UserError: there are fewer, or a class would have none.
    """
    where = "data.test_limit"
    if count > len(samples):
        what = f"there are only {len(samples)} test samples"
        remedy = f"Give at most {len(samples)}, or leave it out to use all"
        raise UserError(what, where=where, value=count, remedy=remedy)
    sizes = np.unique(samples.y, return_counts=True)[1]
    if count < 1 or not quotas(sizes, count).all():
        what = "leaves a class without a test sample"
        remedy = f"There are {len(sizes)} classes, the smallest with {sizes.min()} samples"
        raise UserError(what, where=where, value=count, remedy=remedy)
    return samples.take(draw(samples.y, count, Stream(0, "data", "test_limit")))


def quotas(sizes: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Share ``count`` among classes of these ``sizes`` in proportion, int64 [classes].

    Largest remainder method in whole numbers: every class gets its share rounded down, and the
    ones that are missing go to the largest remainders, to the lower class in a tie.
    """
    total = int(sizes.sum())
    exact = sizes.astype(np.int64) * count
    shares, remainders = exact // total, exact % total
    favoured = np.argsort(-remainders, kind="stable")[: count - int(shares.sum())]
    shares[favoured] += 1
    return shares


def draw(y: NDArray[np.int64], count: int, stream: Stream) -> NDArray[np.int64]:
    """Indices of ``count`` samples with every class's share, int64 [count], increasing.

    Each class is shuffled by its own stream and gives its first ones. Needs 0 <= count <= len(y).
    """
    present, sizes = np.unique(y, return_counts=True)
    parts = []
    for label, size, share in zip(present, sizes, quotas(sizes, count), strict=True):
        order = stream.child("class", int(label)).permutation(int(size))
        parts.append(np.flatnonzero(y == label)[order[:share]])
    return np.sort(np.concatenate(parts))


def _feasible(smallest: int, part: str) -> str:
    """A remedy that names fractions which work for every class, or says that none does."""
    if smallest < 2:
        return "A class needs at least 2 samples to be split"
    low, high = math.ceil(1000 / smallest) / 1000, math.floor(1000 - 1000 / smallest) / 1000
    return f"Use a {part} fraction from {low} to {high}"
