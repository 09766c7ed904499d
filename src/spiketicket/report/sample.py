"""``sample.npz`` of a stage: a few images, and what the net does with one of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spiketicket.machine.arrays import read_arrays


@dataclass(frozen=True, eq=False, kw_only=True)
class Sample:
    """Shapes: M images, F frames of each, k kept patches, T time steps."""

    index: int
    label: int
    prediction: int
    classes: tuple[str, ...]
    images: NDArray[Any]
    """[M, F, C, H, W] as stored."""
    ids: tuple[int, ...]
    """The images' indices in the test set."""
    labels: tuple[int, ...]
    kept: NDArray[np.int64] | None
    """[M, k] tokens that reach the encoder, or None where none is dropped."""
    grid: tuple[int, int] | None
    """Rows and columns of patches."""
    rasters: tuple[tuple[str, NDArray[np.bool_]], ...]
    """Layer and spikes [T, n]."""
    membrane_name: str
    membrane: NDArray[np.float64]
    """Potential before firing [T, m]."""
    membrane_spikes: NDArray[np.bool_]
    threshold: float
    logits: NDArray[np.float64]

    def class_name(self, index: int) -> str:
        """A class in words."""
        return self.classes[index] if 0 <= index < len(self.classes) else str(index)


def read_sample(path: Path) -> Sample:
    """Read the file; any damage raises, whatever it is."""
    sample = _sample(read_arrays(path))
    _check(sample)
    return sample


def _sample(values: dict[str, Any]) -> Sample:
    names = [str(name) for name in values.get("raster_names", ())]
    spikes = [np.asarray(values[f"raster_{i}"], np.bool_) for i in range(len(names))]
    kept, grid = values.get("kept"), values.get("grid")
    return Sample(
        index=int(values["index"]),
        label=int(values["label"]),
        prediction=int(values["prediction"]),
        classes=tuple(str(name) for name in values["classes"]),
        images=np.asarray(values["images"]),
        ids=tuple(int(i) for i in values.get("ids", range(len(values["images"])))),
        labels=tuple(int(label) for label in values["labels"]),
        kept=None if kept is None else np.asarray(kept, np.int64),
        grid=None if grid is None else (int(grid[0]), int(grid[1])),
        rasters=tuple(zip(names, spikes, strict=True)),
        membrane_name=str(values.get("membrane_name", "")),
        membrane=np.asarray(values.get("membrane", np.zeros((0, 0))), np.float64),
        membrane_spikes=np.asarray(values.get("membrane_spikes", np.zeros((0, 0))), np.bool_),
        threshold=float(values.get("threshold", 1.0)),
        logits=np.asarray(values.get("logits", np.zeros(0)), np.float64),
    )


def _check(sample: Sample) -> None:
    images, kept, grid = sample.images, sample.kept, sample.grid
    problems = {
        "images are not [M, F, C, H, W]": images.ndim != 5 or not images.size,
        "not a label for every image": len(sample.labels) != len(images),
        "not an index for every image": len(sample.ids) != len(images),
        "kept is not [M, k]": kept is not None and (kept.ndim != 2 or len(kept) != len(images)),
        "kept without a grid": (kept is None) != (grid is None),
        "a raster is not [T, n]": any(spikes.ndim != 2 for _, spikes in sample.rasters),
        "membranes are not [T, m]": sample.membrane.ndim != 2,
        "not a spike for every potential": sample.membrane.shape != sample.membrane_spikes.shape,
        "logits are not one per class": sample.logits.shape not in ((0,), (len(sample.classes),)),
    }
    wrong = next((text for text, is_so in problems.items() if is_so), None)
    if wrong is None and kept is not None and grid is not None and kept.size:
        inside = kept.min() >= 0 and kept.max() < grid[0] * grid[1]
        wrong = None if inside else "a kept patch is outside the grid"
    if wrong:
        raise ValueError(wrong)
