"""``answers.npz`` of a run: labels of the test set, and pictures of a few samples of it.

With the predictions of every stage it says which classes are taken for which. The pictures are a
sample of every class, and samples to which the ticket of the first seed gives a wrong answer: as
they are stored, frames of a recording added up. Needs no PyTorch.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from spiketicket.data.types import Samples
from spiketicket.machine.arrays import read_arrays

MOST_CLASSES: Final = 20
"""Classes of which a sample is shown."""
MOST_WRONG: Final = 16
_LARGEST = 200_000


@dataclass(frozen=True, eq=False, kw_only=True)
class Answers:
    """Shapes: N test samples, M of them with their picture."""

    labels: NDArray[np.int64]
    """[N]."""
    classes: tuple[str, ...]
    ids: NDArray[np.int64]
    """Indices of the pictures in the test set, [M]."""
    images: NDArray[Any]
    """[M, C, H, W] as stored; of recordings the sum of the frames."""
    examples: tuple[int, ...]
    """Indices of one sample of every class."""
    wrong: tuple[int, ...]
    """Indices of samples that the ticket of ``seed`` takes for another class."""
    seed: int

    def image(self, index: int) -> NDArray[Any]:
        """The picture of a sample, [C, H, W]."""
        return np.asarray(self.images[int(np.flatnonzero(self.ids == index)[0])])

    def class_name(self, index: int) -> str:
        """A class in words."""
        return self.classes[index] if 0 <= index < len(self.classes) else str(index)


def answers_file(
    test: Samples, classes: Sequence[str], predictions: NDArray[np.int64], seed: int
) -> bytes:
    """The content of ``answers.npz``; fewer pictures where they would make it large.

    ``predictions`` [N] are those of the ticket of ``seed``.
    """
    labels = np.asarray(test.y, np.int64)
    first = [int(np.flatnonzero(labels == c)[0]) for c in sorted(set(labels.tolist()))]
    mistaken = np.flatnonzero(predictions != labels).tolist()
    shown, content = MOST_WRONG, b""
    while True:
        examples, wrong = first[: min(MOST_CLASSES, 2 * shown)], mistaken[:shown]
        ids = sorted({*examples, *wrong})
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer,
            labels=labels,
            classes=np.array(list(classes)),
            ids=np.array(ids, np.int64),
            images=_pictures(test.x[ids]),
            examples=np.array(examples, np.int64),
            wrong=np.array(wrong, np.int64),
            seed=np.array(seed),
        )
        content = buffer.getvalue()
        if len(content) <= _LARGEST or not shown:
            return content
        shown //= 2


def _pictures(x: NDArray[Any]) -> NDArray[Any]:
    """Samples [M, C, H, W], or [M, T, C, H, W] added up."""
    return x if x.ndim == 4 else x.sum(1, dtype=np.uint32)


def read_answers(path: Path) -> Answers:
    """Read the file; any damage raises, whatever it is."""
    values = read_arrays(path)
    found = Answers(
        labels=np.asarray(values["labels"], np.int64),
        classes=tuple(str(name) for name in values["classes"]),
        ids=np.asarray(values["ids"], np.int64),
        images=np.asarray(values["images"]),
        examples=tuple(int(i) for i in values["examples"]),
        wrong=tuple(int(i) for i in values["wrong"]),
        seed=int(values["seed"]),
    )
    known, count = set(found.ids.tolist()), len(found.labels)
    problems = {
        "labels are not one per sample": found.labels.ndim != 1 or not count,
        "a label is of no class": bool((found.labels < 0).any())
        or int(found.labels.max(initial=0)) >= len(found.classes),
        "pictures are not [M, C, H, W]": found.images.ndim != 4,
        "not a picture for every index": len(found.ids) != len(found.images),
        "an index is of no sample": any(not 0 <= i < count for i in known),
        "a sample has no picture": not known.issuperset((*found.examples, *found.wrong)),
    }
    wrong = next((text for text, is_so in problems.items() if is_so), None)
    if wrong:
        raise ValueError(wrong)
    return found
