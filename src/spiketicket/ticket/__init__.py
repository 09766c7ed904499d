"""The ticket file: which weights of a random network were kept, and where they come from.

A ticket is one safetensors file, whose one array holds compressed metadata and the arrays that
follow (see ``container.py``). For a layer called ``features.0.conv`` it stores

    mask/features.0.conv     which weights are kept: a bitmap, or Rice-coded gaps between those
                             kept or dropped, whichever is shorter; see ``mask_code.py``
    signs/features.0.conv    one bit per kept weight, in order, 1 is +1, most significant bit first,
                             padded with zero bits                        (binary layers)
    drawn/features.0.conv    or, in its place, where the signs were drawn and a hash of them; see
                             ``drawn_signs.py``      (where the metadata's seed draws them)
    alpha/features.0.conv    one float32                                  (binary layers)
    values/features.0.conv   one float32 a kept weight, in order          (float layers)
    codes/features.0.conv    one int8 a kept weight, in order             (int8 layers)
    scales/features.0.conv   one float32 an output channel                (int8 layers)

and every other entry of the network's state dict (BatchNorm statistics, biases, layers that were
not pruned) as ``state/<key>``. The JSON holds ``format_version``, ``layers`` (name, shape, kind,
kept, alpha of each), ``state_bytes``, ``digest`` and whatever the search wrote. Reading needs
neither torch nor the network's code, and the same ticket gives the same bytes.

This is format 3. Format 2, which is still read, has every array by its name in the safetensors
header, and the metadata as JSON. Format 1, which is still read too, has besides every mask as a
bitmap, one bit per weight, most significant bit first, padded with zero bits, and no ``drawn``. The
digest is over the content and not over the bytes of a file: it is the one that a file of format 1
has, computed over that format's arrays and metadata (``format_version`` 1). So a ticket has the
same digest in every format, with its signs or without, and what was recorded about an older file
stays true.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

import numpy as np

from spiketicket.machine.above import Drawn, brief
from spiketicket.machine.bounded import max_memory as allowed_memory
from spiketicket.machine.bounded import open_regular
from spiketicket.machine.files import write_atomic
from spiketicket.machine.typed import need, typed
from spiketicket.ticket import codec
from spiketicket.ticket.admission import admit, checked
from spiketicket.ticket.codec import (
    DAMAGED,
    FORMAT_VERSION,
    MAX_FILE_BYTES,
    MAX_WEIGHTS,
    TicketError,
)
from spiketicket.ticket.layer import (
    TicketLayer,
    check_name,
    coded_arrays,
    layer_entry,
    plain_arrays,
    read_layer,
)
from spiketicket.ticket.schema import check_metadata
from spiketicket.ticket.summary import LayerSummary, TicketSummary, summarise
from spiketicket.verdict.outcomes import in_words

__all__ = [
    "FORMAT_VERSION",
    "LayerSummary",
    "Signs",
    "Ticket",
    "TicketError",
    "TicketLayer",
    "TicketSummary",
    "as_ticket",
    "describe",
    "read_metadata",
]

_RESERVED = ("layers", "state_bytes", "digest")
Signs = Literal["auto", "raw", "seed"]


@dataclass(frozen=True, eq=False)
class Ticket(Drawn):
    """Everything a ticket file holds. Two tickets are equal when their digests are.

    Args:
        layers: the pruned layers, in the network's order.
        tensors: the rest of the state dict by key; NaN is refused, arrays become read-only.
        metadata: anything JSON can say. ``find`` writes ``network``, ``normalisation``,
            ``classes``, ``recipe``, ``recipe_hash``, ``seed``, ``data``, ``accuracy``,
            ``condition``, ``versions`` and ``verdict``. ``format_version`` is added;
            ``layers``, ``state_bytes`` and ``digest`` are the file's own.

    Raises TicketError.
    """

    drawn_by: ClassVar[str] = "ticket_html"

    layers: tuple[TicketLayer, ...]
    tensors: Mapping[str, codec.Array] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        need("layers", self.layers, tuple[TicketLayer, ...])
        need("tensors", self.tensors, Mapping)
        need("metadata", self.metadata, Mapping)
        object.__setattr__(self, "layers", tuple(self.layers))
        names = [layer.name for layer in self.layers]
        if len(set(names)) < len(names):
            raise TicketError("two layers have the same name", value=names)
        if sum(layer.size for layer in self.layers) > MAX_WEIGHTS:
            raise TicketError(f"a ticket has at most {MAX_WEIGHTS} weights", where="Ticket")
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

    def __repr__(self) -> str:
        kept, size = (sum(getattr(x, key) for x in self.layers) for key in ("kept", "size"))
        share = f" ({100 * kept / size:.3g} %)" if size else ""
        many = f"{len(self.layers)} layer{'s' * (len(self.layers) != 1)}"
        first = f"Ticket: {kept:,} of {size:,} weights{share} kept in {many}"
        told = [f"{key}: {brief(words)}" for key, words in stated(self.metadata).items()]
        return "\n  ".join([f"<{first}", *told]) + ">"

    @property
    def stage(self) -> str:
        """The stage of the run whose net this is; ``ticket`` where the file does not say."""
        return stage_in(self.metadata)

    def digest(self) -> str:
        """SHA-256 in hex over the content, the same in every format; see the module."""
        return self._digest(self._arrays())

    def state(self) -> dict[str, codec.Array]:
        """The whole state dict as new arrays: ``tensors`` and every layer's weight."""
        state = {key: array.copy() for key, array in self.tensors.items()}
        state.update({f"{layer.name}.weight": layer.weight() for layer in self.layers})
        return state

    def to_bytes(self, *, signs: Signs = "auto") -> bytes:
        """The content of the file; ``signs`` as in :meth:`save`.

        Raises:
            TicketError: a known key of the metadata holds something that :meth:`load` refuses.
        """
        plain = self._arrays()
        seed = self._sign_seed(signs)
        check_metadata(self.metadata)
        arrays = {name: array for name, array in plain.items() if name.startswith("state/")}
        for layer in self.layers:
            arrays.update(coded_arrays(layer, plain, seed, strict=signs == "seed"))
        metadata = {**self._file_metadata(), "digest": self._digest(plain)}
        return codec.encode(metadata, arrays)

    @typed
    def save(self, path: str | os.PathLike[str], *, signs: Signs = "auto") -> None:
        """Write the file in one step: it is there whole or not at all.

        Signs that ``metadata["seed"]`` draws are left out, wherever that is shorter; who reads the
        file draws them anew, and the ticket is the same. Others, of a trained or a fine-tuned net,
        are stored. With ``signs="raw"`` all are; ``signs="seed"`` refuses to store any.

        Raises:
            TicketError: the file cannot be written, or a layer has other signs than the seed's
                where ``signs`` is "seed".
        """
        content = self.to_bytes(signs=signs)
        with codec.located(path):
            write_atomic(Path(path), content)

    @classmethod
    @typed
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        max_bytes: int = MAX_FILE_BYTES,
        max_memory: int | None = None,
    ) -> Ticket:
        """Read and check a file of at most ``max_bytes``, or a ticket of the zoo by its name.

        Raises TicketError with the reason.

        That takes at most ``max_memory`` bytes; None is SPIKETICKET_MAX_MEMORY, or 4 GiB. What
        the file declares is compared with it, and with the network it names, before it is read.
        """
        max_memory = allowed_memory() if max_memory is None else max_memory
        path = _named(path)
        with codec.located(path):
            file, size = open_regular(path)
            with file:
                if size > max_bytes:
                    raise TicketError(f"is larger than {max_bytes} bytes", value=size)
                admit(*codec.read_header_from(file, size), size, max_memory)
                file.seek(0)
                # One byte more than allowed, for a file that grows meanwhile.
                content = file.read(min(size, max_bytes) + 1)
            return cls.from_bytes(content, max_memory=max_memory)

    @classmethod
    def from_bytes(cls, content: bytes, *, max_memory: int | None = None) -> Ticket:
        """The ticket in a file's content; ``max_memory`` as in :meth:`load`. Raises TicketError."""
        header = codec.read_header_from(io.BytesIO(content), len(content))
        admit(*header, len(content), allowed_memory() if max_memory is None else max_memory)
        metadata, arrays = codec.decode(content)
        version, digest = metadata.pop("format_version"), metadata.pop("digest", None)
        entries = metadata.pop("layers", None)
        state_bytes = metadata.pop("state_bytes", None)
        if not isinstance(entries, list):
            raise TicketError("its metadata names no layers")
        layers: list[TicketLayer] = []
        room = MAX_WEIGHTS
        for entry in entries:
            layers.append(read_layer(entry, arrays, version, room, metadata.get("seed")))
            room -= layers[-1].size
        tensors = {}
        for name in sorted(arrays):
            if not name.startswith("state/"):
                raise TicketError("holds an array that belongs to no layer", value=name)
            tensors[name.removeprefix("state/")] = arrays.pop(name)
        ticket = cls(tuple(layers), tensors, metadata)
        if state_bytes != ticket._file_metadata()["state_bytes"]:
            raise TicketError("state_bytes contradicts the arrays", value=state_bytes)
        if digest != ticket.digest():
            raise TicketError("is damaged: its content does not match its digest", remedy=DAMAGED)
        return ticket

    def _file_metadata(self) -> dict[str, Any]:
        return {
            **self.metadata,
            "layers": [layer_entry(layer) for layer in self.layers],
            "state_bytes": sum(array.nbytes for array in self.tensors.values()),
        }

    def _arrays(self) -> dict[str, codec.Array]:
        """All arrays in format 1."""
        arrays: dict[str, codec.Array] = {f"state/{k}": v for k, v in self.tensors.items()}
        for layer in self.layers:
            arrays.update(plain_arrays(layer))
        return arrays

    def _digest(self, plain: Mapping[str, codec.Array]) -> str:
        return codec.digest({**self._file_metadata(), "format_version": 1}, plain)

    def _sign_seed(self, signs: Signs) -> int | None:
        """The seed to leave signs to, or None."""
        if signs not in get_args(Signs):
            raise TicketError("must be auto, raw or seed", where="signs", value=signs)
        seed = self.metadata.get("seed")
        known = type(seed) is int and 0 <= seed < 1 << 64
        if signs == "raw" or (signs == "auto" and not known):
            return None
        if signs == "seed" and all(layer.signs is None for layer in self.layers):
            raise TicketError("no layer is binary: there are no signs to leave out", where="signs")
        if not known:
            raise TicketError(
                "the ticket names no seed to draw its signs", where="seed", value=seed
            )
        return int(seed or 0)


def stated(metadata: Mapping[str, Any]) -> dict[str, str]:
    """What a ticket's maker states of it, in at most four entries; of any program, so that what is
    of another kind is left out.
    """

    def name(key: str) -> str:
        table = metadata.get(key)
        found = table.get("name") if isinstance(table, Mapping) else table
        return found if isinstance(found, str) else ""

    found = {"network": " on ".join(filter(None, (name("network"), name("data"))))}
    accuracy = metadata.get("accuracy")
    kinds = ("test", "validation")
    rates = {k: accuracy.get(k) for k in kinds} if isinstance(accuracy, Mapping) else {}
    found["accuracy"] = ", ".join(
        f"{kind} {rate:.2f} %" for kind, rate in rates.items() if isinstance(rate, int | float)
    )
    seed = metadata.get("seed")
    found["seed"] = str(seed) if type(seed) is int else ""
    verdict = metadata.get("verdict")
    outcome = verdict.get("outcome") if isinstance(verdict, Mapping) else None
    found["verdict"] = in_words(outcome) if isinstance(outcome, str) else ""
    return {key: words for key, words in found.items() if words}


def stated_margin(metadata: Mapping[str, Any]) -> float | None:
    """The margin for early answers that ``spiketicket exit`` has put into a ticket, or None."""
    table = metadata.get("early_exit")
    margin = table.get("margin") if isinstance(table, Mapping) else None
    return float(margin) if isinstance(margin, int | float) and margin >= 0 else None


def stage_in(metadata: Mapping[str, Any]) -> str:
    """The stage that a ticket's metadata name, as :attr:`Ticket.stage`."""
    return str(metadata.get("stage", metadata.get("arm", "ticket")))


@typed
def read_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """A file's metadata with ``layers``, ``state_bytes`` and ``digest``, quickly.

    Reads the header alone, so it does not notice damage in the arrays. Raises TicketError.
    """
    path = _named(path)
    with codec.located(path):
        file, size = open_regular(path)
        with file:
            return checked(codec.read_header_from(file, size)[0])


@typed
def describe(source: Ticket | str | os.PathLike[str]) -> TicketSummary:
    """Sizes and densities of a ticket, or of a file, of which only the header is read.

    Raises TicketError when the file cannot be read or its header makes no sense.
    """
    if isinstance(source, Ticket):
        content = source.to_bytes()
        return summarise(*codec.read_header_from(io.BytesIO(content), len(content)), len(content))
    source = _named(source)
    with codec.located(source):
        file, size = open_regular(source)
        with file:
            metadata, sizes = codec.read_header_from(file, size)
            return summarise(checked(metadata), sizes, size)


@typed
def as_ticket(source: Ticket | str | os.PathLike[str]) -> Ticket:
    """A ticket by itself, by its file, or by its name in the zoo. Raises TicketError."""
    return source if isinstance(source, Ticket) else Ticket.load(source)


def _named(source: str | os.PathLike[str]) -> Path:
    from spiketicket.ticket.zoo import ticket_path  # which reads tickets itself

    return ticket_path(source)


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
