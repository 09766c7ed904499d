"""Signs that a search drew and never changed: known from its seed, so a file can leave them out.

A search takes the weights of the layer at module path ``p`` from the counter stream
``Stream(seed, "weight", p)`` (see ``streams.py``), as ``signs`` where all have one size and as
``normal`` where they differ. Both give the same numbers on every machine. Where only a part of the
network was searched, ``p`` is the path inside that part: the name without its first modules.

In a file it is four uint64 numbers: the kind of the draw (0 signs, 1 normal), the seed, how many
modules of the name are left out, and the first eight bytes of SHA-256 over the signs of the kept
weights, packed as the file would hold them (little endian).
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Literal

import numpy as np

from spiketicket.streams import Stream
from spiketicket.ticket import codec
from spiketicket.ticket.codec import DAMAGED, TicketError

if TYPE_CHECKING:
    from numpy.typing import NDArray

Kind = Literal["signs", "normal"]
_KINDS: tuple[Kind, ...] = ("signs", "normal")
_FIRST = 256  # signs looked at before a whole layer is drawn


def as_drawn(
    name: str, places: NDArray[np.int64], positive: NDArray[np.bool_], seed: int
) -> NDArray[np.uint64] | None:
    """What the file holds in place of the signs, uint64 [4]; None if the seed draws others.

    ``places`` are those of the kept weights in the layer, in C order, int64 [kept], and
    ``positive`` bool [kept] tells their signs.
    """
    for left_out in range(name.count(".") + 1):
        for number, kind in enumerate(_KINDS):
            if all(
                np.array_equal(_draw(kind, seed, name, left_out, places[:n]), positive[:n])
                for n in (_FIRST, places.size)
            ):
                return np.array([number, seed, left_out, _hash(positive)], np.uint64)
    return None


def drawn(
    stored: codec.Array, name: str, places: NDArray[np.int64], where: str
) -> NDArray[np.bool_]:
    """The signs of the kept weights drawn anew and checked, bool [kept], true is +1.

    Raises:
        TicketError: the numbers make no sense, or the signs are not those that were left out.
    """
    if stored.dtype != np.uint64 or stored.shape != (4,):
        found = f"{stored.dtype.name} {stored.shape}"
        raise TicketError("must be uint64 of shape (4,)", where=where, value=found)
    kind, seed, left_out, expected = (int(number) for number in stored)
    if kind >= len(_KINDS) or left_out > name.count("."):
        raise TicketError("names no known draw", where=where, value=[kind, left_out])
    positive = _draw(_KINDS[kind], seed, name, left_out, places)
    if _hash(positive) != expected:
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
