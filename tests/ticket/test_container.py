"""Format 3: the dictionary of its metadata, and how much its files weigh."""

import hashlib

import numpy as np
import pytest

from spiketicket.streams import Stream
from spiketicket.ticket import (
    Ticket,
    TicketError,
    TicketLayer,
    codec,
    container,
    describe,
    read_metadata,
    zoo,
)

TICKETS = zoo.list_tickets()
WORDS = "0ad09ca7a716174b17374d8496d98c6a46088a42dcf71c743073bdbc85ee6527"
MULTISP_MORE = 1000
"""What the verdicts of the shipped ladders' tickets take: every comparison of every rung."""


def test_the_dictionary_never_changes():
    """No file of format 3 could be read with another."""
    assert hashlib.sha256(container._WORDS).hexdigest() == WORDS


@pytest.mark.parametrize("shipped", TICKETS, ids=lambda t: t.name)
def test_a_shipped_ticket_weighs_its_masks_and_its_tensors(shipped):
    found = describe(shipped.path)
    values = sum(4 * layer.kept for layer in found.layers if layer.kind == "float")
    searched = sum(
        layer.kept / 8 for layer in found.layers if layer.kind == "binary" and not layer.drawn
    )
    most = 1.03 * (found.mask_entropy_bytes + searched) + 1000 + found.state_bytes + values
    assert found.file_bytes <= most + (MULTISP_MORE if "multisp" in shipped.name else 0)
    signed = read_metadata(shipped.path)["recipe"]["ticket"]["name"] == "signed_supermask"
    assert all(layer.drawn != signed for layer in found.layers if layer.kind == "binary")
    small = [r for r in found.layers if r.mask_entropy_bytes and r.size < 4096]
    assert all(r.mask_bytes <= 1.03 * r.mask_entropy_bytes + 2 for r in small)


def net(density, seed=4, drawn=True):
    """A convnet's layers: those of a search, or with density 1 those of a trained dense net."""
    layers = []
    for name, shape in {"f.0": (32, 1, 3, 3), "f.1": (64, 32, 3, 3), "fc": (10, 512)}.items():
        size = int(np.prod(shape))
        mask = np.zeros(size, bool)
        mask[Stream(1, name).permutation(size)[: round(density * size)]] = True
        stream = Stream(seed, "weight", name) if drawn else Stream(9, "trained", name)
        signs = (stream.signs(size) * mask).reshape(shape)
        layers.append(
            TicketLayer(
                name=name,
                shape=shape,
                kind="binary",
                mask=mask.reshape(shape),
                alpha=0.1,
                signs=signs,
            )
        )
    return Ticket(tuple(layers), {"f.0.norm.bias": np.ones(32, np.float32)}, {"seed": seed})


@pytest.mark.parametrize("density", [0.05, 0.3, 0.5, 0.7])
def test_a_ticket_is_smaller_than_its_dense_net(density):
    dense = describe(net(1.0, drawn=False))
    found = describe(net(density))
    assert found.file_bytes < dense.file_bytes
    assert all(layer.drawn for layer in found.layers if layer.kept > 16)
    assert not any(layer.drawn for layer in dense.layers)
    assert found.mask_bytes <= 1.03 * found.mask_entropy_bytes + 2 * len(found.layers)


def test_metadata_that_shrink_far_are_read_all_the_same():
    ticket = Ticket((), {}, {"x": "y" * (5 << 20)})
    assert Ticket.from_bytes(ticket.to_bytes()) == ticket


def test_a_users_own_keys_are_kept():
    ticket = Ticket((), {}, {"state": 1, "coded": [2], "norms": {"a": 3}})
    assert Ticket.from_bytes(ticket.to_bytes()).metadata == ticket.metadata


@pytest.mark.parametrize("affine", [True, False])
def test_batch_norm_and_other_entries_come_back(affine):
    tensors = {
        "n.running_mean": np.arange(3, dtype=np.float32),
        "n.running_var": np.ones(3, np.float32),
        "n.num_batches_tracked": np.array(7, np.int64),
        "odd.num_batches_tracked": np.array(7, np.int32),
        "x": np.zeros((0, 2), np.float16),
    }
    if affine:
        tensors |= {f"n.{key}": np.full(3, 2, np.float32) for key in ("weight", "bias")}
    ticket = Ticket((), tensors)
    assert Ticket.from_bytes(ticket.to_bytes()) == ticket


def test_a_mask_is_left_out_only_where_every_value_is_there():
    whole = TicketLayer(
        name="l", shape=(40,), kind="float", mask=np.ones(40, bool), values=np.ones(40, np.float32)
    )
    metadata, arrays = codec.decode(Ticket((whole,)).to_bytes())
    assert set(arrays) == {"values/l"}
    for shape, kept in (([1 << 30], 1 << 30), ([1 << 20], 40)):
        entry = {**metadata["layers"][0], "shape": shape, "kept": kept}
        with pytest.raises(TicketError):
            Ticket.from_bytes(codec.encode({**metadata, "layers": [entry]}, arrays))
