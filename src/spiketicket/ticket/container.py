"""How metadata and arrays lie in a file of format 3: one safetensors array of bytes.

    header   {"__metadata__":{"spiketicket":"3"},"ticket":{"dtype":"U8","shape":[N],...}}
    4 bytes  the length of the head, little endian
    head     JSON in raw DEFLATE (RFC 1951) with the preset dictionary ``words.txt``
    arrays   their little-endian bytes, in order of name, without holes

The head is a list of four: the ticket's metadata, and three that say what the arrays are:

    coded    for each layer, how many bytes its mask has, and ``s``, ``d``, ``v`` or ``c`` for
             stored signs, drawn signs, values, or codes and scales; ``"v"`` or ``"c"`` alone has no
             mask, and ``""`` is in ``state``
    norms    BatchNorm by module: its channels, in a list where it has a scale and a shift
    state    every other array by name: its type and shape, or the length of a float32 vector

and the scale of a layer is written as a float32. A head is never unpacked beyond 16 MiB, nor beyond
64 times its size and 64 KiB more, whatever it says.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any, Final

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
Spec = tuple[np.dtype[Any], tuple[int, ...]]

VERSION: Final = 3
MAX_HEAD_BYTES: Final = 16 << 20
_LEAST, _RATIO, _PIECE = 1 << 16, 64, 1 << 16
_MOST = 1 << 40
_BUFFERS = ("running_mean", "running_var")
_AFFINE = ("bias", "weight")
_COUNT = "num_batches_tracked"
_TYPES: Final = (
    "bool",
    "uint8",
    "int8",
    "uint16",
    "int16",
    "uint32",
    "int32",
    "uint64",
    "int64",
    "float16",
    "float32",
    "float64",
)
_WORDS: Final = files("spiketicket.ticket").joinpath("words.txt").read_bytes()


def outer_header(length: int) -> bytes:
    """The first bytes of a file whose array has so many bytes."""
    entry = {"dtype": "U8", "shape": [length], "data_offsets": [0, length]}
    header = {"__metadata__": {"spiketicket": str(VERSION)}, "ticket": entry}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def pack_head(text: str) -> bytes:
    """The head's bytes, with their length before them."""
    plain = text.encode("ascii")
    packed = _deflated(plain, 9)
    if len(plain) > most_bytes(len(packed)):
        packed = _deflated(plain, 0)  # what shrinks so far would be taken for a bomb
    return len(packed).to_bytes(4, "little") + packed


def unpack_head(packed: bytes) -> str:
    """The text of a head. Raises ValueError where it is damaged, or larger than it may be."""
    most = most_bytes(len(packed))
    size = sum(map(len, _unpacked(packed)))  # counted before anything of it is kept
    if size > most:
        raise ValueError(f"{len(packed)} bytes that unpack to more than {most}")
    plain = b"".join(_unpacked(packed))
    return plain.decode("ascii")


def _unpacked(packed: bytes) -> Iterator[bytes]:
    """What a head unpacks to, in pieces, and no further than is looked at."""
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS, zdict=_WORDS)
    left, most, done = packed, most_bytes(len(packed)), 0
    while not unpacker.eof and done <= most:
        try:
            piece = unpacker.decompress(left, _PIECE)
        except zlib.error as error:
            raise ValueError(str(error)) from error
        left = unpacker.unconsumed_tail
        if not piece and not left and not unpacker.eof:
            raise ValueError("its compressed metadata is cut off or goes on")
        done += len(piece)
        yield piece
    if unpacker.unused_data:
        raise ValueError("its compressed metadata is cut off or goes on")


def most_bytes(packed: int) -> int:
    """How many bytes so many may unpack to."""
    return min(MAX_HEAD_BYTES, _LEAST + _RATIO * packed)


def _deflated(plain: bytes, level: int) -> bytes:
    packer = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS, 9, zdict=_WORDS)
    return packer.compress(plain) + packer.flush()


def head_of(metadata: Mapping[str, Any], arrays: Mapping[str, Array]) -> list[Any]:
    """Metadata and what the arrays are: see the module."""
    specs: dict[str, Spec] = {n: (a.dtype, a.shape) for n, a in arrays.items()}
    entries = metadata.get("layers")
    layers, coded = [], []
    for entry in entries if isinstance(entries, list) else []:
        row = _row(entry, specs)
        own = _layer_specs(entry, row) if row else {}
        alpha = entry.get("alpha") if row else None
        if row and (
            any(specs.get(name) != spec for name, spec in own.items())
            or (alpha is not None and float(arrays[f"alpha/{entry['name']}"]) != alpha)
        ):
            row, own = "", {}
        for name in own:
            del specs[name]
        short = isinstance(alpha, float) and row
        layers.append({**entry, "alpha": float(str(np.float32(alpha)))} if short else entry)
        coded.append(row)
    norms: dict[str, Any] = {}
    for name in sorted(specs):
        module = name.removesuffix(f".{_COUNT}").removeprefix("state/")
        if not name.startswith("state/") or not name.endswith(f".{_COUNT}"):
            continue
        channels = specs.get(f"state/{module}.{_BUFFERS[0]}", (None, ()))[1]
        if len(channels) == 1:
            for value in ([channels[0]], channels[0]):
                own = _norm_specs(module, value)
                if all(specs.get(n) == spec for n, spec in own.items()):
                    norms[module] = value
                    specs = {n: spec for n, spec in specs.items() if n not in own}
                    break
    state = {
        name: shape[0] if dtype == np.float32 and len(shape) == 1 else [dtype.name, list(shape)]
        for name, (dtype, shape) in specs.items()
    }
    own_layers = {"layers": layers} if isinstance(entries, list) else {}
    return [{**metadata, **own_layers}, coded, norms, state]


def specs_of(head: Any) -> tuple[dict[str, Any], dict[str, Spec]]:
    """The metadata in a head, and the type and shape of every array, in the order they lie.

    Raises ValueError where they make no sense.
    """
    if not isinstance(head, list) or [type(part) for part in head] != [dict, list, dict, dict]:
        raise ValueError("says not what its arrays are")
    metadata, coded, norms, state = head
    entries = metadata.get("layers")
    known = entries if isinstance(entries, list) else []
    if len(coded) != len(known):
        raise ValueError("says not what its layers' arrays are")
    found: dict[str, Spec] = {}
    for entry, row in zip(known, coded, strict=True):
        if row:
            _add(found, _layer_specs(entry, row))
            if entry["alpha"] is not None:
                with np.errstate(over="ignore"):
                    entry["alpha"] = float(np.float32(entry["alpha"]))
    for module, value in norms.items():
        _add(found, _norm_specs(module, value))
    for name, value in state.items():
        dtype, shape = ("float32", [value]) if type(value) is int else _pair(value)
        if dtype not in _TYPES or not isinstance(shape, list) or len(shape) > 32:
            raise ValueError(f"holds an array of no known type: {name[:100]}")
        _add(found, {name: (np.dtype(dtype), tuple(_length(side) for side in shape))})
    return metadata, dict(sorted(found.items()))


def bytes_of(spec: Spec) -> int:
    """The length of an array."""
    return int(spec[0].itemsize) * math.prod(spec[1])


def slices(specs: Mapping[str, Spec], data: memoryview) -> Iterator[tuple[str, Array]]:
    """Every array by name. Raises ValueError unless they are exactly the data."""
    if sum(map(bytes_of, specs.values())) != len(data):
        raise ValueError("its arrays are not as long as it says")
    start = 0
    for name, spec in specs.items():
        dtype, shape = spec
        stop = start + bytes_of(spec)
        little = np.frombuffer(data[start:stop], dtype.newbyteorder("<")).reshape(shape)
        yield name, little.astype(dtype, copy=False)
        start = stop


def _row(entry: Any, specs: Mapping[str, Spec]) -> str:
    """How a layer's arrays are said in short, or ""."""
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        return ""
    name, alpha = entry["name"], entry.get("alpha")
    kept = entry.get("kept")
    if type(kept) is not int or not 0 <= kept <= _MOST or "alpha" not in entry:
        return ""
    if not (alpha is None or (isinstance(alpha, float) and abs(alpha) < 1e30)):
        return ""
    has = [part for part in ("signs", "drawn", "values", "codes") if f"{part}/{name}" in specs]
    if len(has) != 1:
        return ""
    mask = specs.get(f"mask/{name}")
    return (str(mask[1][0]) if mask and len(mask[1]) == 1 else "") + has[0][0]


def _layer_specs(entry: Any, row: object) -> dict[str, Spec]:
    """A layer's arrays, which a row of ``coded`` stands for."""
    if not isinstance(entry, dict) or not isinstance(row, str) or not row.isascii():
        raise ValueError("says not what a layer's arrays are")
    name, kept, alpha = entry.get("name"), _length(entry.get("kept")), entry.get("alpha")
    mask, part = row[:-1], row[-1]
    if (
        not isinstance(name, str)
        or "alpha" not in entry
        or not (alpha is None or (type(alpha) in (int, float) and abs(alpha) < 1e30))
        or len(mask) > 13
        or not (mask.isdigit() or not mask)
        or part not in "sdvc"
    ):
        raise ValueError(f"says not what a layer's arrays are: {row[:50]!r}")
    specs: dict[str, Spec] = {}
    if mask:
        specs[f"mask/{name}"] = (np.dtype(np.uint8), (int(mask),))
    if alpha is not None:
        specs[f"alpha/{name}"] = (np.dtype(np.float32), ())
    if part == "v":
        specs[f"values/{name}"] = (np.dtype(np.float32), (kept,))
    elif part == "c":
        shape = entry.get("shape")
        outputs = _length(shape[0] if isinstance(shape, list) and shape else None)
        specs[f"codes/{name}"] = (np.dtype(np.int8), (kept,))
        specs[f"scales/{name}"] = (np.dtype(np.float32), (outputs,))
    elif part == "s":
        specs[f"signs/{name}"] = (np.dtype(np.uint8), (-(-kept // 8),))
    else:
        specs[f"drawn/{name}"] = (np.dtype(np.uint8), (2,))
    return specs


def _norm_specs(module: str, value: object) -> dict[str, Spec]:
    affine = isinstance(value, list) and len(value) == 1
    channels = _length(value[0] if isinstance(value, list) and affine else value)
    keys = (*_BUFFERS, *(_AFFINE if affine else ()))
    specs: dict[str, Spec] = {
        f"state/{module}.{key}": (np.dtype(np.float32), (channels,)) for key in keys
    }
    specs[f"state/{module}.{_COUNT}"] = (np.dtype(np.int64), ())
    return specs


def _pair(value: object) -> tuple[object, object]:
    if not isinstance(value, list) or len(value) != 2:
        raise ValueError("holds an array without type and shape")
    return value[0], value[1]


def _length(value: object) -> int:
    if type(value) is not int or not 0 <= value <= _MOST:
        raise ValueError(f"holds an array of no possible length: {str(value)[:50]}")
    return value


def _add(found: dict[str, Spec], more: Mapping[str, Spec]) -> None:
    if any(name in found for name in more):
        raise ValueError(f"names an array twice: {next(iter(more))[:100]}")
    found.update(more)
