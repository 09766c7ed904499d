"""Read a ticket file without any package: what docs/ticket-format.md says, and no more.

    python examples/read_ticket.py my.ticket

Files of format 3 need the dictionary ``words.txt``, which lies in src/spiketicket/ticket.

A file that is not as the page says is an error: a ValueError or a KeyError.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import struct
import sys
import zlib
from pathlib import Path
from typing import Any

# dtype in the file -> its name in the digest, its code in Python's struct module
TYPES = {
    "F16": ("float16", "e"),
    "F32": ("float32", "f"),
    "F64": ("float64", "d"),
    "BOOL": ("bool", "?"),
    "U8": ("uint8", "B"),
    "U16": ("uint16", "H"),
    "U32": ("uint32", "I"),
    "U64": ("uint64", "Q"),
    "I8": ("int8", "b"),
    "I16": ("int16", "h"),
    "I32": ("int32", "i"),
    "I64": ("int64", "q"),
}
WORD = 0xFFFFFFFF
DICTIONARY = Path(__file__).parent.parent / "src" / "spiketicket" / "ticket" / "words.txt"


class Array:
    """An array of the file: its type, its shape and its bytes."""

    def __init__(self, dtype: str, shape: list[int], content: bytes) -> None:
        self.name, self.code = TYPES[dtype]
        self.shape, self.content = shape, content
        require(len(content) == math.prod(shape) * struct.calcsize(self.code), "an array's length")

    def numbers(self, dtype: str, shape: list[int] | None = None) -> tuple[Any, ...]:
        """Its numbers in C order; it must have this type, and this shape."""
        require(self.name == dtype, f"must be {dtype}")
        require(shape is None or self.shape == shape, f"must have the shape {shape}")
        return struct.unpack(f"<{math.prod(self.shape)}{self.code}", self.content)


def read_ticket(content: bytes) -> tuple[dict[str, Any], dict[str, Array | list[float]]]:
    """The metadata, and the state dict: layers as lists in C order, all else as it lies there."""
    metadata, arrays = read_container(content)
    version = metadata["format_version"]
    require(version in (1, 2, 3), "a format that is not known here")
    state: dict[str, Array | list[float]] = {}
    plain: dict[str, Array] = {}
    for layer in metadata["layers"]:
        key = f"{layer['name']}.weight"
        require(key not in state, "two layers of one name")
        state[key] = read_layer(layer, arrays, metadata, plain)
    for name in list(arrays):
        require(name.startswith("state/"), f"{name} belongs to no layer")
        plain[name] = arrays.pop(name)
        state[name.removeprefix("state/")] = plain[name]
    require(digest_of(metadata, plain) == metadata["digest"], "the digest is another")
    return metadata, state


def read_container(content: bytes) -> tuple[dict[str, Any], dict[str, Array]]:
    """The ticket's metadata, and its arrays by name."""
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    data = content[8 + length :]
    own = header.pop("__metadata__")["spiketicket"]
    if own == "3":
        require(header["ticket"]["data_offsets"] == [0, len(data)], "truncated")
        return read_packed(data)
    metadata = json.loads(own)
    require(metadata["format_version"] in (1, 2), "a format that is not known here")
    arrays = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        require(0 <= begin <= end <= len(data), "truncated")
        arrays[name] = Array(entry["dtype"], entry["shape"], data[begin:end])
    return metadata, arrays


def read_packed(data: bytes) -> tuple[dict[str, Any], dict[str, Array]]:
    """The same of format 3."""
    (length,) = struct.unpack("<I", data[:4])
    packed, data = data[4 : 4 + length], data[4 + length :]
    unpacker = zlib.decompressobj(-15, zdict=DICTIONARY.read_bytes())
    most = min(16 << 20, (64 << 10) + 64 * length)
    try:
        text = unpacker.decompress(packed, most + 1)
    except zlib.error as error:
        raise ValueError("damaged metadata") from error
    require(len(text) <= most and unpacker.eof and not unpacker.unused_data, "damaged metadata")
    metadata, coded, norms, state = json.loads(text)
    require(len(coded) == len(metadata["layers"]), "a row for each layer")
    kinds: dict[str, tuple[str, list[int]]] = {}
    for layer, row in zip(metadata["layers"], coded, strict=True):
        if row:
            kinds |= layer_arrays(layer, row)
    for module, channels in norms.items():
        affine = isinstance(channels, list)
        keys = ("running_mean", "running_var", *(("weight", "bias") if affine else ()))
        vector = channels if affine else [channels]
        kinds |= {f"state/{module}.{key}": ("float32", vector) for key in keys}
        kinds[f"state/{module}.num_batches_tracked"] = ("int64", [])
    for name, kind in state.items():
        kinds[name] = ("float32", [kind]) if isinstance(kind, int) else (kind[0], kind[1])
    types = {name: dtype for dtype, (name, _) in TYPES.items()}
    arrays, start = {}, 0
    for name, (number, shape) in sorted(kinds.items()):
        dtype = types[number]
        stop = start + math.prod(shape) * struct.calcsize(TYPES[dtype][1])
        arrays[name] = Array(dtype, shape, data[start:stop])
        start = stop
    require(start == len(data), "more or fewer bytes than its arrays")
    return metadata, arrays


def layer_arrays(layer: dict[str, Any], row: str) -> dict[str, tuple[str, list[int]]]:
    """Type and shape of a layer's arrays, by a row of ``coded``; makes alpha a float32."""
    name, kept, mask, part = layer["name"], layer["kept"], row[:-1], row[-1]
    kinds: dict[str, tuple[str, list[int]]] = {}
    if mask:
        kinds[f"mask/{name}"] = ("uint8", [int(mask)])
    if layer["alpha"] is not None:
        (layer["alpha"],) = struct.unpack("<f", struct.pack("<f", layer["alpha"]))
        kinds[f"alpha/{name}"] = ("float32", [])
    if part == "v":
        kinds[f"values/{name}"] = ("float32", [kept])
    elif part == "c":
        kinds[f"codes/{name}"] = ("int8", [kept])
        kinds[f"scales/{name}"] = ("float32", [layer["shape"][0]])
    elif part == "s":
        kinds[f"signs/{name}"] = ("uint8", [-(-kept // 8)])
    else:
        kinds[f"drawn/{name}"] = ("uint8", [2])
    return kinds


def read_layer(
    layer: dict[str, Any],
    arrays: dict[str, Array],
    metadata: dict[str, Any],
    plain: dict[str, Array],
) -> list[float]:
    """A layer's weights; puts its arrays, as format 1 has them, into ``plain``."""
    name, kept, size = layer["name"], layer["kept"], math.prod(layer["shape"])
    version = metadata["format_version"]
    numbers = f"codes/{name}" if layer["kind"] == "int8" else f"values/{name}"
    if version == 3 and layer["kind"] != "binary" and f"mask/{name}" not in arrays:
        require(arrays[numbers].shape == [size], f"{name}: has no mask")
        mask = [1] * size
    else:
        coded = bytes(arrays.pop(f"mask/{name}").numbers("uint8"))
        mask = bits_of(coded, size) if version == 1 else read_mask(coded, size, kept)
    places = [i for i, bit in enumerate(mask) if bit]
    require(len(places) == kept, f"{name}: kept is another number")
    plain[f"mask/{name}"] = bitmap(mask)
    if layer["kind"] == "float":
        plain[numbers] = values = arrays.pop(numbers)
        weights = list(values.numbers("float32", [kept]))
    elif layer["kind"] == "int8":
        plain[numbers] = codes = arrays.pop(numbers)
        plain[f"scales/{name}"] = scales = arrays.pop(f"scales/{name}")
        row = scales.numbers("float32", layer["shape"][:1])
        at = size // len(row)  # weights of an output channel
        pairs = zip(places, codes.numbers("int8", [kept]), strict=True)
        weights = [float32(code * row[place // at]) for place, code in pairs]
    else:
        signs = read_signs(name, places, arrays, metadata)
        plain[f"signs/{name}"] = bitmap(signs)
        plain[f"alpha/{name}"] = scale = arrays.pop(f"alpha/{name}")
        (alpha,) = scale.numbers("float32", [])
        require(alpha == layer["alpha"], f"{name}: alpha is another number")
        weights = [alpha if sign else -alpha for sign in signs]
    dense = [0.0] * size
    for place, weight in zip(places, weights, strict=True):
        dense[place] = weight
    return dense


def float32(number: float) -> float:
    """Rounded to a float32."""
    (rounded,) = struct.unpack("<f", struct.pack("<f", number))
    return float(rounded)


def read_mask(coded: bytes, size: int, kept: int) -> list[int]:
    """A mask of format 2, a bit per weight."""
    code, k, body = coded[0], coded[1], coded[2:]
    least = max(2, -(-size // 128))
    if code == 0:
        require(k == 0, "a plain mask has no parameter")
        return bits_of(body, size)
    require(code in (1, 2) and 1 <= k <= size.bit_length(), "no known code")
    count = kept if code == 1 else size - kept
    low_bytes = -(-count * k // 8)
    low, high = bits_of(body[:low_bytes], count * k), body[low_bytes:]
    mask, position, ends = [code - 1] * size, -1, unary_ends(high)
    require(len(ends) == count, "another number of gaps")
    for i, end in enumerate(ends):
        step = end - (ends[i - 1] if i else -1) - 1
        gap = (step << k) + sum(low[j * count + i] << j for j in range(k))
        position += gap + 1
        require(position < size, "leads past its end")
        mask[position] = 2 - code
    used = 2 + low_bytes + (ends[-1] // 8 + 1 if ends else 0)
    require(len(coded) == max(used, least), "more or less than its mask")
    return mask


def unary_ends(part: bytes) -> list[int]:
    """Where its ones are."""
    return [8 * i + j for i, byte in enumerate(part) if byte for j in range(8) if byte << j & 128]


def read_signs(
    name: str, places: list[int], arrays: dict[str, Array], metadata: dict[str, Any]
) -> list[int]:
    """The signs of the weights at these places: 1 is +."""
    version = metadata["format_version"]
    if version == 1 or f"drawn/{name}" not in arrays:
        packed = bytes(arrays.pop(f"signs/{name}").numbers("uint8"))
        return bits_of(packed, len(places))
    if version == 2:
        kind, seed, left_out, expected = arrays.pop(f"drawn/{name}").numbers("uint64", [4])
    else:
        kind, left_out = arrays.pop(f"drawn/{name}").numbers("uint8", [2])
        seed, expected = metadata["seed"], None
    require(kind in (0, 1), f"{name}: no known draw")
    path = ".".join(name.split(".")[left_out:])
    words = Words(seed, ["weight", path, ("signs", "normal")[kind]])
    signs = [words[i] >> 31 if kind else words[i // 32] >> i % 32 & 1 for i in places]
    found = int.from_bytes(hashlib.sha256(bitmap(signs).content).digest()[:8], "little")
    require(expected in (None, found), f"{name}: its signs are not the seed's")
    return signs


class Words:
    """The 32-bit words of Philox4x32-10, asked for by number in rising order."""

    def __init__(self, seed: int, path: list[str]) -> None:
        parts = [text.encode() for text in path]
        text = b"".join(b"s%d:%s" % (len(part), part) for part in parts)
        self.hash = int.from_bytes(hashlib.blake2s(text, digest_size=8).digest(), "little")
        self.seed, self.block, self.words = seed, -1, (0, 0, 0, 0)

    def __getitem__(self, number: int) -> int:
        if number // 4 != self.block:
            self.block = number // 4
            self.words = self.philox(self.block)
        return self.words[number % 4]

    def philox(self, block: int) -> tuple[int, int, int, int]:
        """The four words of a block."""
        c0, c1, c2, c3 = block & WORD, block >> 32, self.hash & WORD, self.hash >> 32
        k0, k1 = self.seed & WORD, self.seed >> 32
        for _ in range(10):
            x, y = 0xD2511F53 * c0, 0xCD9E8D57 * c2
            c0, c1, c2, c3 = (y >> 32) ^ c1 ^ k0, y & WORD, (x >> 32) ^ c3 ^ k1, x & WORD
            k0, k1 = (k0 + 0x9E3779B9) & WORD, (k1 + 0xBB67AE85) & WORD
        return c0, c1, c2, c3


def digest_of(metadata: dict[str, Any], arrays: dict[str, Array]) -> str:
    """The digest of a ticket whose arrays are those of format 1."""
    facts = {k: v for k, v in metadata.items() if k != "digest"} | {"format_version": 1}
    parts = [json.dumps(facts, sort_keys=True, separators=(",", ":")).encode()]
    for name in sorted(arrays):
        array = arrays[name]
        shape = ",".join(str(side) for side in array.shape)
        parts += [name.encode(), array.name.encode(), shape.encode(), array.content]
    result = hashlib.sha256(b"spiketicket ticket 1\n")
    for part in parts:
        result.update(struct.pack("<Q", len(part)) + part)
    return result.hexdigest()


def bits_of(packed: bytes, count: int) -> list[int]:
    """The first ``count`` bits, the most significant of a byte first; nothing may follow."""
    require(len(packed) == -(-count // 8), f"must be {count} bits")
    text = bin(int.from_bytes(b"\1" + packed, "big"))[3:]
    require("1" not in text[count:], "bits of padding are set")
    return [int(digit) for digit in text[:count]]


def bitmap(bits: list[int]) -> Array:
    """The array of format 1 that holds these bits."""
    text = "".join(map(str, bits)) + "0" * (-len(bits) % 8)
    content = bytes(int(eight, 2) for eight in re.findall("." * 8, text))
    return Array("U8", [len(content)], content)


def require(is_so: bool, otherwise: str) -> None:
    """ValueError unless it is so."""
    if not is_so:
        raise ValueError(otherwise)


def main() -> None:
    """Print what is in a file."""
    metadata, state = read_ticket(Path(sys.argv[1]).read_bytes())
    print(f"format {metadata['format_version']}, digest {metadata['digest'][:16]} is right")
    for layer in metadata["layers"]:
        weights = state[f"{layer['name']}.weight"]
        shape = "x".join(map(str, layer["shape"]))
        print(f"{layer['name']}: {shape}, {layer['kept']} of {len(weights)} kept, {layer['kind']}")
    print(f"{len(state) - len(metadata['layers'])} other entries of the state dict")


if __name__ == "__main__":
    main()
