"""Bytes that a net moves per image, by level of memory, and what they cost.

After E. Lemaire et al., "An analytical estimation of spiking neural networks energy efficiency",
ICONIP 2022 (arXiv 2210.13107): the energy of memory is that of reading weights and inputs, of
reading and writing potentials, and of writing outputs, each access priced by the size of the memory
that holds the tensor. Two things differ here: pairs are counted and not estimated from a mean rate,
and a potential moves once per update (partial sums stay in registers), not once per spike. For a
layer ``l``, a layer of neurons ``n``, and tensors of ``S`` bytes:

    weights    = sum_l bits(w_l) / 8 * pairs_l          one read per MAC or AC, nothing reused
    inputs     = sum_l bits(x_l) / 8 * inputs_l         every input once per call, zero or not
    potentials = sum_n 4 * updates_n                    read, and as many written
    outputs    = sum_n bits(y_n) / 8 * outputs_n        written
    energy     = sum over tensors of bytes * pj_per_byte(level(S))

Spikes are bitmaps, 1 bit each; levels of a quantised activation take its bits, sums of spikes 8,
analog values and float weights those of the energy table. Weights of a binary layer take 2 bits per
read (kept, sign) and are stored as a mask of one bit per weight and a sign per kept one. A tensor
lies in the smallest level that it fits into.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

BITS_OF_A_POTENTIAL = 32
BITS_OF_A_SIGN = 2
"""Kept or not, and which sign."""

BITS_OF_A_WHOLE_NUMBER = 8
"""A sum of spikes, or a count of events."""


@dataclass(frozen=True)
class Level:
    """A memory of at most ``capacity`` bytes, ``None`` for no bound; picojoules per byte."""

    name: str
    capacity: int | None
    pj_per_byte: float


LEVELS = (
    Level("sram-8k", 8 * 1024, 10 / 8),
    Level("sram-32k", 32 * 1024, 20 / 8),
    Level("sram-1m", 1024 * 1024, 100 / 8),
    Level("dram", None, 1300 / 8),
)
"""64 bits cost 10, 20, 100 and 1300 pJ; of DRAM's 1300 to 2600 the lower end."""

SOURCE = "Horowitz, ISSCC 2014, figure 1.1.9, 45 nm; model after Lemaire et al., ICONIP 2022"


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """Bytes of one tensor moved per image; ``what`` is weights, inputs, potentials or outputs."""

    name: str
    what: str
    level: Level
    read: float = 0.0
    written: float = 0.0

    @property
    def pj(self) -> float:
        """Picojoules per image."""
        return (self.read + self.written) * self.level.pj_per_byte


def level_of(size: float) -> Level:
    """The smallest level that holds ``size`` bytes."""
    return next(x for x in LEVELS if x.capacity is None or size <= x.capacity)


def traffic(
    measured: Mapping[str, Any], bits: int = 32, *, dense: bool = False
) -> tuple[Traffic, ...]:
    """Every tensor's bytes per image, layers first.

    ``bits`` are those of a float weight and of an analog value. With ``dense`` nothing is
    skipped and every weight has ``bits``: the memory beside the price of all products.
    """
    found: list[Traffic] = []
    for layer in measured["layers"]:
        name = layer["name"]
        if layer["weights"]:
            signs = layer["binary"] and not dense
            stored = layer["weights"] + layer["kept"] if signs else layer["weights"] * bits
            pairs = layer["dense"] if dense else layer["macs"] + layer["acs"]
            read = pairs * (BITS_OF_A_SIGN if signs else bits) / 8
            found.append(Traffic(name=name, what="weights", level=level_of(stored / 8), read=read))
        read = layer["inputs"] * (layer["input_bits"] or bits) / 8
        size = read / layer["calls"] if layer["calls"] else 0.0
        found.append(Traffic(name=name, what="inputs", level=level_of(size), read=read))
    for neuron in measured["neurons"]:
        name, moved = neuron["name"], neuron["updates"] * BITS_OF_A_POTENTIAL / 8
        if moved:
            level = level_of(neuron["size"] * BITS_OF_A_POTENTIAL / 8)
            found.append(
                Traffic(name=name, what="potentials", level=level, read=moved, written=moved)
            )
        out = neuron["bits"] or bits
        level = level_of(neuron["size"] * out / 8)
        written = neuron["outputs"] * out / 8
        found.append(Traffic(name=name, what="outputs", level=level, written=written))
    return tuple(found)


def by_level(moved: tuple[Traffic, ...]) -> dict[str, dict[str, float]]:
    """Bytes read and written per image and their picojoules, of every level."""
    return {
        level.name: {
            "read": sum(x.read for x in moved if x.level == level),
            "written": sum(x.written for x in moved if x.level == level),
            "pj": sum(x.pj for x in moved if x.level == level),
        }
        for level in LEVELS
    }


def by_kind(moved: tuple[Traffic, ...]) -> dict[str, float]:
    """Bytes per image of weights, inputs, potentials and outputs, read and written together."""
    kinds = ("weights", "inputs", "potentials", "outputs")
    return {kind: sum(x.read + x.written for x in moved if x.what == kind) for kind in kinds}
