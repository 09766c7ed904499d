"""Classes with their scores: what a ticket says of a sample."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from spiketicket.errors import plain
from spiketicket.machine.above import Drawn, brief

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from spiketicket.engine.engine import Engine
    from spiketicket.engine.inputs import Sample

_BATCH_VALUES = 1 << 22
_BATCH = 256


@dataclass(frozen=True)
class Score:
    """A class by name and number, the network's logit for it, and its share by softmax."""

    name: str
    index: int
    logit: float
    probability: float

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "class": self.name,
            "index": self.index,
            "logit": self.logit,
            "probability": self.probability,
        }


@dataclass(frozen=True)
class Classified(Drawn):
    """The classes of one sample, best first; ``notes`` say how its file was read.

    ``str`` of it is one line; iterating gives the scores.
    """

    drawn_by: ClassVar[str] = "classified_html"

    input: str
    scores: tuple[Score, ...]
    notes: tuple[str, ...] = ()
    steps: int | None = None
    """Time steps that were computed, where the answer could come early."""

    @property
    def name(self) -> str:
        """The best class."""
        return self.scores[0].name

    @property
    def index(self) -> int:
        """The number of the best class."""
        return self.scores[0].index

    @property
    def probability(self) -> float:
        """The share of the best class."""
        return self.scores[0].probability

    def __iter__(self) -> Iterator[Score]:
        return iter(self.scores)

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, place: int) -> Score:
        return self.scores[place]

    def __str__(self) -> str:
        scores = ", ".join(f"{s.name} {100 * s.probability:.1f} %" for s in self.scores)
        if self.steps is None:
            return plain(scores)
        return plain(f"{scores} after {self.steps} step{'s' * (self.steps != 1)}")

    def __repr__(self) -> str:
        return f"<Classified {brief(self.input)}: {brief(self)}>"

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        steps = {} if self.steps is None else {"steps": self.steps}
        return {"input": self.input, "classes": [s.to_dict() for s in self.scores], **steps}


def batch_size(engine: Engine) -> int:
    """Samples to classify at once: as many as take little memory."""
    p = engine.program
    return max(1, min(_BATCH, _BATCH_VALUES // (p.frames * p.channels * p.height * p.width)))


def stacked(engine: Engine, samples: Sequence[Sample]) -> NDArray[np.generic]:
    """Samples of one type as a batch, as :meth:`Engine.run` takes it."""
    import numpy as np

    return np.stack([sample.x for sample in samples]).reshape(len(samples), *engine.input_shape)


def classified(
    engine: Engine, samples: Sequence[Sample], top: int, margin: float | None = None
) -> list[Classified]:
    """The ``top`` best classes of each sample, of equal logits the first one first.

    With a ``margin`` each answer may come early.
    """
    import numpy as np

    x, steps = stacked(engine, samples), list[int | None]([None] * len(samples))
    if margin is None:
        logits = engine.run(x)
    else:
        logits, taken = engine.run_early(x, margin)
        steps = [int(t) for t in taken]
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    shares = powers / powers.sum(axis=1, keepdims=True)
    best = np.argsort(-logits, axis=1, kind="stable")[:, :top]
    return [
        Classified(
            sample.name,
            tuple(Score(engine.classes[i], int(i), float(row[i]), float(share[i])) for i in order),
            sample.notes,
            step,
        )
        for sample, row, share, order, step in zip(
            samples, logits, shares, best, steps, strict=True
        )
    ]


def all_classified(
    engine: Engine, samples: Sequence[Sample], top: int, margin: float | None = None
) -> list[Classified]:
    """The same of any number of samples of any types."""
    found: list[Classified] = []
    most, start = batch_size(engine), 0
    while start < len(samples):
        end = start
        kind = samples[start].x.dtype
        while end < min(len(samples), start + most) and samples[end].x.dtype == kind:
            end += 1
        found += classified(engine, samples[start:end], top, margin)
        start = end
    return found
