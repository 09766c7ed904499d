"""What a peer's process is told, and what a peer gives back to it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


class Unavailable(Exception):  # noqa: N818  not an error: a peer that cannot take part
    """A peer cannot run this ticket here; the text says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One peer at one batch size and number of threads.

    ``inputs`` and ``calibration`` are ``.npy`` files, float32 [N, C, H, W] or [N, T, C, H, W],
    normalised as the ticket says; ``folder`` is the process's own, for what it has to write.
    """

    ticket: str
    peer: str
    batch: int
    threads: int
    cpus: tuple[int, ...]
    inputs: str
    calibration: str
    folder: str

    def save(self, path: Path) -> None:
        """Write it for the process to read."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Job:
        """Read what :meth:`save` wrote."""
        fields = json.loads(path.read_text(encoding="utf-8"))
        return cls(**{**fields, "cpus": tuple(fields["cpus"])})

    def images(self) -> Array:
        """The images to run on, as many as fill whole batches."""
        return np.asarray(np.load(self.inputs), np.float32)

    def calibration_images(self) -> Array:
        """Training images, for what has to see typical values first."""
        return np.asarray(np.load(self.calibration), np.float32)


@dataclass(frozen=True)
class Prepared:
    """A peer ready to run: ``run`` takes a batch as the job's images and gives logits float32
    [batch, classes]; ``settings`` says in words what was found to be best for it.
    """

    run: Callable[[Array], Array]
    settings: dict[str, Any]


Prepare = Callable[[Job], Prepared]
