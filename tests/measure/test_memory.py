"""Bytes moved: a net by hand, and the rule of levels."""

import pytest

from spiketicket.measure.energy import find_table, price
from spiketicket.measure.memory import LEVELS, by_kind, by_level, level_of, traffic

LAYERS = [
    {
        "name": "a",
        "input": "analog",
        "inputs": 64.0,
        "calls": 1.0,
        "macs": 1000.0,
        "acs": 0.0,
        "ac_units": 0.0,
        "dense": 2000.0,
        "binary": False,
        "weights": 100,
        "kept": 50,
    },
    {
        "name": "b",
        "input": "spikes",
        "inputs": 3200.0,
        "calls": 4.0,
        "macs": 0.0,
        "acs": 300.0,
        "ac_units": 300.0,
        "dense": 4000.0,
        "binary": True,
        "weights": 60_000,
        "kept": 6_000,
    },
]
NEURONS = [
    {"name": "n", "kind": "lif", "size": 3000, "updates": 12_000.0, "outputs": 12_000.0},
    {"name": "r", "kind": "relu", "size": 10, "updates": 0.0, "outputs": 10.0},
]
MEASURED = {"layers": LAYERS, "neurons": NEURONS}


def test_bytes_by_hand():
    kinds = by_kind(traffic(MEASURED))
    assert kinds == {
        "weights": 1000 * 4 + 300 * 2 / 8,
        "inputs": 64 * 4 + 3200 / 8,
        "potentials": 2 * 12_000 * 4,
        "outputs": 12_000 / 8 + 10 * 4,
    }


def test_what_skips_nothing_reads_every_weight_in_full():
    kinds = by_kind(traffic(MEASURED, dense=True))
    assert kinds["weights"] == (2000 + 4000) * 4
    assert {k: n for k, n in kinds.items() if k != "weights"} == {
        k: n for k, n in by_kind(traffic(MEASURED)).items() if k != "weights"
    }


def test_a_tensor_lies_where_it_fits():
    sizes = [0, 8192, 8193, 32768, 32769, 1 << 20, (1 << 20) + 1]
    names = ["sram-8k", "sram-8k", "sram-32k", "sram-32k", "sram-1m", "sram-1m", "dram"]
    assert [level_of(size).name for size in sizes] == names
    # The published figures are of 64 bits.
    assert [level.pj_per_byte * 8 for level in LEVELS] == [10, 20, 100, 1300]
    places = {(x.name, x.what): x.level.name for x in traffic(MEASURED)}
    # 60,000 mask bits and 6,000 signs are 8,250 bytes; the same in float32 are 240 kB.
    assert places["b", "weights"] == "sram-32k"
    assert places["n", "potentials"] == "sram-32k"
    dense = {(x.name, x.what): x.level.name for x in traffic(MEASURED, dense=True)}
    assert dense["b", "weights"] == "sram-1m"


def test_energy_by_hand_stands_beside_arithmetic():
    found = price(MEASURED, find_table("45nm-fp32"))
    small = 4000 + 256 + 400 + 1500 + 40
    spent = small * 10 / 8 + (75 + 96_000) * 20 / 8
    assert found["memory_pj"] == pytest.approx(spent)
    assert found["with_memory_pj"] == pytest.approx(found["with_updates_pj"] + spent)
    unskipped = (8000 + 256 + 400 + 1500 + 40) * 10 / 8 + 96_000 * 20 / 8 + 16_000 * 100 / 8
    assert found["dense_memory_pj"] == pytest.approx(unskipped)
    dense = 6000 * 4.6 + 12_000 * 4.6 + unskipped
    assert found["dense_with_memory_pj"] == pytest.approx(dense)
    assert sum(level["pj"] for level in found["memory_levels"].values()) == pytest.approx(spent)
    assert by_level(traffic(MEASURED))["dram"] == {"read": 0, "written": 0, "pj": 0}


def test_eight_bit_tables_move_eight_bits():
    found = price(MEASURED, find_table("45nm-int8"))["memory_bytes"]
    assert found["weights"] == 1000 + 300 * 2 / 8
    assert found["inputs"] == 64 + 3200 / 8
