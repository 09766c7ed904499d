"""The program's bytes: the stated layout, the same again, and nothing but errors from damage."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spiketicket.engine import ops
from spiketicket.engine.compile import compile_ticket
from spiketicket.engine.program import Builder, Kind, Program, ProgramError

SIZES = {"steps": 4, "frames": 1, "channels": 3, "height": 8, "width": 8, "classes": 5}


def builder(**changed):
    return Builder(**{**SIZES, **changed})


def signs(*shape, seed=0):
    return np.random.default_rng(seed).integers(-1, 2, shape).astype(np.int8)


def small():
    """Every op once."""
    rng = np.random.default_rng(1)
    b = builder(lut=rng.normal(size=(3, 256)))
    lif = {"kind": ops.NeuronKind.LIF, "decay": 0.5, "v_threshold": 1.0}
    energy = b.add(ops.Score, 0, kind=ops.ScoreKind.PIXEL_ENERGY, rows=4, columns=4)
    image = b.add(ops.ZeroFill, 0, b.add(ops.TopK, energy, k=9), rows=4, columns=4)
    affine = {"a": rng.normal(size=8), "b": rng.normal(size=8), "bias": rng.normal(size=8)}
    x = b.add(ops.Synapse, image, signs=signs(8, 3, 3, 3), alpha=0.4, pad=1, **affine)
    x = b.add(ops.MaxPool, b.add(ops.Neuron, x, name="first", **lif), k=2, stride=2)
    x = b.add(ops.Add, x, x)
    x = b.add(ops.Concat, b.add(ops.Synapse, x, signs=signs(4, 8, 1, 1)), x)
    x = b.add(ops.Leak, b.add(ops.Synapse, x, signs=signs(8, 12, 1, 1)), rate=0.5)
    late = b.add(ops.Neuron, x, **lif, charge=4, soft=True, strict=True, late=True)
    x = b.add(ops.Add, late, late)
    q, k, v = (
        b.add(ops.Neuron, b.add(ops.Synapse, x, signs=signs(8, 8, 1, 1, seed=i), alpha=0.3), **lif)
        for i in range(3)
    )
    mixed = b.add(ops.Attention, q, k, v, heads=2, scale=0.125)
    gate = b.add(ops.Neuron, b.add(ops.TokenSum, k, v, scale=0.3), **lif)
    mixed = b.add(ops.Mask, mixed, gate)
    ids = b.add(ops.ConstIds, ids=np.array([1, 4, 15], np.int32), tokens=16)
    kept = b.add(ops.Neuron, b.add(ops.Gather, mixed, ids), kind=ops.NeuronKind.STEP)
    mean = b.add(ops.Mean, kept, time=True, positions=True)
    b.add(ops.Synapse, mean, weight=rng.normal(size=(5, 8, 1, 1)), flatten=True)
    return b.program()


def test_the_layout_is_the_one_stated():
    """Read by hand, word by word."""
    b = Builder(steps=2, frames=1, channels=1, height=2, width=2, classes=3)
    kept = np.array([[1, 0, -1, 1], [0, 0, 0, -1], [1, 1, 1, 0]], np.int8).reshape(3, 4, 1, 1)
    b.add(
        ops.Synapse,
        0,
        signs=kept,
        alpha=0.75,
        flatten=True,
        bias=[1, 2, 3],
        a=[4, 5, 6],
        b=[7, 8, 9],
    )
    content = b.program().to_bytes()
    header = struct.unpack_from("<16I", content)
    assert header[:13] == (0x31505453, 2, len(content), 2, 1, 1, 2, 2, 3, 2, 1, 64, 192)
    assert header[13:] == (0, 0xFFFFFFFF, 0)
    op = struct.unpack_from("<32I", content, 64)
    assert op[:12] == (1, 1, 0, 0xFFFFFFFF, 0xFFFFFFFF, 3, 1, 1, 1, 0, 1, 0)
    assert struct.unpack("<f", struct.pack("<I", op[12]))[0] == 0.75
    assert op[17:] == (1, *(0,) * 14)
    data = content[192:]
    # weight i is bit i % 8 of byte i // 8: keep, padded to a word, then signs
    assert data[op[13] : op[13] + 8] == bytes([0b10001101, 0b0111, 0, 0, 0b00001001, 0b0111, 0, 0])
    for word, expected in zip(op[14:17], ([1, 2, 3], [4, 5, 6], [7, 8, 9]), strict=True):
        assert np.frombuffer(data, "<f4", 3, word).tolist() == expected


def test_every_op_comes_back():
    program = small()
    assert {type(op) for op in program.ops} == set(ops.OPS)
    assert [op.code for op in ops.OPS] == list(range(1, 16))
    content = program.to_bytes()
    again = Program.from_bytes(content)
    assert again.to_bytes() == content
    assert again.values == program.values
    assert small().to_bytes() == content


def test_a_compiled_ticket_comes_back(random_ticket):
    content = compile_ticket(random_ticket("sdt", seed=3)).to_bytes()
    assert Program.from_bytes(content).to_bytes() == content


def test_a_shorter_or_longer_file_is_refused():
    content = small().to_bytes()
    for size in [*range(0, len(content), 97), len(content) - 1]:
        with pytest.raises(ProgramError):
            Program.from_bytes(content[:size])
    with pytest.raises(ProgramError):
        Program.from_bytes(content + b"\0")


@settings(max_examples=120, derandomize=True, deadline=None, database=None)
@given(st.data())
def test_damaged_bytes_are_an_error_or_a_program(data):
    content = bytearray(small().to_bytes())
    words = len(content) // 4
    # header and records decide most: damage them more often than the arrays
    word = data.draw(st.one_of(st.integers(0, 16 + 32 * 20), st.integers(0, words - 1)))
    value = data.draw(
        st.one_of(
            st.integers(0, 70), st.integers(0, 2**32 - 1), st.sampled_from([0x7FC00000, 0xFFFFFFFE])
        )
    )
    struct.pack_into("<I", content, 4 * word, value)
    try:
        program = Program.from_bytes(bytes(content))
    except ProgramError:
        return
    assert program.values[program.output].shape == (1, program.classes, 1, 1)


def spikes(b, x=0):
    return b.add(ops.Neuron, x, kind=ops.NeuronKind.STEP)


BAD = {
    "channels": lambda b: b.add(ops.Synapse, 0, signs=signs(4, 2, 3, 3)),
    "larger than": lambda b: b.add(ops.Synapse, 0, signs=signs(4, 3, 9, 9)),
    "stride": lambda b: b.add(ops.Synapse, 0, signs=signs(4, 3, 1, 1), stride=0),
    "pool": lambda b: b.add(ops.Synapse, 0, signs=signs(4, 3, 1, 1), pool=9999),
    "finite": lambda b: b.add(ops.Synapse, 0, signs=signs(4, 3, 1, 1), alpha=np.inf),
    "finite numbers": lambda b: b.add(ops.Synapse, 0, weight=np.full((1, 3, 1, 1), np.nan)),
    "a and b": lambda b: b.add(ops.Synapse, 0, signs=signs(4, 3, 1, 1), a=np.ones(4)),
    "-1, 0 or": lambda b: b.add(ops.Synapse, 0, signs=np.full((1, 3, 1, 1), 2)),
    "a register must": lambda b: b.add(ops.Add, 0, 7),
    "number of inputs": lambda b: b.add(ops.Add, 0),
    "attention takes": lambda b: b.add(ops.Attention, 0, 0, 0, heads=1, scale=1.0),
    "heads": lambda b: b.add(ops.Attention, *[spikes(b)] * 3, heads=2, scale=1.0),
    "mask must": lambda b: b.add(ops.Mask, 0, 0),
    "scores must": lambda b: b.add(ops.TopK, 0, k=1),
    "gather takes": lambda b: b.add(ops.Gather, 0, 0),
    "other tokens": lambda b: b.add(
        ops.Gather, 0, b.add(ops.ConstIds, ids=np.array([1], np.int32), tokens=9)
    ),
    "ascend": lambda b: b.add(ops.ConstIds, ids=np.array([2, 1], np.int32), tokens=9),
    "unknown score": lambda b: b.add(ops.Score, 0, kind=5),
    "grid": lambda b: b.add(ops.Score, 0, kind=4, rows=3, columns=8),
    "over nothing": lambda b: b.add(ops.Mean, 0, time=False, positions=False),
    "window": lambda b: b.add(ops.MaxPool, 0, k=2, stride=1, pad=2),
    "tau": lambda b: b.add(ops.Neuron, 0, kind=ops.NeuronKind.LIF, charge=1, tau=0.0),
}


@pytest.mark.parametrize("says", BAD)
def test_what_does_not_fit_is_refused(says):
    with pytest.raises(ProgramError, match=says):
        BAD[says](builder())


def test_whole_numbers_stay_within_16_bits():
    b = builder()
    x = spikes(b)
    for _ in range(15):
        x = b.add(ops.Add, x, x)
    assert b.value(x).kind is Kind.INT
    assert b.value(x).largest == 2**15
    with pytest.raises(ProgramError, match="65535"):
        b.add(ops.Add, x, x)


@pytest.mark.parametrize("changed", [{"steps": 33}, {"frames": 2}, {"steps": 0}, {"width": 70000}])
def test_sizes_out_of_range(changed):
    with pytest.raises(ProgramError):
        builder(**changed)


def test_the_last_op_gives_the_logits():
    b = builder()
    b.add(ops.Mean, 0, time=True, positions=True)
    with pytest.raises(ProgramError, match="one float32 a class"):
        b.program()
