"""The ticket file: which weights of a random network were kept, and where they come from.

A ticket is one safetensors file with one metadata key, ``spiketicket``, that holds sorted JSON.
For a layer called ``features.0.conv`` it stores

    mask/features.0.conv     one bit a weight, C order, most significant bit first
    signs/features.0.conv    one bit a kept weight, in order, 1 is +1     (binary layers)
    alpha/features.0.conv    one float32                                  (binary layers)
    values/features.0.conv   one float32 a kept weight, in order          (float layers)

and every other entry of the network's state dict (BatchNorm statistics, biases, layers that were
not pruned) as ``state/<key>``. The JSON holds ``format_version``, ``layers`` (name, shape, kind,
kept, alpha of each), ``state_bytes``, ``digest`` and whatever the search wrote. Reading needs
neither torch nor the network's code, and the same ticket gives the same bytes.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from spiketicket import _ticket_codec as codec
from spiketicket._files import write_atomic
from spiketicket._ticket_codec import FORMAT_VERSION, MAX_FILE_BYTES, TicketError
from spiketicket._ticket_layer import (
    TicketLayer,
    check_name,
    layer_arrays,
    layer_entry,
    read_layer,
)

__all__ = [
    "FORMAT_VERSION",
    "LayerSummary",
    "Ticket",
    "TicketError",
    "TicketLayer",
    "TicketSummary",
    "describe",
    "read_metadata",
]

_RESERVED = ("layers", "state_bytes", "digest")


@dataclass(frozen=True, eq=False)
class Ticket:
    """Everything a ticket file holds. Two tickets are equal when their files would be.

    Args:
        layers: the pruned layers, in the network's order.
        tensors: the rest of the state dict by key; NaN is refused, arrays become read-only.
        metadata: anything JSON can say. ``find`` writes ``network``, ``normalisation``,
            ``classes``, ``recipe``, ``recipe_hash``, ``seed``, ``data``, ``accuracy``,
            ``condition``, ``versions`` and ``verdict``. ``format_version`` is added;
            ``layers``, ``state_bytes`` and ``digest`` are the file's own.

    Raises TicketError.
    """

    layers: tuple[TicketLayer, ...]
    tensors: Mapping[str, codec.Array] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", tuple(self.layers))
        names = [layer.name for layer in self.layers]
        if len(set(names)) < len(names):
            raise TicketError("two layers have the same name", value=names)
        taken = {f"{name}.weight" for name in names}
        keys = sorted(self.tensors, key=str)
        tensors = {key: _own_tensor(key, self.tensors[key], taken) for key in keys}
        object.__setattr__(self, "tensors", tensors)
        for key in _RESERVED:
            if key in self.metadata:
                raise TicketError("this metadata key is the file's own", where="Ticket", value=key)
        metadata = {"format_version": FORMAT_VERSION, **self.metadata}
        if metadata["format_version"] != FORMAT_VERSION:
            raise TicketError(
                f"format_version must be {FORMAT_VERSION}", value=metadata["format_version"]
            )
        # Through JSON, so that a ticket equals what is read back and shares nothing.
        plain = codec.parse_json(codec.canonical_json(metadata))
        object.__setattr__(self, "metadata", plain)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ticket) and self.digest() == other.digest()

    def __hash__(self) -> int:
        return hash(self.digest())

    def digest(self) -> str:
        """SHA-256 in hex over metadata and arrays, as stored in the file."""
        return codec.digest(self._file_metadata(), self._arrays())

    def state(self) -> dict[str, codec.Array]:
        """The whole state dict as new arrays: ``tensors`` and every layer's weight."""
        state = {key: array.copy() for key, array in self.tensors.items()}
        state.update({f"{layer.name}.weight": layer.weight() for layer in self.layers})
        return state

    def to_bytes(self) -> bytes:
        """The content of the file."""
        return codec.encode(self._file_metadata(), self._arrays())

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file in one step: it is there whole or not at all. Raises TicketError."""
        content = self.to_bytes()
        with codec.located(path):
            write_atomic(Path(path), content)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, max_bytes: int = MAX_FILE_BYTES) -> Ticket:
        """Read and check a file of at most ``max_bytes``. Raises TicketError with the reason."""
        with codec.located(path):
            file, size = codec.open_regular(path)
            with file:
                if size > max_bytes:
                    raise TicketError(f"is larger than {max_bytes} bytes", value=size)
                # One byte more than allowed, for a file that grows meanwhile.
                return cls.from_bytes(file.read(min(size, max_bytes) + 1))

    @classmethod
    def from_bytes(cls, content: bytes) -> Ticket:
        """The ticket in a file's content. Raises TicketError."""
        metadata, arrays = codec.decode(content)
        entries = metadata.pop("layers", None)
        state_bytes = metadata.pop("state_bytes", None)
        if not isinstance(entries, list):
            raise TicketError("its metadata names no layers")
        layers = tuple(read_layer(entry, arrays) for entry in entries)
        tensors = {}
        for name in sorted(arrays):
            if not name.startswith("state/"):
                raise TicketError("holds an array that belongs to no layer", value=name)
            tensors[name.removeprefix("state/")] = arrays.pop(name)
        ticket = cls(layers, tensors, metadata)
        if state_bytes != ticket._file_metadata()["state_bytes"]:
            raise TicketError("state_bytes contradicts the arrays", value=state_bytes)
        return ticket

    def _file_metadata(self) -> dict[str, Any]:
        return {
            **self.metadata,
            "layers": [layer_entry(layer) for layer in self.layers],
            "state_bytes": sum(array.nbytes for array in self.tensors.values()),
        }

    def _arrays(self) -> dict[str, codec.Array]:
        arrays: dict[str, codec.Array] = {f"state/{k}": v for k, v in self.tensors.items()}
        for layer in self.layers:
            arrays.update(layer_arrays(layer))
        return arrays


def read_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """A file's metadata with ``layers``, ``state_bytes`` and ``digest``, quickly.

    Reads the header alone, so it does not notice damage in the arrays. Raises TicketError.
    """
    with codec.located(path):
        file, size = codec.open_regular(path)
        with file:
            return codec.read_metadata_from(file, size)


@dataclass(frozen=True)
class LayerSummary:
    """One row of what ``spiketicket show`` prints. ``alpha`` is None for a float layer."""

    name: str
    shape: tuple[int, ...]
    kind: str
    size: int
    kept: int
    density: float
    alpha: float | None
    packed_bytes: int
    """Bytes of the mask, and of the signs and alpha or of the values, in the file."""
    entropy_bytes: float
    """What no code can beat on average for a random mask of this density and random signs: the
    mask's binary entropy, one bit a sign, 32 bits a scale or value."""


@dataclass(frozen=True)
class TicketSummary:
    """The rows of ``spiketicket show`` and their totals; sizes in bytes."""

    layers: tuple[LayerSummary, ...]
    size: int
    """Weights of the pruned layers."""
    kept: int
    density: float
    """kept / size, over the pruned layers."""
    packed_bytes: int
    entropy_bytes: float
    """Sum over layers, see LayerSummary; compare with ``packed_bytes``."""
    state_bytes: int
    """The state dict's other entries."""
    file_bytes: int
    dense_bytes: int
    """The same state dict with every weight as a float32."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        plain = asdict(self)
        plain["layers"] = [{**row, "shape": list(row["shape"])} for row in plain["layers"]]
        return plain


def describe(source: Ticket | str | os.PathLike[str]) -> TicketSummary:
    """Sizes and densities of a ticket, or of a file, of which only the header is read.

    Raises TicketError when the file cannot be read or its header makes no sense.
    """
    if isinstance(source, Ticket):
        return _summary(source._file_metadata(), len(source.to_bytes()))
    metadata = read_metadata(source)
    with codec.located(source):
        return _summary(metadata, Path(source).stat().st_size)


def _summary(metadata: Mapping[str, Any], file_bytes: int) -> TicketSummary:
    entries, state_bytes = metadata.get("layers"), metadata.get("state_bytes")
    if not isinstance(entries, list) or type(state_bytes) is not int or state_bytes < 0:
        raise TicketError("its metadata names no layers")
    rows = tuple(_row(entry) for entry in entries)
    size, kept = sum(row.size for row in rows), sum(row.kept for row in rows)
    return TicketSummary(
        layers=rows,
        size=size,
        kept=kept,
        density=kept / size if size else 1.0,
        packed_bytes=sum(row.packed_bytes for row in rows),
        entropy_bytes=sum(row.entropy_bytes for row in rows),
        state_bytes=state_bytes,
        file_bytes=file_bytes,
        dense_bytes=4 * size + state_bytes,
    )


def _row(entry: object) -> LayerSummary:
    """A row from a layer's entry in a header, which may be damaged."""
    table = entry if isinstance(entry, dict) else {}
    name, kind, kept, alpha = (table.get(key) for key in ("name", "kind", "kept", "alpha"))
    name = check_name(name)
    size = codec.entry_count(table.get("shape"), name)
    if (
        kind not in ("binary", "float")
        or type(kept) is not int
        or not 0 <= kept <= size
        or type(alpha) is not (float if kind == "binary" else type(None))
    ):
        raise TicketError("a layer's entry in the header makes no sense", where=name, value=entry)
    sign_bits, numbers = (kept, 1) if kind == "binary" else (0, kept)
    return LayerSummary(
        name=name,
        shape=tuple(table["shape"]),
        kind=kind,
        size=size,
        kept=kept,
        density=kept / size,
        alpha=alpha,
        packed_bytes=(size + 7) // 8 + (sign_bits + 7) // 8 + 4 * numbers,
        entropy_bytes=(size * _entropy(kept / size) + sign_bits) / 8 + 4 * numbers,
    )


def _entropy(p: float) -> float:
    """Entropy in bits of a coin that shows heads with probability ``p``."""
    return -sum(q * math.log2(q) for q in (p, 1.0 - p) if q > 0.0)


def _own_tensor(key: object, given: object, taken: set[str]) -> codec.Array:
    key = check_name(key)
    if key in taken:
        raise TicketError("is the weight of a pruned layer already", where=key)
    if not isinstance(given, np.ndarray):
        raise TicketError("must be a numpy array", where=key, value=type(given).__name__)
    codec.check_dtype(key, given)
    if given.dtype.kind == "f" and np.isnan(given).any():
        raise TicketError("holds NaN", where=key)
    own = np.array(given, dtype=given.dtype.newbyteorder("="), order="C", copy=True)
    own.setflags(write=False)
    return own
