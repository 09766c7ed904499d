"""What a ticket declares is compared with what there is before it is decoded or built."""

import time
import tracemalloc
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from torch import nn

from spiketicket.engine import Engine
from spiketicket.errors import UserError
from spiketicket.models.of_ticket import from_ticket
from spiketicket.recipe import registry
from spiketicket.recipe.shapes import DataShape
from spiketicket.recipe.weight_shapes import weight_shapes
from spiketicket.streams import Stream
from spiketicket.ticket import Ticket, TicketError, TicketLayer, codec, zoo

SIZE = 300_000


@contextmanager
def within(megabytes, seconds):
    started = time.perf_counter()
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < megabytes << 20
    assert time.perf_counter() - started < seconds


def layer(name, kept, kind):
    rng = np.random.default_rng(0)
    mask = np.zeros(SIZE, bool)
    mask[rng.permutation(SIZE)[: int(kept * SIZE)]] = True
    if kind == "float":
        values = rng.normal(size=SIZE).astype(np.float32) * mask
        return TicketLayer(name=name, shape=(SIZE,), kind=kind, mask=mask, values=values)
    drawn = getattr(Stream(0, "weight", name), kind)(SIZE)
    signs = np.where(drawn >= 0, 1, -1).astype(np.int8) * mask
    return TicketLayer(name=name, shape=(SIZE,), kind="binary", mask=mask, alpha=0.5, signs=signs)


@pytest.mark.slow
@pytest.mark.parametrize("names", ["a", "abc"])
@pytest.mark.parametrize("kind", ["signs", "normal", "float"])
@pytest.mark.parametrize("kept", [0, 0.002, 0.5, 0.995, 1])
def test_reading_takes_at_most_40_bytes_a_weight(tmp_path, kept, kind, names):
    ticket = Ticket(tuple(layer(name, kept, kind) for name in names), {}, {"seed": 0})
    seeded = kind != "float" and kept > 0
    ticket.save(tmp_path / "t", signs="seed" if seeded else "raw")
    del ticket
    tracemalloc.start()
    try:
        Ticket.load(tmp_path / "t")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 40 * SIZE * len(names) + (1 << 18)


def bomb(weights=1 << 28, metadata=None):
    """A file of 2 MiB that keeps no weight of so many: filled, and signs left to a seed."""
    entry = {"name": "l", "shape": [weights], "kind": "binary", "kept": 0, "alpha": 1.0}
    arrays = {
        "mask/l": np.zeros(weights // 128, np.uint8),
        "drawn/l": np.zeros(4, np.uint64),
        "alpha/l": np.ones((), np.float32),
    }
    arrays["mask/l"][:2] = (1, 1)
    own = {"format_version": 2, "layers": [entry], "state_bytes": 0, "digest": "0" * 64}
    return codec.encode({**own, **(metadata or {})}, arrays)


@pytest.mark.parametrize("from_file", [True, False])
def test_a_small_file_that_asks_for_much_is_refused_at_once(tmp_path, monkeypatch, from_file):
    monkeypatch.delenv("SPIKETICKET_MAX_MEMORY", raising=False)
    content = bomb()
    (tmp_path / "t").write_bytes(content)
    read = Ticket.load if from_file else Ticket.from_bytes
    refused = pytest.raises(
        TicketError, match=r"bytes of memory to read, more than the 4294967296 allowed"
    )
    with within(5, 1), refused as error:
        read(tmp_path / "t" if from_file else content)
    assert "SPIKETICKET_MAX_MEMORY=" in error.value.remedy


def test_the_budget_can_be_given(tmp_path, monkeypatch):
    path = zoo.find_ticket("digits-binw").path
    weights = sum(layer.size for layer in Ticket.load(path).layers)
    needed = 40 * weights + 3 * path.stat().st_size
    Ticket.load(path, max_memory=needed)
    with pytest.raises(TicketError, match="may take"):
        Ticket.load(path, max_memory=needed - 1)
    with pytest.raises(TicketError, match="may take"):
        Ticket.from_bytes(path.read_bytes(), max_memory=needed - 1)
    monkeypatch.setenv("SPIKETICKET_MAX_MEMORY", str(needed - 1))
    with pytest.raises(TicketError, match="may take"):
        Ticket.load(path)
    with pytest.raises(TicketError, match="may take"):
        Engine(path)
    monkeypatch.setenv("SPIKETICKET_MAX_MEMORY", "much")
    with pytest.raises(UserError, match="SPIKETICKET_MAX_MEMORY: is not a size"):
        Ticket.load(path)


def network(name, **model):
    shape = {"channels": 3, "height": 32, "width": 32, "classes": 10, "frames": 1}
    args = {"model": {"name": name, **model}, "neuron": {"name": "lif"}, "shape": shape}
    return {"network": {"name": name, "args": args}}


def test_layers_that_are_not_the_networks_are_refused_before_they_are_decoded():
    content = bomb(1 << 24, network("convnet"))
    with within(4, 1), pytest.raises(TicketError, match="do not fit the network it names") as error:
        Ticket.from_bytes(content)
    assert error.value.where == "features.0.synapse"


HUGE = [
    network("spikformer", dim=8000, depth=1024, heads=8),
    network("spikformer", dim=65536, heads=8),
    network("sdt", depth=1000, ranking="attention_last", keep=0.5),
    network("vgg9", hidden=1 << 20),
    network("vgg9", width=64.0),
    network("convnet", channels=[65536, 65536, 65536]),
    network("resconv6", channels=6 * [65536]),
    network("resnet19", width=64.0),
]


@pytest.mark.parametrize("metadata", HUGE, ids=lambda m: repr(m["network"]["args"]["model"]))
def test_a_forged_size_is_not_built(metadata):
    """Of a file, and of a ticket in memory, which had no header to be judged by."""
    weight = np.zeros((4, 3, 3, 3), np.float32)
    ticket = Ticket((), {"features.0.synapse.weight": weight}, metadata)
    with within(10, 1), pytest.raises(TicketError, match="do not fit"):
        from_ticket(ticket)
    with within(10, 1), pytest.raises(TicketError, match="do not fit"):
        Ticket.from_bytes(ticket.to_bytes())


@pytest.mark.parametrize(
    "model",
    [
        {"name": "spikformer", "depth": 10**9},
        {"name": "spikformer", "depth": 20_000, "dim": 8000},
        {"name": "spikformer", "dim": 800_000_000},
        {"name": "sdt", "heads": 10**6},
        {"name": "sdt", "mlp_ratio": 1e9},
        {"name": "vgg9", "hidden": 10**9},
        {"name": "vgg9", "channels": 8 * [10**6]},
        {"name": "convnet", "channels": [1, 1, 10**6]},
        {"name": "resconv6", "channels": [1, 1, 1, 1, 1, 10**6]},
        {"name": "convnet", "width": 65.0},
    ],
    ids=repr,
)
def test_sizes_have_bounds_where_they_are_typed(model):
    """In a ticket, and in a recipe's section."""
    key = [key for key in model if key != "name"][-1] if "depth" not in model else "depth"
    with pytest.raises(TicketError) as error:
        from_ticket(Ticket((), {}, network(**model)))
    assert error.value.where.startswith(f"network.args.model.{key}")
    with pytest.raises(ValueError, match=key):
        registry.load("models", model["name"]).Config(**model)


SHAPES = [
    DataShape(channels=1, height=32, width=32, classes=10),
    DataShape(channels=2, height=64, width=32, classes=7, frames=4),
]
CONFIGS = [
    ("convnet", {}),
    ("convnet", {"width": 0.3}),
    ("convnet", {"channels": (3, 5, 7)}),
    ("convnet", {"pooling": "stride", "bn_affine": True}),
    ("vgg9", {}),
    ("vgg9", {"width": 0.1, "hidden": 33}),
    ("vgg9", {"pools": 4}),
    ("vgg9", {"channels": (1, 2, 3, 4, 5, 6, 7, 8)}),
    ("resconv6", {}),
    ("resconv6", {"width": 0.1, "shortcuts": True, "bn_affine": True}),
    ("resconv6", {"channels": (1, 2, 3, 4, 5, 6), "logit_norm": False}),
    ("resnet19", {"width": 0.1}),
    ("resnet19", {"width": 0.02, "first_stride": 2}),
    *(
        (name, model)
        for name in ("spikformer", "sdt")
        for model in (
            {},
            {"preset": "tiny"},
            {"dim": 24, "heads": 3, "depth": 1, "mlp_ratio": 1.3},
            {"depth": 0},
            {"rpe": False},
            {"keep": 0.5, "ranking": "center"},
            {"keep": 0.5, "ranking": "random"},
            {"keep": 0.5, "ranking": "firing_rate", "rpe": False},
            {"keep": 0.5, "ranking": "attention_first"},
            {"keep": 0.5, "ranking": "attention_last", "depth": 3, "pools": 2},
        )
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES, ids=repr)
@pytest.mark.parametrize(("name", "model"), CONFIGS, ids=repr)
def test_the_shapes_are_those_of_the_network(name, model, shape):
    module, neuron = registry.load("models", name), registry.load("neurons", "lif").Config()
    with torch.device("meta"):
        net = module.build(module.Config(**model), neuron, shape, "eager")
    built = {
        path: tuple(part.weight.shape)
        for path, part in net.named_modules()
        if isinstance(part, nn.Conv2d | nn.Linear)
    }
    assert dict(weight_shapes(name, model, shape)) == built
    whole = module.Config(**model).model_dump(mode="json")
    assert dict(weight_shapes(name, whole, shape)) == built


def test_every_network_of_the_package_has_its_shapes():
    shape = DataShape(channels=1, height=32, width=32, classes=10)
    assert all(weight_shapes(name, {}, shape) is not None for name in registry.names("models"))
    assert weight_shapes("somebodys", {}, shape) is None


def test_an_input_has_bounds():
    metadata = network("resnet19", width=0.1)
    metadata["network"]["args"]["shape"] |= {"height": 1 << 20, "width": 1 << 20}
    with pytest.raises(TicketError, match=r"network\.args\.shape: must be at most 268435456"):
        from_ticket(Ticket((), {}, metadata))


def test_inputs_to_check_an_export_on_have_bounds(monkeypatch):
    from spiketicket.export.inputs import check_inputs

    metadata = network("resnet19", width=0.1)
    metadata["network"]["args"]["shape"] |= {"height": 1 << 12, "width": 1 << 12}
    refused = pytest.raises(UserError, match=r"`samples`: .*32 of 50331648 values.*MAX_MEMORY")
    with within(1, 1), refused:
        check_inputs(Ticket((), {}, metadata), "t", 32)


def test_a_recipes_network_is_no_larger_than_a_ticket_can_be():
    from spiketicket.methods.building import build_network
    from spiketicket.recipe import parse_recipe

    made = parse_recipe(
        {
            "name": "huge",
            "data": {"name": "digits"},
            "neuron": {"name": "lif"},
            "model": {"name": "spikformer", "dim": 65536, "heads": 8, "depth": 1024},
            "ticket": {"name": "edge_popup", "density": 0.5},
            "train": {"epochs": 1, "batch_size": 1, "tune": "off"},
        }
    )
    with within(1, 1), pytest.raises(UserError, match="a network has at most 4294967296 weights"):
        build_network(made, DataShape(channels=1, height=32, width=32, classes=10))


def test_a_file_of_many_layers_is_read_in_one_pass(monkeypatch):
    """The work of a layer does not grow with the layers before it: 60,000 fit into a header."""
    one = np.ones((1, 1), np.float32)
    layers = tuple(
        TicketLayer(name=f"l{i}", shape=(1, 1), kind="float", mask=one > 0, values=one)
        for i in range(200)
    )
    content = Ticket(layers).to_bytes()
    asked = []
    size = TicketLayer.size.fget
    monkeypatch.setattr(TicketLayer, "size", property(lambda self: asked.append(0) or size(self)))
    Ticket.from_bytes(content)
    assert len(asked) < 10 * len(layers)
