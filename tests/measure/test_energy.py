"""Prices by hand: the tables, their formulas, what is apart."""

import pytest

from spiketicket.errors import UserError
from spiketicket.measure.energy import TABLES, find_table, formula, price


def _layer(**given: object) -> dict[str, object]:
    counts = {"macs": 0.0, "acs": 0.0, "ac_units": 0.0, "kept": 10}
    return {
        "name": "",
        "input": "spikes",
        "inputs": 8.0,
        "input_bits": 1,
        "calls": 1.0,
        **counts,
        **given,
    }


LAYERS = [
    _layer(macs=1000.0, dense=2000.0, binary=True, weights=100, input="analog"),
    _layer(acs=300.0, ac_units=500.0, dense=4000.0, binary=True, weights=5000, input="integers"),
    _layer(acs=70.0, ac_units=70.0, dense=100.0, binary=False, weights=0),
    _layer(macs=20.0, dense=40.0, binary=False, weights=500_000, input="analog"),
]
MEASURED = {
    "layers": LAYERS,
    "neurons": [
        {"name": "n", "kind": "lif", "bits": 1, "updates": 600.0, "size": 3000, "outputs": 600.0},
        {"name": "s", "kind": "step", "bits": 1, "updates": 0.0, "size": 10, "outputs": 10.0},
    ],
}


@pytest.mark.parametrize(
    ("name", "macs", "acs", "updates"),
    [
        ("45nm-fp32", 1020 * 4.6, 570 * 0.9, 600 * 4.6),
        ("45nm-fp32-binary", 1000 * 0.9 + 20 * 4.6, 500 * 0.1 + 70 * 0.9, 600 * 4.6),
        ("45nm-int8", 1020 * 0.3, 570 * 0.1, 600 * 0.3),
        ("45nm-int8-binary", 1000 * 0.1 + 20 * 0.3, 570 * 0.1, 600 * 0.3),
    ],
)
def test_prices_by_hand(name, macs, acs, updates):
    found = price(MEASURED, find_table(name))
    assert found["macs_pj"] == pytest.approx(macs)
    assert found["acs_pj"] == pytest.approx(acs)
    assert found["updates_pj"] == pytest.approx(updates)
    assert found["total_pj"] == pytest.approx(macs + acs)
    assert found["with_updates_pj"] == pytest.approx(macs + acs + updates)
    assert found["dense_pj"] == pytest.approx(6140 * TABLES[name].mac)
    assert found["table"] == name


def test_a_table_is_made_of_the_published_figures():
    add8, add32, addf = 0.03, 0.1, 0.9
    multiply8, multiplyf = 0.2, 3.7
    assert find_table("45nm-fp32").mac == pytest.approx(multiplyf + addf)
    assert find_table("45nm-fp32").ac == addf
    assert find_table("45nm-int8").mac == pytest.approx(multiply8 + add32)
    assert find_table("45nm-int8").ac == add32 > add8
    for table in TABLES.values():
        assert table.update == table.mac
        assert "ISSCC 2014" in table.source
        for number in (table.mac, table.ac, table.binary_mac, table.binary_ac):
            assert f"{number}" in formula(table)


def test_an_unknown_table_names_those_there_are():
    with pytest.raises(UserError, match=r"`energy`: unknown energy table.*45nm-fp32-binary"):
        find_table("7nm")
