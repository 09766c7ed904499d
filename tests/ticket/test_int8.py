"""Int8 layers: the file, the quantiser, and the network of PyTorch that computes with them."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

import spiketicket
from spiketicket.ticket import Ticket, TicketError, TicketLayer, describe

_READER = Path(__file__).parents[2] / "examples" / "read_ticket.py"


def _layer(rng: np.random.Generator, shape: tuple[int, ...], density: float) -> TicketLayer:
    mask = rng.random(shape) < density
    values = (rng.normal(size=shape) * mask).astype(np.float32)
    return TicketLayer(name="a.b", shape=shape, kind="float", mask=mask, values=values)


def _ticket(seed: int, shape: tuple[int, ...] = (5, 3, 2, 2), density: float = 0.7) -> Ticket:
    return Ticket((_layer(np.random.default_rng(seed), shape, density),))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), density=st.sampled_from([0.3, 1.0]), outputs=st.integers(1, 9))
def test_codes_are_the_nearest_and_come_back_from_the_file(
    seed: int, density: float, outputs: int
) -> None:
    """By definition: no weight is further than half a scale away, and the largest is at 127."""
    before = _ticket(seed, (outputs, 4, 3), density)
    if not before.layers[0].values.any():  # type: ignore[union-attr]
        return
    after = spiketicket.quantised(before)
    (old,), (new,) = before.layers, after.layers
    assert new.kind == "int8"
    assert new.scales is not None
    assert new.codes is not None
    assert np.array_equal(old.mask, new.mask)
    off = np.abs(old.weight() - new.weight()).max(axis=(1, 2))
    assert (off <= new.scales * 0.5001).all()
    full = np.abs(new.codes).max(axis=(1, 2))
    assert set(full.tolist()) <= {0, 127}
    back = Ticket.from_bytes(after.to_bytes())
    assert back == after
    assert np.array_equal(back.layers[0].weight(), new.weight())


def test_the_reader_of_the_documentation_reads_the_same_weights() -> None:
    """An independent oracle: it shares no code with the package."""
    spec = importlib.util.spec_from_file_location("read_ticket", _READER)
    assert spec is not None
    assert spec.loader is not None
    reader: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reader)
    for density in (0.5, 1.0):
        made = spiketicket.quantised(_ticket(3, density=density))
        _, state = reader.read_ticket(made.to_bytes())
        assert state["a.b.weight"] == made.layers[0].weight().reshape(-1).tolist()


def test_a_size_of_about_a_quarter() -> None:
    """And the summary says 8 bits."""
    before = _ticket(1, (64, 64), 1.0)
    after = describe(spiketicket.quantised(before))
    assert after.layers[0].bits == 8
    assert after.layers[0].packed_bytes == 64 * 64 + 4 * 64
    assert after.layers[0].entropy_bytes == after.layers[0].packed_bytes


@pytest.mark.parametrize("value", [0.0, np.inf, np.nan])
def test_a_degenerate_range_is_refused_by_name(value: float) -> None:
    """All zero in a layer; what is no number, in a tensor that was not pruned."""
    weight = np.full((3, 4), value, np.float32)
    with pytest.raises(TicketError, match=r"c\.d"):
        spiketicket.quantised(Ticket((), {"c.d.weight": weight}))


def test_layers_are_chosen_by_name_or_pattern() -> None:
    """And what is none is named, with those there are."""
    ticket = Ticket(
        (_layer(np.random.default_rng(0), (2, 2), 1.0),), {"c.weight": np.eye(2, dtype=np.float32)}
    )
    assert [x.kind for x in spiketicket.quantised(ticket, layers=["c"]).layers] == ["float", "int8"]
    assert [x.kind for x in spiketicket.quantised(ticket, layers=["a.*"]).layers] == ["int8"]
    with pytest.raises(TicketError, match=r"a\.b, c"):
        spiketicket.quantised(ticket, layers=["encoder.*"])
    binary = TicketLayer(
        name="x",
        shape=(1, 1),
        kind="binary",
        mask=np.ones((1, 1), np.bool_),
        alpha=1.0,
        signs=np.ones((1, 1), np.int8),
    )
    with pytest.raises(TicketError, match="binary already"):
        spiketicket.quantised(Ticket((binary,), ticket.tensors), layers=["x"])
    with pytest.raises(TicketError, match="no layer with float"):
        spiketicket.quantised(Ticket((binary,)))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"codes": np.full((2, 2), -128, np.int8)}, "-127 to 127"),
        ({"scales": np.array([1, 0], np.float32)}, "positive"),
        ({"scales": np.ones(3, np.float32)}, "shape"),
        ({"values": np.ones((2, 2), np.float32)}, "codes and scales"),
    ],
)
def test_what_is_no_int8_layer_is_refused(change: dict[str, Any], told: str) -> None:
    """By what it says of the part."""
    parts = {
        "mask": np.ones((2, 2), np.bool_),
        "codes": np.ones((2, 2), np.int8),
        "scales": np.ones(2, np.float32),
    }
    with pytest.raises(TicketError, match=told):
        TicketLayer(name="a", shape=(2, 2), kind="int8", **{**parts, **change})


def test_pytorch_computes_scale_times_the_exact_sum() -> None:
    """Of spikes: in int64, then one float32 product and one sum, for each layer of a net."""
    ticket = spiketicket.quantised("digits-multisp")
    net = spiketicket.from_ticket(ticket)
    layer = next(x for x in ticket.layers if x.name == "encoder.blocks.0.fc2.linear")
    held = net.get_submodule(layer.name)
    rng = np.random.default_rng(0)
    x = rng.integers(0, 2, (7, 256))
    sums = (x @ layer.codes.reshape(64, -1).T.astype(np.int64)).astype(np.float32)  # type: ignore[union-attr]
    bias = ticket.tensors[f"{layer.name}.bias"]
    expected = np.float32(sums * layer.scales) + bias
    with torch.no_grad():
        found = held(torch.from_numpy(x.astype(np.float32))).numpy()
        assert np.array_equal(found, expected)
        plain = functional.linear(torch.from_numpy(x).float(), held.weight, held.bias).numpy()  # type: ignore[arg-type]
    assert np.allclose(found, plain, atol=1e-4)
    assert set(net.state_dict()) == set(ticket.state())
