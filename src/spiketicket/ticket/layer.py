"""One pruned layer of a ticket, and how it lies in the file (see ``__init__.py``)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, NoReturn, cast

import numpy as np

from spiketicket.errors import UNSET
from spiketicket.machine.above import Drawn, brief
from spiketicket.ticket import codec
from spiketicket.ticket import drawn_signs as draws
from spiketicket.ticket.codec import TicketError
from spiketicket.ticket.mask_code import decode_mask, encode_mask

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NONE: codec.Array = np.empty(0, np.bool_)

LayerKind = Literal["binary", "float", "int8"]
PARTS: Final[dict[str, tuple[str, ...]]] = {
    "binary": ("alpha", "signs"),
    "float": ("values",),
    "int8": ("codes", "scales"),
}
"""What a layer of each kind takes beside its mask."""
MAX_CODE: Final = 127
_ALL_PARTS: Final = [part for parts in PARTS.values() for part in parts]


@dataclass(frozen=True, eq=False, kw_only=True)
class TicketLayer(Drawn):
    """One layer, whose weight is alpha * sign * mask, value * mask, or scale * code * mask.

    Args:
        name: module path, e.g. ``features.0.conv``; the weight's key is ``name + ".weight"``.
        shape: shape of the weight.
        kind: ``binary`` (takes ``alpha`` and ``signs``), ``float`` (takes ``values``) or ``int8``
            (takes ``codes`` and ``scales``).
        mask: bool array of ``shape``, true where the weight is kept.
        alpha: scale of a binary layer, rounded to float32; finite and not negative.
        signs: int8 array of ``shape``: -1 or +1 where kept, 0 elsewhere.
        values: float32 array of ``shape``: finite where kept, 0 elsewhere.
        codes: int8 array of ``shape``: -127 to 127 where kept, 0 elsewhere.
        scales: float32 array ``[shape[0]]``, finite and positive: one of each output channel.

    The arrays are copied and made read-only. Raises TicketError for anything else.
    """

    drawn_by: ClassVar[str] = "layer_html"

    name: str
    shape: tuple[int, ...]
    kind: LayerKind
    mask: NDArray[np.bool_]
    alpha: float | None = None
    signs: NDArray[np.int8] | None = None
    values: NDArray[np.float32] | None = None
    codes: NDArray[np.int8] | None = None
    scales: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        check_name(self.name)
        codec.entry_count(self.shape, self.name)
        object.__setattr__(self, "shape", tuple(self.shape))
        mask = self._own("mask", np.bool_)
        self._check_parts()
        if self.kind == "binary":
            signs = self._own("signs", np.int8)
            if not np.array_equal(np.abs(signs).view(np.uint8), mask.view(np.uint8)):
                self._refuse("signs must be -1 or +1 where the mask keeps, 0 elsewhere")
            alpha = self._scale()
            object.__setattr__(self, "alpha", alpha)
            return
        part = "values" if self.kind == "float" else "codes"
        numbers = self._own(part, np.float32 if self.kind == "float" else np.int8)
        if np.any((numbers != 0) & ~mask):
            self._refuse(f"{part} must be 0 where the mask prunes")
        if self.kind == "float":
            if not np.isfinite(numbers).all():
                self._refuse("values must be finite")
            return
        if numbers.min() < -MAX_CODE:
            self._refuse(f"codes must be -{MAX_CODE} to {MAX_CODE}", int(numbers.min()))
        scales = self._own("scales", np.float32, self.shape[:1])
        if not (np.isfinite(scales) & (scales > 0)).all():
            self._refuse("scales must be finite and positive")

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.shape))
        return (
            f"<TicketLayer {brief(self.name)}: {shape} {self.kind},"
            f" {self.kept:,} of {self.size:,} kept>"
        )

    @property
    def size(self) -> int:
        """Number of weights."""
        return self.mask.size

    @property
    def kept(self) -> int:
        """Number of weights kept."""
        return int(np.count_nonzero(self.mask))

    @property
    def density(self) -> float:
        """Fraction of the weights kept."""
        return self.kept / self.size

    def weight(self) -> NDArray[np.float32]:
        """The layer's weight, a new float32 array of ``shape``: exactly what was searched."""
        if self.values is not None:
            return np.where(self.mask, self.values, np.float32(0.0))
        if self.codes is not None:
            scales = cast("NDArray[np.float32]", self.scales)
            columns = scales.reshape(-1, *[1] * (len(self.shape) - 1))
            return np.multiply(self.codes, columns, dtype=np.float32)
        signs, alpha = cast("NDArray[np.int8]", self.signs), np.float32(cast("float", self.alpha))
        return np.multiply(signs, alpha, dtype=np.float32)

    def _check_parts(self) -> None:
        """The parts of this kind of layer are given, and none of another."""
        parts = PARTS.get(self.kind)
        given = {part for part in _ALL_PARTS if getattr(self, part) is not None}
        if parts is None or not given <= set(parts):
            told = ", ".join(f"kind {kind} takes {' and '.join(p)}" for kind, p in PARTS.items())
            self._refuse(told, self.kind)

    def _own(
        self, attribute: str, dtype: type[np.generic], shape: tuple[int, ...] | None = None
    ) -> Any:
        """Check an array argument, keep a read-only copy of it and return that."""
        given, shape = getattr(self, attribute), self.shape if shape is None else shape
        if not isinstance(given, np.ndarray) or given.dtype != dtype or given.shape != shape:
            found = f"{given.dtype} {given.shape}" if isinstance(given, np.ndarray) else given
            self._refuse(f"{attribute} must be {np.dtype(dtype)} of shape {shape}", found)
        own = np.array(given, dtype=dtype, order="C", copy=True)
        own.setflags(write=False)
        object.__setattr__(self, attribute, own)
        return own

    def _scale(self) -> float:
        try:
            with np.errstate(over="ignore"):
                alpha = float(np.float32(self.alpha))
        except (TypeError, ValueError):
            alpha = math.nan
        if not 0 <= alpha < math.inf:
            self._refuse("alpha must be a finite float32, not negative", self.alpha)
        return alpha

    def _refuse(self, what: str, value: object = UNSET) -> NoReturn:
        raise TicketError(what, where=self.name, value=value)


def layer_entry(layer: TicketLayer) -> dict[str, Any]:
    """The layer's entry in the header."""
    return {
        "name": layer.name,
        "shape": list(layer.shape),
        "kind": layer.kind,
        "kept": layer.kept,
        "alpha": layer.alpha,
    }


def plain_arrays(layer: TicketLayer) -> dict[str, codec.Array]:
    """The layer's arrays in format 1, by name: what the digest covers."""
    arrays: dict[str, codec.Array] = {f"mask/{layer.name}": codec.pack_bits(layer.mask)}
    if layer.signs is not None:
        arrays[f"signs/{layer.name}"] = codec.pack_bits(_positive(layer))
        arrays[f"alpha/{layer.name}"] = np.array(layer.alpha, np.float32)
    elif layer.values is not None:
        arrays[f"values/{layer.name}"] = layer.values.reshape(-1).take(_places(layer.mask))
    elif layer.codes is not None and layer.scales is not None:
        arrays[f"codes/{layer.name}"] = layer.codes.reshape(-1).take(_places(layer.mask))
        arrays[f"scales/{layer.name}"] = layer.scales
    return arrays


def coded_arrays(
    layer: TicketLayer, plain: Mapping[str, codec.Array], seed: int | None, strict: bool
) -> dict[str, codec.Array]:
    """The layer's arrays in format 3, by name, made from those of format 1.

    With a seed, its signs are left out where the seed draws them and that is shorter. Raises
    TicketError if ``strict`` and the seed draws other signs.
    """
    name = layer.name
    arrays = {key: array for key, array in plain.items() if key.partition("/")[2] == name}
    if layer.signs is None and layer.mask.all():
        del arrays[f"mask/{name}"]
    else:
        arrays[f"mask/{name}"] = encode_mask(layer.mask)
    if seed is not None and layer.signs is not None:
        short = draws.as_drawn(name, _places(layer.mask), _positive(layer), seed)
        if short is None and strict:
            raise TicketError(
                f"its signs are not those that seed {seed} draws: it was trained, or fine-tuned",
                where=name,
                remedy="Keep the signs in the file (raw)",
            )
        if short is not None and short.nbytes < arrays[f"signs/{name}"].nbytes:
            del arrays[f"signs/{name}"]
            arrays[f"drawn/{name}"] = short
    return arrays


def read_layer(
    entry: object, arrays: dict[str, codec.Array], version: int, room: int, seed: object = None
) -> TicketLayer:
    """Take one layer's arrays, of a file of format ``version``, out of ``arrays``.

    ``seed`` is that of the metadata, which signs may be left to.

    Raises TicketError unless all of it agrees, and where it has more than ``room`` weights.
    """
    if not isinstance(entry, dict):
        raise TicketError("a layer's entry must be a table", value=entry)
    name, shape, kind = check_name(entry.get("name")), entry.get("shape", ()), entry.get("kind")
    if not isinstance(kind, str) or kind not in PARTS:
        remedy = "A newer spiketicket may know it"
        what = "kind must be binary, float or int8"
        raise TicketError(what, where=name, value=kind, remedy=remedy)
    size = codec.entry_count(shape, name)
    if size > room:
        raise TicketError(f"a ticket has at most {codec.MAX_WEIGHTS} weights", where=name)
    numbers = f"{'codes' if kind == 'int8' else 'values'}/{name}"
    if version > 2 and kind != "binary" and f"mask/{name}" not in arrays:
        if entry.get("kept") != size or arrays.get(numbers, _NONE).shape != (size,):
            raise TicketError("is missing", where=f"mask/{name}")
        mask = np.ones(size, np.bool_)
    else:
        mask = _read_mask(_take(arrays, f"mask/{name}"), size, entry.get("kept"), name, version)
    places = _places(mask)
    parts: dict[str, Any] = {"mask": mask.reshape(shape)}
    if kind == "binary":
        signs = np.zeros(size, np.int8)
        signs[places] = 2 * _read_signs(arrays, places, name, version, seed).view(np.int8) - 1
        parts["signs"] = signs.reshape(shape)
        parts["alpha"] = float(_take(arrays, f"alpha/{name}", ()))
    else:
        dtype = np.int8 if kind == "int8" else np.float32
        values = np.zeros(size, dtype)
        values[places] = _take(arrays, numbers, (places.size,), dtype)
        parts[numbers.partition("/")[0]] = values.reshape(shape)
        if kind == "int8":
            parts["scales"] = _take(arrays, f"scales/{name}", tuple(shape[:1]))
    layer = TicketLayer(name=name, shape=tuple(shape), kind=cast("LayerKind", kind), **parts)
    if entry != layer_entry(layer):
        raise TicketError("the header contradicts the arrays", where=name, value=entry)
    return layer


def _positive(layer: TicketLayer) -> NDArray[np.bool_]:
    """Whether each kept weight of a binary layer is positive, bool [kept]."""
    signs = cast("NDArray[np.int8]", layer.signs).reshape(-1)
    positive: NDArray[np.bool_] = signs.take(_places(layer.mask)) > 0
    return positive


def _places(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Where the kept weights are, in C order: many times faster to index with than the mask."""
    return np.flatnonzero(mask)


def _read_mask(
    stored: codec.Array, size: int, kept: object, name: str, version: int
) -> NDArray[np.bool_]:
    if version == 1:
        return codec.unpack_bits(stored, size, f"mask/{name}")
    if type(kept) is not int or not 0 <= kept <= size:
        raise TicketError("kept must count its weights", where=name, value=kept)
    return decode_mask(stored, size, kept, f"mask/{name}")


def _read_signs(
    arrays: dict[str, codec.Array], places: NDArray[np.int64], name: str, version: int, seed: object
) -> NDArray[np.bool_]:
    if version > 1 and f"drawn/{name}" in arrays:
        return draws.drawn(_take(arrays, f"drawn/{name}"), name, places, f"drawn/{name}", seed)
    return codec.unpack_bits(_take(arrays, f"signs/{name}"), places.size, f"signs/{name}")


def _take(
    arrays: dict[str, codec.Array],
    name: str,
    shape: tuple[int, ...] | None = None,
    dtype: type[np.generic] = np.float32,
) -> codec.Array:
    """Take an array out; with ``shape`` it must be of that shape and of ``dtype``."""
    array = arrays.pop(name, None)
    if array is None:
        raise TicketError("is missing", where=name)
    if shape is not None and (array.dtype != dtype or array.shape != shape):
        found, wanted = f"{array.dtype} {array.shape}", np.dtype(dtype).name
        raise TicketError(f"must be {wanted} of shape {shape}", where=name, value=found)
    return array


def check_name(name: object) -> str:
    """``name`` if it can name a layer or an array, else a TicketError."""
    # Printable, because names are shown and a foreign file could hold terminal commands.
    if not isinstance(name, str) or not 0 < len(name) <= 1000 or not name.isprintable():
        raise TicketError("a name must be 1 to 1000 printable characters", value=name)
    return name
