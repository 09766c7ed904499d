"""Test images with their kept patches; of recordings the sum of their frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spiketicket.report.figures.canvas import WIDTH, Figure, brief, drawing, px, text
from spiketicket.report.figures.recording import coloured, full_count, image
from spiketicket.report.markup import Markup, element, joined
from spiketicket.report.sample import Sample

_COLUMNS, _GAP = 4, 8.0
_SIDE = (WIDTH - (_COLUMNS - 1) * _GAP) / _COLUMNS


def pictures(sample: Sample, stage: str) -> Figure:
    """At most 8 images; patches that are dropped are dimmed."""
    parts: list[Markup] = []
    count = min(len(sample.images), 8)
    rows: list[tuple[int | str, ...]] = []
    height = _SIDE * sample.images.shape[3] / sample.images.shape[4]
    for m in range(count):
        x = (m % _COLUMNS) * (_SIDE + _GAP)
        y = (m // _COLUMNS) * (height + 22)
        parts.append(image(colours(sample.images[m]), x, y, _SIDE, height))
        parts.append(text(x, y + height + 13, sample.class_name(sample.labels[m]), "small dim"))
        if sample.kept is not None and sample.grid is not None:
            kept = np.zeros(sample.grid[0] * sample.grid[1], np.bool_)
            kept[sample.kept[m]] = True
            parts.append(_veil(kept.reshape(sample.grid), x, y, height))
            rows += [
                (
                    sample.ids[m],
                    sample.class_name(sample.labels[m]),
                    i // sample.grid[1],
                    i % sample.grid[1],
                )
                for i in sorted(set(sample.kept[m].tolist()))
            ]
        else:
            rows.append((sample.ids[m], sample.class_name(sample.labels[m]), "all", "all"))
    lines = -(-count // _COLUMNS)
    frames = sample.images.shape[1]
    what = "Sum of the frames: blue brighter, red darker." if frames > 1 else ""
    if sample.kept is not None and sample.grid is not None:
        all_of = sample.grid[0] * sample.grid[1]
        what = f"Outlined: the {sample.kept.shape[1]} of {all_of} patches that are kept. {what}"
    title = "Kept patches" if sample.kept is not None else "Test images"
    return Figure(
        name=f"images-{stage}",
        title=title,
        caption=f"{_which(sample.ids[:count])} of the test set. {what}".strip(),
        svg=drawing(lines * (height + 22), joined(parts), label=title),
        columns=("image", "class", "patch_row", "patch_column"),
        rows=tuple(rows),
    )


def first_pictures(images: NDArray[Any], classes: Sequence[str]) -> Figure:
    """At most 8 images ``[N, C, H, W]``, or recordings of frames ``[N, T, C, H, W]``, with their
    classes in words.
    """
    frames = images[:8] if images.ndim == 5 else images[:8, None]
    height = _SIDE * frames.shape[3] / frames.shape[4]
    parts: list[Markup] = []
    for m, pixels in enumerate(frames):
        x, y = (m % _COLUMNS) * (_SIDE + _GAP), (m // _COLUMNS) * (height + 22)
        parts.append(image(colours(pixels), x, y, _SIDE, height))
        parts.append(text(x, y + height + 13, brief(classes[m], 14), "small dim"))
    lines = -(-len(frames) // _COLUMNS)
    return Figure(
        name="samples",
        title="The first samples",
        caption="Sum of the frames: blue brighter, red darker." if images.ndim == 5 else "",
        svg=drawing(lines * (height + 22), joined(parts), label="The first samples"),
        columns=("sample", "class"),
        rows=tuple(enumerate(classes[: len(frames)])),
    )


def _which(ids: tuple[int, ...]) -> str:
    first = next((i for i, index in enumerate(ids) if index != i), len(ids))
    others = ", ".join(str(index) for index in ids[first:])
    found = ([f"the first {first}"] if first else []) + ([f"sample {others}"] if others else [])
    return " and ".join(found).capitalize()


def colours(frames: NDArray[Any]) -> NDArray[Any]:
    """Frames [F, C, H, W] as one image: colours, grey, or polarities summed over time."""
    if frames.shape[0] > 1 or frames.shape[1] == 2:
        total = frames.sum(0, dtype=np.float64)
        return coloured(total[:2], full_count(total))
    pixels = frames[0]
    if pixels.dtype != np.uint8:
        pixels = np.clip(pixels.astype(np.float64) * 255 / max(1.0, float(pixels.max())), 0, 255)
    if len(pixels) != 3:
        return np.asarray(pixels[0], np.uint8)
    return np.asarray(pixels.transpose(1, 2, 0), np.uint8)


def _veil(kept: NDArray[np.bool_], x: float, y: float, height: float) -> Markup:
    """A veil over dropped patches and a line around the kept ones, a patch being one unit."""
    rows, columns = kept.shape
    frame = f"translate({px(x)} {px(y)})scale({_SIDE / columns:.5g} {height / rows:.5g})"
    framed = np.pad(kept, 1)
    across = framed[1:, 1:-1] != framed[:-1, 1:-1]
    down = (framed[1:-1, 1:] != framed[1:-1, :-1]).T
    outline = "".join(f"M{c} {r}h{n}" for r, c, n in _runs(across))
    outline += "".join(f"M{c} {r}v{n}" for c, r, n in _runs(down))
    veil = "".join(f"M{c} {r}.5h{n}" for r, c, n in _runs(~kept))
    drawn = [element("path", d=veil, class_="veil")] if veil else []
    return element("g", *drawn, element("path", d=outline, class_="outline"), transform=frame)


def _runs(grid: NDArray[np.bool_]) -> list[tuple[int, int, int]]:
    """Row, first column and length of every unbroken run of a row."""
    found = []
    for index, row in enumerate(grid):
        edges = np.flatnonzero(np.diff(np.pad(row.astype(np.int8), 1)))
        found += [(index, int(a), int(b - a)) for a, b in edges.reshape(-1, 2)]
    return found
