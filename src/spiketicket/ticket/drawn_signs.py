"""Signs that a search drew and never changed: known from its seed, so a file can leave them out.

A search takes the weights of the layer at module path ``p`` from the counter stream
``Stream(seed, "weight", p)`` (see ``streams.py``), as ``signs`` where all have one size and as
``normal`` where they differ. Both give the same numbers on every machine. Where only a part of the
network was searched, ``p`` is the path inside that part: the name without its first modules.

In a file of format 3 it is two bytes: the kind of the draw (0 signs, 1 normal) and how many modules
of the name are left out. The seed is the one in the metadata, and the file's digest, which covers
the signs, shows where they are not the ticket's. In format 2 it is four uint64 numbers: kind, seed,
modules left out, and the first eight bytes of SHA-256 over the signs of the kept weights, packed as
the file would hold them (little endian).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from spiketicket.streams import Stream
from spiketicket.ticket import codec
from spiketicket.ticket.codec import DAMAGED, TicketError

if TYPE_CHECKING:
    from numpy.typing import NDArray

SEARCHED: Final = ("signed_supermask",)
"""Methods whose search chooses the signs of frozen weights, so that no seed draws them."""
Kind = Literal["signs", "normal"]
_KINDS: tuple[Kind, ...] = ("signs", "normal")
_FIRST = 256  # signs looked at before a whole layer is drawn


def signs_searched(metadata: Mapping[str, Any]) -> bool:
    """Whether a ticket says that its search chose the signs of its weights, and not only a mask."""
    recipe = metadata.get("recipe")
    method = recipe.get("ticket") if isinstance(recipe, dict) else metadata.get("method")
    name = method.get("name") if isinstance(method, dict) else None
    return metadata.get("stage", "ticket") == "ticket" and name in SEARCHED


def as_drawn(
    name: str, places: NDArray[np.int64], positive: NDArray[np.bool_], seed: int
) -> NDArray[np.uint8] | None:
    """What the file holds in place of the signs, uint8 [2]; None if the seed draws others.

    ``places`` are those of the kept weights in the layer, in C order, int64 [kept], and
    ``positive`` bool [kept] tells their signs.
    """
    for left_out in range(min(name.count(".") + 1, 256)):
        for number, kind in enumerate(_KINDS):
            if all(
                np.array_equal(_draw(kind, seed, name, left_out, places[:n]), positive[:n])
                for n in (_FIRST, places.size)
            ):
                return np.array([number, left_out], np.uint8)
    return None


def drawn(
    stored: codec.Array, name: str, places: NDArray[np.int64], where: str, seed: object
) -> NDArray[np.bool_]:
    """The signs of the kept weights drawn anew, bool [kept], true is +1; checked in format 2.

    ``seed`` is the metadata's, which format 3 draws from.

    Raises:
        TicketError: the numbers make no sense, or the signs are not those that were left out.
    """
    expected: int | None
    if stored.dtype == np.uint64 and stored.shape == (4,):
        kind, seed, left_out, expected = (int(number) for number in stored)
    elif stored.dtype == np.uint8 and stored.shape == (2,):
        kind, left_out = (int(number) for number in stored)
        expected = None
    else:
        found = f"{stored.dtype.name} {stored.shape}"
        raise TicketError("must be two bytes or four numbers", where=where, value=found)
    if kind >= len(_KINDS) or left_out > name.count("."):
        raise TicketError("names no known draw", where=where, value=[kind, left_out])
    if type(seed) is not int or not 0 <= seed < 1 << 64:
        raise TicketError("the ticket names no seed to draw its signs", where="seed", value=seed)
    positive = _draw(_KINDS[kind], seed, name, left_out, places)
    if expected is not None and _hash(positive) != expected:
        raise TicketError(
            f"the signs that seed {seed} draws are not the ticket's", where=where, remedy=DAMAGED
        )
    return positive


def _draw(
    kind: Kind, seed: int, name: str, left_out: int, places: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Whether the weights at these places, which rise, are drawn positive; bool like ``places``."""
    stream = Stream(seed, "weight", ".".join(name.split(".")[left_out:]))
    count = int(places[-1]) + 1 if places.size else 0
    values = stream.signs(count) if kind == "signs" else stream.normal(count)
    positive: NDArray[np.bool_] = values.take(places) >= 0
    return positive


def _hash(positive: NDArray[np.bool_]) -> int:
    return int.from_bytes(
        hashlib.sha256(codec.pack_bits(positive).tobytes()).digest()[:8], "little"
    )
