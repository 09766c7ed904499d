"""What the counted operations would cost: named tables of picojoules an operation.

Every figure is arithmetic in a 45 nm process at 0.9 V, from M. Horowitz, "Computing's energy
problem (and what we can do about it)", ISSCC 2014, figure 1.1.9:

    add       8 bit integer 0.03    32 bit integer 0.1    32 bit float 0.9
    multiply  8 bit integer 0.2     32 bit integer 3.1    32 bit float 3.7

For a layer ``l`` and a layer of neurons ``n``:

    arithmetic = sum_l mac_l * macs_l + ac_l * ac_units_l        what papers state
    with updates = arithmetic + update * sum_n updates_n         membranes too

``mac_l`` and ``ac_l`` are the table's, or its other pair where all non-zero weights of the layer
have one magnitude: such a layer adds and subtracts, and multiplies by its scale never (the scale
is folded into the BatchNorm after it). An accumulation of the number n, as residual sums of spikes
bring, is n accumulations. A membrane update, a multiplication by the decay and an addition, is
priced as a MAC; comparison and reset are not. Nothing else is: no BatchNorm, pooling, softmax, bias
or control, no leakage. Memory stands beside: :mod:`spiketicket.measure.memory`.

Needs no PyTorch: it reads what ``measure.json`` holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from spiketicket.errors import UserError, argument
from spiketicket.measure import memory

_HOROWITZ = "Horowitz, ISSCC 2014, figure 1.1.9, 45 nm, 0.9 V"


@dataclass(frozen=True, kw_only=True)
class Table:
    """Picojoules an operation; the ``binary`` pair is for layers whose weights are signs."""

    name: str
    mac: float
    ac: float
    binary_mac: float
    binary_ac: float
    update: float
    weight_bits: int
    assumes: str
    source: str = _HOROWITZ


_FP32 = "MAC = float32 multiply 3.7 + add 0.9; AC = float32 add"
_INT8 = "MAC = int8 multiply 0.2 + int32 add 0.1; AC = int32 add"

TABLES = {
    table.name: table
    for table in (
        Table(
            name="45nm-fp32",
            mac=4.6,
            ac=0.9,
            binary_mac=4.6,
            binary_ac=0.9,
            update=4.6,
            weight_bits=32,
            assumes=_FP32,
        ),
        Table(
            name="45nm-fp32-binary",
            mac=4.6,
            ac=0.9,
            binary_mac=0.9,
            binary_ac=0.1,
            update=4.6,
            weight_bits=32,
            assumes=f"{_FP32}; in layers of signs MAC = float32 add of the input, AC = int32 add"
            " of +1 or -1, the scale folded into BatchNorm",
        ),
        Table(
            name="45nm-int8",
            mac=0.3,
            ac=0.1,
            binary_mac=0.3,
            binary_ac=0.1,
            update=0.3,
            weight_bits=8,
            assumes=_INT8,
        ),
        Table(
            name="45nm-int8-binary",
            mac=0.3,
            ac=0.1,
            binary_mac=0.1,
            binary_ac=0.1,
            update=0.3,
            weight_bits=8,
            assumes=f"{_INT8}; in layers of signs MAC = int32 add of the input",
        ),
    )
}
"""The ``fp32`` rows are the convention of the field, for every layer alike. The ``int8`` rows price
the same counts as if the net were quantised to 8 bits, which its accuracy does not speak for."""

DEFAULT = "45nm-fp32"


def find_table(name: str) -> Table:
    """A table by its name.

    Raises:
        UserError: there is none; names those there are.
    """
    if name not in TABLES:
        remedy = f"There are {', '.join(TABLES)}"
        raise UserError("unknown energy table", where=argument("energy"), value=name, remedy=remedy)
    return TABLES[name]


def price(measured: Mapping[str, Any], table: Table) -> dict[str, Any]:
    """Picojoules per image of what :mod:`spiketicket.experiment.measure` has measured.

    ``total_pj`` is the arithmetic of the layers, ``with_updates_pj`` that of membranes too;
    ``dense_pj`` what the layers would cost if each of their weights were multiplied at each call.
    ``memory_pj`` is what the bytes cost that :mod:`spiketicket.measure.memory` counts,
    ``with_memory_pj`` arithmetic, membranes and memory; ``dense_with_memory_pj`` the same where
    nothing is skipped and every weight is stored in full, which prices an ANN as papers do.
    """
    layers, neurons = measured["layers"], measured["neurons"]
    macs = sum(_mac(table, layer) * layer["macs"] for layer in layers)
    acs = sum(_ac(table, layer) * layer["ac_units"] for layer in layers)
    updates = table.update * sum(neuron["updates"] for neuron in neurons)
    dense = sum(table.mac * layer["dense"] for layer in layers)
    moved = memory.traffic(measured, table.weight_bits)
    spent = sum(tensor.pj for tensor in moved)
    unskipped = sum(x.pj for x in memory.traffic(measured, table.weight_bits, dense=True))
    return {
        "table": table.name,
        "macs_pj": macs,
        "acs_pj": acs,
        "updates_pj": updates,
        "total_pj": macs + acs,
        "with_updates_pj": macs + acs + updates,
        "dense_pj": dense,
        "memory_pj": spent,
        "with_memory_pj": macs + acs + updates + spent,
        "dense_memory_pj": unskipped,
        "dense_with_memory_pj": dense + updates + unskipped,
        "memory_bytes": memory.by_kind(moved),
        "memory_levels": memory.by_level(moved),
        "memory_source": memory.SOURCE,
        "formula": formula(table),
        "source": table.source,
    }


def formula(table: Table) -> str:
    """The formula with the table's numbers, in one line."""
    text = f"{table.mac} pJ x MACs + {table.ac} pJ x accumulations"
    if (table.binary_mac, table.binary_ac) != (table.mac, table.ac):
        text += f" (layers of signs: {table.binary_mac} and {table.binary_ac})"
    return f"{text}; membranes apart: {table.update} pJ x updates. {table.assumes}"


def _mac(table: Table, layer: Mapping[str, Any]) -> float:
    return table.binary_mac if layer["binary"] else table.mac


def _ac(table: Table, layer: Mapping[str, Any]) -> float:
    return table.binary_ac if layer["binary"] else table.ac
