"""Where everything lies: a layer's constant tables, the maps of spikes in RAM, and their sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spiketicket.export.c.chain import Affine, Chain, ExportError, Layer
from spiketicket.export.c.coding import encode_layer
from spiketicket.export.c.source import array, number
from spiketicket.export.c.thresholds import PlaneThresholds

_MOST_RAM_WORDS = 1 << 28


@dataclass(frozen=True, kw_only=True)
class Map:
    """Spikes in RAM, from word ``at`` on; ``pad`` rows of zeros above and below."""

    at: int
    channels: int
    rows: int
    width: int
    pad: int
    steps: int

    @property
    def blocks(self) -> int:
        """Words of a row of columns."""
        return -(-self.width // 32)

    @property
    def slabs(self) -> int:
        """Words a row of columns takes for all steps, over ``blocks``."""
        pack = 1 if self.width > 16 else 32 // self.width
        return -(-self.steps // pack)

    @property
    def words(self) -> int:
        """Words of RAM."""
        return self.slabs * self.blocks * (self.rows + 2 * self.pad) * self.channels

    @property
    def text(self) -> str:
        """The C initialiser."""
        sides = (self.channels, self.rows, self.width, self.pad, self.steps)
        return f"{{{self.at}u, {', '.join(str(side) for side in sides)}}}"


def place_maps(chain: Chain) -> tuple[tuple[Map, ...], int]:
    """The map behind each layer, and the words of RAM for all: neighbours do not overlap.

    Raises:
        ExportError: they do not fit 32-bit words.
    """
    pads = [layer.pad for layer in chain.layers[1:]] + [0]
    maps = [_map(layer, pad) for layer, pad in zip(chain.layers, pads, strict=True)]
    sizes = [m.words for m in maps]
    total = max([a + b for a, b in pairwise(sizes)], default=sizes[0])
    if total > _MOST_RAM_WORDS:
        raise ExportError("the maps of spikes need more than 1 GiB", value=4 * total)
    # From the two ends in turns.
    starts = [total - size if i % 2 else 0 for i, size in enumerate(sizes)]
    return tuple(_map(*x) for x in zip(chain.layers, pads, starts, strict=True)), total


def _map(layer: Layer, pad: int, at: int = 0) -> Map:
    rows, width = layer.pooled
    output = layer.output
    return Map(at=at, channels=output.channels, rows=rows, width=width, pad=pad, steps=output.steps)


@dataclass(frozen=True, eq=False, kw_only=True)
class LayerTables:
    """A layer on spikes: the C text of its arrays and of its entry, and the bytes of flash."""

    planes: PlaneThresholds
    narrow: bool
    """Whether distances between weights are half bytes."""
    arrays: str
    entry: str
    weight_bytes: int
    table_bytes: int


@dataclass(frozen=True)
class Types:
    """The smallest C types that hold all thresholds, and all bands."""

    threshold: str
    band: str


def types_of(layers: Sequence[PlaneThresholds]) -> Types:
    """The types for all layers on spikes."""
    thresholds = max((int(layer.thresholds.max()) for layer in layers), default=0)
    bands = max((int(layer.bands.max()) for layer in layers), default=0)
    return Types(_smallest(thresholds, "uint16_t"), _smallest(bands, "uint8_t"))


_BYTES = {"uint8_t": 1, "uint16_t": 2, "uint32_t": 4, "int16_t": 2, "int32_t": 4, "float": 4}


def _smallest(largest: int, at_least: str) -> str:
    kinds = [
        kind for kind in ("uint8_t", "uint16_t", "uint32_t") if _BYTES[kind] >= _BYTES[at_least]
    ]
    return next(kind for kind in kinds if largest < 1 << 8 * _BYTES[kind])


def layer_tables(
    index: int, layer: Layer, maps: tuple[Map, Map], planes: PlaneThresholds, types: Types
) -> LayerTables:
    """Layer ``index`` between two maps."""
    signs = layer.signs * np.where(planes.turned, -1, 1).astype(np.int8)[:, None, None, None]
    weights, narrow = encode_layer(signs, layer.pad)
    parts: dict[str, tuple[str, NDArray[Any]]] = {
        "thresholds": (types.threshold, planes.thresholds)
    }
    close = planes.bands.any()
    if close:
        parts["bands"] = types.band, planes.bands
    if close or (layer.pool_sums and planes.turned.any()):
        parts["offsets"] = "int32_t", 2 * planes.minus + planes.turned
    if close:
        # Only then does the C code compute in float32, and only in this layer.
        parts |= {k: ("float", v) for k, v in affine_arrays(layer.affine).items()}
    text = array("uint8_t", f"layer{index}_weights", weights)
    for name, (kind, values) in parts.items():
        text += array(kind, f"layer{index}_{name}", values)
    pointers = [
        f"layer{index}_{name}" if name in parts else "NULL"
        for name in ("thresholds", "bands", "offsets", "bias", "scale", "shift")
    ]
    numbers = (
        layer.signs.shape[3],
        layer.stride,
        layer.output.height,
        layer.output.width,
        planes.planes,
        planes.fraction,
        int(layer.pool),
        int(layer.memory),
        int(narrow),
        int(layer.pool_sums),
    )
    fields = [
        f"layer{index}_weights",
        *pointers,
        number(layer.affine.alpha),
        number(layer.v_threshold),
        *(m.text for m in maps),
        *map(str, numbers),
    ]
    return LayerTables(
        planes=planes,
        narrow=narrow,
        arrays=text,
        entry=f"    {{{', '.join(fields)}}},\n",
        weight_bytes=len(weights),
        table_bytes=sum(_BYTES[kind] * values.size for kind, values in parts.values()),
    )


def affine_arrays(affine: Affine) -> dict[str, NDArray[np.float32]]:
    """The arrays of a layer's bias and affine map that are there, by their names in C."""
    parts = {"bias": affine.bias, "scale": affine.a, "shift": affine.b}
    return {name: values for name, values in parts.items() if values is not None}
