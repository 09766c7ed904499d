r"""Bytes of a ticket file: safetensors with one JSON metadata key and a digest of the content.

This half knows metadata and named arrays; ``layer.py`` gives them their meaning. Nothing here
runs code from a file, and memory use is bounded by the file's size: a mask of n bytes can stand
for at most 128 n weights, each of which takes a few bytes (see ``mask_code.py``).

The digest is SHA-256 over ``spiketicket ticket 1\n``, the canonical metadata without its
``digest`` entry, and then, in order of name, every array's name, dtype, shape and little-endian
bytes. Every part after the first line is preceded by its length in eight little-endian bytes. It
finds accidents; it is no signature, as whoever changes a file on purpose can compute it anew.
Metadata and arrays are those of format 1, whatever the format of the file, see ``__init__.py``.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import math
import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from spiketicket.errors import UserError
from spiketicket.machine import bounded
from spiketicket.ticket import container

if TYPE_CHECKING:
    from numpy.typing import NDArray

Array = np.ndarray[Any, np.dtype[Any]]

FORMAT_VERSION = container.VERSION
MAX_HEADER_BYTES = 16 << 20
MAX_FILE_BYTES = 4 << 30
MAX_WEIGHTS = 1 << 32
"""Of all layers of a ticket; a file can name more than it could ever hold."""
_METADATA_KEY = "spiketicket"
_WHOLE = ("bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64")
STORED = frozenset((*_WHOLE, "float16", "float32", "float64"))
DAMAGED = "Copy or download the file again; if that does not help, search again"


class TicketError(UserError):
    """A ticket that cannot be read, written or made; the text says why."""


@contextlib.contextmanager
def of_file(path: str | os.PathLike[str]) -> Iterator[None]:
    """Name the file in every TicketError raised inside."""
    try:
        yield
    except TicketError as error:
        where = f"{os.fspath(path)}: {error.where}" if error.where else os.fspath(path)
        raise TicketError(
            error.what, where=where, value=error.value, remedy=error.remedy
        ) from error.__cause__


@contextlib.contextmanager
def located(path: str | os.PathLike[str]) -> Iterator[None]:
    """Name the file in every TicketError and OSError raised inside."""
    try:
        with of_file(path):
            yield
    except TicketError:
        raise
    except UserError as error:  # of the file itself, before anything of it was read
        raise TicketError(error.what, where=os.fspath(path), value=error.value) from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise TicketError(reason, where=os.fspath(path)) from error


def encode(metadata: Mapping[str, Any], arrays: Mapping[str, Array]) -> bytes:
    """The whole file; the same content gives the same bytes. ``metadata`` has its digest.

    Of format 3 as ``container.py`` says; of older ones with every array by its name.
    """
    if type(metadata.get("format_version")) is int and metadata["format_version"] == FORMAT_VERSION:
        ordered = dict(sorted(arrays.items()))
        text = canonical_json(container.head_of(metadata, ordered))
        if len(text) > container.MAX_HEAD_BYTES:
            raise TicketError(f"metadata must fit in {MAX_HEADER_BYTES} bytes", value=len(text))
        body = container.pack_head(text) + b"".join(
            array.astype(array.dtype.newbyteorder("<"), order="C", copy=False).tobytes()
            for array in ordered.values()
        )
        return container.outer_header(len(body)) + body
    text = canonical_json(metadata)
    content = safetensors.numpy.save(dict(arrays), metadata={_METADATA_KEY: text})
    if int.from_bytes(content[:8], "little") > MAX_HEADER_BYTES:
        raise TicketError(f"metadata must fit in {MAX_HEADER_BYTES} bytes", value=len(text))
    return content


def decode(content: bytes) -> tuple[dict[str, Any], dict[str, Array]]:
    """Metadata and arrays of a file's content; the digest is not checked."""
    start = _start(content[:8])
    outer = _outer(_header(content[:8], len(content), content[8:start]))
    if _is_packed(outer):
        metadata, specs, begin = _head(io.BytesIO(content), start, len(content))
        try:
            arrays = dict(container.slices(specs, memoryview(content)[begin:]))
        except ValueError as error:
            raise TicketError(f"is truncated or damaged ({error})", remedy=DAMAGED) from error
    else:
        metadata, _ = _parsed(outer)
        try:
            arrays = safetensors.numpy.load(content)
        except (SafetensorError, ValueError, TypeError, KeyError, OverflowError) as error:
            raise TicketError(f"is truncated or damaged ({error})", remedy=DAMAGED) from error
    for name, array in arrays.items():
        check_dtype(name, array)
        if array.dtype == np.bool_ and array.view(np.uint8).max(initial=0) > 1:
            raise TicketError("a truth value is neither 0 nor 1", where=name, remedy=DAMAGED)
    return metadata, arrays


def read_header_from(file: BinaryIO, size: int) -> tuple[dict[str, Any], dict[str, int]]:
    """The metadata, digest included but not checked, and the bytes of every array by name.

    Reads the header and no array.
    """
    start = file.read(8)
    rest = file.read(min(int.from_bytes(start, "little"), size, MAX_HEADER_BYTES))
    outer = _outer(_header(start, size, rest))
    if _is_packed(outer):
        metadata, specs, _ = _head(file, _start(start), size)
        return metadata, {name: container.bytes_of(spec) for name, spec in specs.items()}
    metadata, tensors = _parsed(outer)
    return metadata, {name: _array_bytes(name, tensor) for name, tensor in tensors.items()}


def _start(first: bytes) -> int:
    """Where the arrays begin that a header of the length in its ``first`` bytes is before."""
    return 8 + min(int.from_bytes(first, "little"), MAX_HEADER_BYTES)


def _is_packed(outer: Mapping[str, Any]) -> bool:
    said = str(outer["__metadata__"][_METADATA_KEY])
    if said.isascii() and said.isdigit() and len(said) < 10 and int(said) > container.VERSION:
        _check_version({"format_version": int(said)})
    return said == str(container.VERSION)


def _head(
    file: BinaryIO, start: int, size: int
) -> tuple[dict[str, Any], dict[str, container.Spec], int]:
    """Metadata and arrays that a file of format 3 declares, and where the arrays begin."""
    file.seek(0)
    found = file.read(start)
    if found != container.outer_header(size - start):
        raise TicketError("is truncated, or its header is not that of its size", remedy=DAMAGED)
    length = int.from_bytes(file.read(4), "little")
    if not 0 < length <= min(MAX_HEADER_BYTES, size - start - 4):
        raise TicketError("is truncated", value=f"{length} bytes of metadata", remedy=DAMAGED)
    try:
        head = parse_json(container.unpack_head(file.read(length)))
        metadata, specs = container.specs_of(head)
    except UserError:
        raise
    except ValueError as error:
        raise TicketError(f"is damaged ({error})", remedy=DAMAGED) from error
    _check_version(metadata)
    return metadata, specs, start + 4 + length


def canonical_json(value: object) -> str:
    """Sorted, compact, ASCII JSON; TicketError for what JSON cannot say (NaN included)."""
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise TicketError(f"metadata must be plain JSON: {error}") from error


def parse_json(text: str) -> Any:
    """The value of a JSON text; TicketError when it is none, or too deep or too long for one."""
    try:
        return bounded.parse_json(text)
    except (ValueError, RecursionError) as error:
        raise TicketError(
            f"its metadata is not JSON that is taken: {error}", remedy=DAMAGED
        ) from error


def digest(metadata: Mapping[str, Any], arrays: Mapping[str, Array]) -> str:
    """SHA-256 in hex, as the module's docstring says."""
    result = hashlib.sha256(b"spiketicket ticket 1\n")

    def add(part: bytes | NDArray[np.uint8]) -> None:
        result.update(len(part).to_bytes(8, "little"))
        result.update(part)  # type: ignore[arg-type]  # an array is a buffer, whatever its type says

    add(canonical_json(metadata).encode("ascii"))
    for name in sorted(arrays):
        array = arrays[name]
        little = array.astype(array.dtype.newbyteorder("<"), order="C", copy=False)
        add(name.encode("utf-8"))
        add(little.dtype.name.encode("ascii"))
        add(",".join(map(str, little.shape)).encode("ascii"))
        add(little.reshape(-1).view(np.uint8))
    return result.hexdigest()


def check_dtype(name: str, array: Array) -> None:
    """TicketError unless a ticket file can hold the array."""
    if array.dtype.name not in STORED:
        raise TicketError(
            "a ticket cannot hold arrays of this type", where=name, value=array.dtype.name
        )


def pack_bits(bits: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """One bit an entry in C order, most significant bit first, padded with zero bits."""
    return np.packbits(bits)


def unpack_bits(packed: Array, count: int, where: str) -> NDArray[np.bool_]:
    """The first ``count`` bits, bool [count]; TicketError unless exactly those are there."""
    if packed.dtype != np.uint8 or packed.shape != ((count + 7) // 8,):
        raise TicketError(
            f"must be {(count + 7) // 8} bytes for {count} bits",
            where=where,
            value=f"{packed.dtype.name} {packed.shape}",
        )
    if count % 8 and packed[-1] & (0xFF >> count % 8):
        raise TicketError("padding bits are set", where=where, remedy=DAMAGED)
    return np.unpackbits(packed, count=count).view(np.bool_)


def entry_count(numbers: object, where: str) -> int:
    """Number of entries of a shape: one to eight whole numbers from 1 to 2**40."""
    if (
        not isinstance(numbers, (list, tuple))
        or not 1 <= len(numbers) <= 8
        or not all(type(n) is int and 1 <= n <= 1 << 40 for n in numbers)
    ):
        raise TicketError(
            "shape must be one to eight positive whole numbers", where=where, value=numbers
        )
    return math.prod(numbers)


_TICKETS = "Tickets are the .ticket files that `find` writes"


def _header(start: bytes, size: int, rest: bytes) -> bytes:
    """The JSON header, at the beginning of ``rest``; ``start`` is the file's first 8 bytes."""
    length = int.from_bytes(start, "little")
    if len(start) < 8 or (rest[:1] != b"{" and length <= MAX_HEADER_BYTES):
        what = "is empty" if not start else "is not a ticket file"
        raise TicketError(what, remedy=_TICKETS)
    if length > MAX_HEADER_BYTES:
        raise TicketError(
            f"is not a ticket file, or its header is larger than {MAX_HEADER_BYTES} bytes",
            value=length,
            remedy=_TICKETS,
        )
    if length > size - 8 or len(rest) < length:
        raise TicketError(
            "is truncated", value=f"{size} bytes, {length + 8} in the header alone", remedy=DAMAGED
        )
    return rest[:length]


def _array_bytes(name: str, tensor: object) -> int:
    """The length that a header gives an array."""
    offsets = tensor.get("data_offsets") if isinstance(tensor, dict) else None
    if (
        not isinstance(offsets, list)
        or [type(offset) for offset in offsets] != [int, int]
        or not 0 <= offsets[0] <= offsets[1]
    ):
        raise TicketError("an array's place makes no sense", where=name, value=offsets)
    return int(offsets[1] - offsets[0])


def _outer(header: bytes) -> dict[str, Any]:
    """The header's JSON, which has the ticket's key."""
    try:
        outer = parse_json(header.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise TicketError("its header is not UTF-8", remedy=DAMAGED) from error
    texts = outer.get("__metadata__") if isinstance(outer, dict) else None
    if not isinstance(texts, dict) or not isinstance(texts.get(_METADATA_KEY), str):
        raise TicketError("is a safetensors file but not a ticket")
    return dict(outer)


def _parsed(outer: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The ticket's metadata and the safetensors entries of its arrays, before format 3."""
    metadata = parse_json(outer["__metadata__"][_METADATA_KEY])
    if not isinstance(metadata, dict):
        raise TicketError("its metadata is not a table", remedy=DAMAGED)
    _check_version(metadata)
    if metadata["format_version"] >= container.VERSION:
        raise TicketError("is not laid out as its format_version says", remedy=DAMAGED)
    return metadata, {name: value for name, value in outer.items() if name != "__metadata__"}


def _check_version(metadata: Mapping[str, Any]) -> None:
    version = metadata.get("format_version")
    if type(version) is not int or version < 1:
        raise TicketError("its format_version must be a positive whole number", value=version)
    if version > FORMAT_VERSION:
        raise TicketError(
            f"has ticket format {version}, newer than {FORMAT_VERSION}, the newest known here",
            remedy="Install a newer spiketicket",
        )
