"""A loader of the user's, and what of it is taken for a batch.

A batch is ``(inputs, classes)``. Inputs are a tensor or a numpy array, floats of any width (they
are computed with as float32). Classes are whole numbers of any width, ``[B]`` or ``[B, 1]``, a
list of them, or one-hot rows ``[B, classes]``. What could be meant in two ways is refused: dicts,
more than two parts, classes as floats, soft labels, labels below 0, batches of no sample.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spiketicket.errors import UserError
from spiketicket.models.probe import said
from spiketicket.streams import Stream

_PAIR = "Give a DataLoader with a collate_fn that returns (inputs, classes)"
_ANEW = "It must start anew each time it is iterated, and have its length"


@dataclass(frozen=True, kw_only=True)
class Loader:
    """Batches of a loader; what it draws is a function of (seed, epoch).

    Args:
        source: yields (inputs, classes); iterated once per epoch.
        where: what it is called in errors.
        seed: of torch's random numbers, and of the generators of the loader and its samplers.
        outputs: logits of the network.

    Raises:
        UserError: it can be gone through once only.
    """

    source: Iterable[Any]
    where: str
    seed: int
    outputs: int = 0

    def __post_init__(self) -> None:
        if not hasattr(self.source, "__iter__") and not hasattr(self.source, "__getitem__"):
            raise UserError("must yield batches", where=self.where, value=_kind(self.source))
        if hasattr(self.source, "__next__"):
            raise UserError(
                "can be gone through once only, and every epoch goes through it",
                where=self.where,
                value=_kind(self.source),
                remedy="Give a list of batches or a DataLoader",
            )

    @property
    def steps(self) -> int:
        """Batches in an epoch."""
        try:
            steps = len(self.source)  # type: ignore[arg-type]
        except TypeError as error:
            raise UserError("the loader must have a length", where=self.where) from error
        if not steps:
            raise UserError("the loader has no batch", where=self.where)
        return steps

    def first(self) -> tuple[Tensor, Tensor]:
        """The inputs and labels of a batch; the labels as they are."""
        with unchanged(self.source):
            for given in self.source:
                return _parts(given, f"{self.where}, batch 0")
        raise UserError("the loader has no batch", where=self.where)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Inputs and classes int64 ``[b]`` of an epoch, from batch ``start`` on.

        Raises:
            UserError: a batch is not one, or there are not as many as the loader has by its length.
        """
        steps, done = self.steps, 0
        for x, y in self._seeded("loader", epoch):
            done += 1
            if start < done <= steps:
                yield x, y
        if done != steps:
            raise UserError(
                f"gave {done} batches in epoch {epoch}, and has {steps} by its length",
                where=self.where,
                remedy=_ANEW,
            )

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Inputs of the first epoch with their labels as they are."""
        for place, given in self._given("loader", 0):
            yield _parts(given, place)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of a validation: the same each time.

        Raises:
            UserError: a batch is not one, or there is none.
        """
        empty = True
        for batch in self._seeded("validation"):
            empty = False
            yield batch
        if empty:
            raise UserError("the loader has no batch", where=self.where, remedy=_ANEW)

    def _seeded(self, *path: int | str) -> Iterator[tuple[Tensor, Tensor]]:
        for place, given in self._given(*path):
            x, labels = _parts(given, place)
            yield x, _classes(labels, self.outputs, place)

    def _given(self, *path: int | str) -> Iterator[tuple[str, Any]]:
        """What the loader yields as it is, and how each batch is called."""
        number = int(Stream(self.seed, *path).bits(1)[0])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(number)
            for generator in _generators(self.source):
                generator.manual_seed(number)
            for step, given in enumerate(self.source):
                yield f"{self.where}, batch {step}", given


@contextmanager
def unchanged(source: object) -> Iterator[None]:
    """Look into a loader without moving the random numbers of torch, numpy and ``random``."""
    states = [(generator, generator.get_state()) for generator in _generators(source)]
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
        for generator, state in states:
            generator.set_state(state)


def _generators(source: object) -> list[torch.Generator]:
    """Those of a loader and of its samplers."""
    batches = getattr(source, "batch_sampler", None)
    holders = [source, getattr(source, "sampler", None), batches, getattr(batches, "sampler", None)]
    found = [getattr(holder, "generator", None) for holder in holders]
    return [generator for generator in found if isinstance(generator, torch.Generator)]


def _parts(given: object, place: str) -> tuple[Tensor, Tensor]:
    """The inputs and labels of a batch, as tensors of as many samples."""
    if isinstance(given, dict):
        raise UserError(
            "is a dict: which of its entries are the inputs, and which the classes?",
            where=place,
            value=list(given),
            remedy=_PAIR,
        )
    if not isinstance(given, tuple | list) or len(given) != 2:
        parts = f"of {len(given)} parts" if isinstance(given, tuple | list) else _kind(given)
        what = f"must be a pair (inputs, classes), not a {parts}"
        raise UserError(what.replace("a of", "one of"), where=place, remedy=_PAIR)
    x, y = given
    if not isinstance(x, Tensor | np.ndarray):
        raise UserError("inputs must be a tensor", where=place, value=_kind(x), remedy=_PAIR)
    x, y = _tensor(x, "inputs", place), _tensor(y, "classes", place)
    if not y.dim() or not x.dim():
        raise UserError(
            "is a single sample, not a batch",
            where=place,
            value=(list(x.shape), list(y.shape)),
            remedy="Wrap the data set: DataLoader(data, batch_size=64)",
        )
    if not len(y) or not x.numel():
        raise UserError("has no sample", where=place, value=list(x.shape))
    if len(y) not in x.shape[:2]:
        raise UserError(
            "has not as many inputs as classes", where=place, value=(list(x.shape), list(y.shape))
        )
    if x.is_floating_point():
        if not bool(x.isfinite().all()):
            remedy = "Clean the data, or leave these samples out"
            raise UserError("inputs hold NaN or infinity", where=place, remedy=remedy)
        x = x.float()
    return x, y


def _tensor(given: object, what: str, place: str) -> Tensor:
    if isinstance(given, Tensor):
        if given.layout is not torch.strided or given.is_nested or given.is_quantized:
            kind = "nested" if given.is_nested else str(given.layout).removeprefix("torch.")
            kind = "quantized" if given.is_quantized else kind
            remedy = "Give a plain tensor: x.to_dense(), a padded one, or x.dequantize()"
            raise UserError(
                f"{what} must be a dense tensor", where=place, value=kind, remedy=remedy
            )
        if given.is_meta:
            raise UserError(f"{what} have no values", where=place, value="meta")
        return given
    try:
        return torch.tensor(given)
    except (TypeError, ValueError, RuntimeError) as error:
        problem = f"{what} must be a tensor: {said(error)}"
        raise UserError(problem, where=place, value=_kind(given)) from error


def _classes(labels: Tensor, outputs: int, place: str) -> Tensor:
    """Classes int64 ``[B]`` of labels as people have them."""
    shape = list(labels.shape)
    y = labels[:, 0] if labels.dim() == 2 and shape[1] == 1 else labels
    if y.dim() == 2 and shape[1] == outputs:
        ones = y == 1
        if bool((ones | (y == 0)).all()) and bool((ones.sum(1) == 1).all()):
            return ones.int().argmax(1)
    if y.dim() != 1:
        raise UserError(
            f"classes must be [B], or one-hot [B, {outputs}] with a single 1 a row",
            where=place,
            value=shape,
        )
    if y.is_floating_point() or y.is_complex():
        raise UserError(
            "classes must be whole numbers",
            where=place,
            value=str(y.dtype),
            remedy="If they are classes and nothing in between, give y.long()",
        )
    y = y.long()
    low, high = (int(v) for v in torch.aminmax(y))
    if low < 0 or high >= outputs:
        raise UserError(
            f"a class is not from 0 to {outputs - 1}: the network has {outputs} outputs",
            where=place,
            value=low if low < 0 else high,
            remedy="Leave samples without a class out"
            if low < 0
            else "Count classes from 0, or give the network as many outputs",
        )
    return y


def _kind(value: object) -> str:
    return type(value).__name__
