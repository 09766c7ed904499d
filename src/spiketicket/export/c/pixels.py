"""C tables and macros of a network's two ends: encoder and first layer, and the classifier."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spiketicket.export.c.chain import Chain
from spiketicket.export.c.coding import encode_rows
from spiketicket.export.c.source import array, define, number
from spiketicket.export.c.tables import Map, affine_arrays
from spiketicket.export.c.thresholds import PixelThresholds, pixel_thresholds


@dataclass(frozen=True, kw_only=True)
class End:
    """Macros, then arrays; bytes of flash for weights and for other tables, and bytes of RAM."""

    macros: str
    arrays: str
    weight_bytes: int
    table_bytes: int
    ram_bytes: int
    floats: bool
    """Whether any of it is computed in float32."""


def first_layer(chain: Chain, out: Map) -> End:
    """The layer on pixels, which writes the map ``out``."""
    layer, program = chain.layers[0], chain.program
    lut = chain.lut
    found = None if lut is None else pixel_thresholds(layer, lut, program.steps)
    floats = found is None or found.band > 0
    weights = encode_rows(layer.signs)
    kernel = (*layer.signs.shape[2:], layer.stride, layer.pad)
    shape = (*kernel, layer.output.height, layer.output.width, int(layer.pool), int(layer.memory))
    macros = define("FIRST_LAYER", f"{{{out.text}, {', '.join(map(str, shape))}}}")
    macros += define("FLOAT_PIXELS", int(lut is None)) + define("FIRST_FLOAT", int(floats))
    columns = layer.output.width * (2 if layer.pool_sums else 1)
    macros += define("FIRST_COLUMNS", f"{columns}u")
    macros += define("FIRST_POOL_SUMS", int(layer.pool_sums))
    text, size = array("uint8_t", "first_weights", weights), 0
    if found is not None:
        macros += define("FIRST_LEVELS", found.thresholds.shape[1])
        macros += define("FIRST_BAND", f"{found.band}u")
        made, size = _pixel_arrays(found)
        text += made
    if floats:
        parts = affine_arrays(layer.affine)
        macros += define("FIRST_ALPHA", number(layer.affine.alpha))
        macros += define("FIRST_THRESHOLD", number(layer.v_threshold))
        macros += _affine_macros("FIRST", parts)
        arrays = {f"first_{name}": values for name, values in parts.items()}
        if lut is not None:
            arrays["first_values"] = lut
        text += "".join(array("float", name, values) for name, values in arrays.items())
        size += sum(4 * values.size for values in arrays.values())
    sums = columns + (layer.output.width if layer.pool_sums else 0)
    ram = 0 if found is None else 4 * program.frames * sums
    return End(
        macros=macros,
        arrays=text,
        weight_bytes=len(weights),
        table_bytes=size,
        ram_bytes=ram,
        floats=floats,
    )


def encoder_part(chain: Chain) -> End | None:
    """What stands before ``runtime/encoder.c``, where the network has an encoder."""
    encoder, program = chain.encoder, chain.program
    if encoder is None:
        return None
    lut = program.lut
    macros = define("RAW_CHANNELS", program.channels) + define("RAW_FLOAT", int(lut is None))
    macros += define("FILTERS", len(encoder.filters)) + define("RECTIFIED", int(encoder.rectified))
    text = array("float", "encoder_filters", encoder.filters)
    if lut is not None:
        text += array("float", "raw_values", lut)
    positions = program.frames * program.height * program.width
    return End(
        macros=macros,
        arrays=text,
        weight_bytes=4 * encoder.filters.size,
        table_bytes=0 if lut is None else 4 * lut.size,
        ram_bytes=4 * encoder.planes * positions,
        floats=True,
    )


def _pixel_arrays(found: PixelThresholds) -> tuple[str, int]:
    arrays: dict[str, tuple[str, NDArray[Any]]] = {
        "first_table": ("int32_t", found.table),
        "first_thresholds": ("int32_t", found.thresholds),
        "first_turned": ("uint8_t", found.turned.astype(np.uint8)),
    }
    text = "".join(array(kind, name, values) for name, (kind, values) in arrays.items())
    return text, 4 * (found.table.size + found.thresholds.size) + found.turned.size


def readout(chain: Chain, features: Map) -> End:
    """The classifier, which reads the map ``features``."""
    end = chain.readout
    weights = encode_rows(end.signs)
    parts = affine_arrays(end.affine)
    most = features.steps * (features.rows * features.width if end.positions else 1)
    count = "uint8_t" if most < 256 else "uint16_t"
    macros = define("READOUT_MAP", features.text) + define("FEATURES", end.signs.shape[1])
    macros += define("READOUT_POSITIONS", int(end.positions))
    macros += define("READOUT_FLOAT", int(not end.whole)) + _affine_macros("READOUT", parts)
    if not end.whole:
        macros += define("READOUT_ALPHA", number(end.affine.alpha))
        macros += define("READOUT_DIVISOR", number(end.divisor))
    text = f"typedef {count} count_of;\n" + array("uint8_t", "readout_weights", weights)
    text += "".join(array("float", f"readout_{name}", values) for name, values in parts.items())
    return End(
        macros=macros,
        arrays=text,
        weight_bytes=len(weights),
        table_bytes=sum(4 * values.size for values in parts.values()),
        ram_bytes=end.signs.shape[1] * (1 if most < 256 else 2),
        floats=not end.whole,
    )


def _affine_macros(prefix: str, parts: dict[str, NDArray[np.float32]]) -> str:
    flags = {"BIAS": "bias" in parts, "SCALE": "scale" in parts}
    return "".join(define(f"{prefix}_{key}", int(there)) for key, there in flags.items())
