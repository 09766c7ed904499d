"""Which samples a batch is of, for what a network draws for each of them.

What makes batches says it, so that a draw depends neither on the place in the batch, nor on the
size of the batch, nor on which process computes the sample.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from spiketicket.philox import Stream


@dataclass(frozen=True, eq=False)
class SampleIds:
    """The ids int64 [b] of a batch's samples, and the epoch, which is None in an evaluation."""

    ids: NDArray[np.int64]
    epoch: int | None = None

    def uniform(self, seed: int, purpose: str, count: int) -> NDArray[np.float32]:
        """``count`` numbers in [0, 1) for each sample, a function of (seed, epoch, id); [b, n]."""
        when = ("test",) if self.epoch is None else (self.epoch,)
        return Stream(seed, purpose, *when).uniform_rows(self.ids, count)


_current: ContextVar[SampleIds | None] = ContextVar("samples", default=None)


@contextmanager
def announced(samples: SampleIds | None) -> Iterator[None]:
    """Say which samples the next forward pass is of."""
    token = _current.set(samples)
    try:
        yield
    finally:
        _current.reset(token)


@contextmanager
def share(rows: slice) -> Iterator[None]:
    """Only these rows of the batch are computed here."""
    known = _current.get()
    with announced(known and replace(known, ids=known.ids[rows])):
        yield


def current(count: int) -> SampleIds | None:
    """Those of the batch of ``count`` that is computed now, or None where nobody said it."""
    known = _current.get()
    return known if known is not None and len(known.ids) == count else None
