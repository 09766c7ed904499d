"""Bytes moved: a net by hand, and the rule of levels."""

import pytest
import torch
from torch import nn

from spiketicket.data.of_ticket import find_test_data
from spiketicket.experiment.measure import measure_ticket
from spiketicket.measure.energy import find_table, price
from spiketicket.measure.memory import LEVELS, by_kind, by_level, level_of, traffic
from spiketicket.measure.observe import observed
from spiketicket.models import convnet
from spiketicket.models.blocks import DataShape
from spiketicket.models.of_ticket import from_ticket
from spiketicket.neurons import quantised
from spiketicket.neurons.lif import LIF
from spiketicket.ticket import Ticket, zoo

LAYERS = [
    {
        "name": "a",
        "input": "analog",
        "inputs": 64.0,
        "input_bits": 0,
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
        "input_bits": 1,
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
    {"name": "n", "kind": "lif", "bits": 1, "size": 3000, "updates": 12_000.0, "outputs": 12_000.0},
    {"name": "r", "kind": "relu", "bits": 0, "size": 10, "updates": 0.0, "outputs": 10.0},
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


def counted_entry_by_entry(path, data):
    """Bits in and out of every layer, one entry after another, of the plain PyTorch modules."""
    model, bits = from_ticket(Ticket.load(path), "eager"), {}

    def add(name, part, entries, each):
        for _ in entries:
            bits[name, part] = bits.get((name, part), 0) + each

    def read(name):
        def hook(module, inputs):
            entries = inputs[0].flatten().tolist()
            spikes = all(x in (0.0, 1.0) for x in entries)
            add(name, "inputs", entries, 1 if spikes else 32)

        return hook

    def fired(name):
        def hook(module, inputs, output):
            entries = output.flatten().tolist()
            add(name, "outputs", entries, 1)
            add(name, "potentials", entries, 64)

        return hook

    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_pre_hook(read(name))
        elif isinstance(module, LIF):
            module.register_forward_hook(fired(name))
    with torch.no_grad():
        model.eval()(data)
    return bits


@pytest.mark.slow
def test_a_shipped_ticket_entry_by_entry():
    path = zoo.find_ticket("digits-binw").path
    found = measure_ticket(path, images=2)
    x, _ = next(iter(find_test_data(Ticket.load(path), path).batches("cpu", 2)))
    bits = counted_entry_by_entry(path, x)
    moved = {(row.name, row.what): row.read + row.written for row in traffic(found)}
    assert {key: moved[key] * 8 * 2 for key in bits} == bits
    assert len(bits) == 4 + 3 + 3


@pytest.mark.parametrize("binary", [True, False])
def test_levels_move_their_own_bits(binary):
    torch.manual_seed(0)
    config = convnet.Config(width=0.25, timesteps=1)
    shape = DataShape(channels=1, height=16, width=16, classes=5)
    model = convnet.build(config, quantised.Config(bits=3), shape).eval()
    if binary:
        for module in model.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                module.weight.data.sign_()
    with observed(model) as seen:
        model(torch.randn(2, 1, 16, 16))
    found = seen.operations()
    # The image is analog; the classifier's input, a mean over one step, is levels again.
    assert [layer.input_bits for layer in found.layers] == [0, 3, 3, 3]
    assert [unit.bits for unit in found.neurons] == [3, 3, 3]
