"""Networks behind an input encoder in every format: the same spikes, or refused with the remedy."""

import numpy as np
import pytest
import torch

from spiketicket.engine.compile import compile_ticket
from spiketicket.errors import UserError
from spiketicket.export import onnx as to_onnx
from spiketicket.export import pt2, readback, torch_module
from spiketicket.export.c.chain import read_chain
from spiketicket.export.nir import to_nir
from spiketicket.models.blocks import DataShape
from spiketicket.models.encoder import build_model, encoder_of
from spiketicket.models.of_ticket import from_ticket
from spiketicket.recipe import registry
from spiketicket.ticket import Ticket, TicketLayer

SHAPE = DataShape(channels=3, height=8, width=8, classes=5)


def ticket_behind(encoder, *, frames=1, steps=3, mean=0.45, **model):
    """A small ticket with random masks, signs and filters."""
    rng = np.random.default_rng(5)
    shape = DataShape(channels=3, height=8, width=8, classes=5, frames=frames)
    convnet, lif = registry.load("models", "convnet"), registry.load("neurons", "lif")
    config = convnet.Config(timesteps=steps, width=0.2, encoder=encoder, **model)
    torch.manual_seed(0)
    net = build_model(config, lif.Config(), shape, "eager")
    encoder_of(net).fit(torch.from_numpy(rng.normal(0, 1, (12, 3, 2, 2)).astype(np.float32)))
    with torch.no_grad():
        for _ in range(30):  # statistics of what it sees
            net.train()(torch.randn(*([steps] if frames > 1 else []), 16, 3, 8, 8))
    layers, tensors = [], {k: v.numpy().copy() for k, v in net.state_dict().items()}
    for name, module in net.named_modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
            weight = tensors.pop(f"{name}.weight")
            mask = rng.random(weight.shape) < 0.5
            signs = np.where(weight < 0, -1, 1).astype(np.int8) * mask
            scale = float(np.abs(weight).mean())
            layers.append(
                TicketLayer(
                    name=name,
                    shape=weight.shape,
                    kind="binary",
                    mask=mask,
                    signs=signs,
                    alpha=scale,
                )
            )
    args = {
        "model": config.model_dump(mode="json"),
        "neuron": lif.Config().model_dump(mode="json"),
        "shape": dict(shape.__dict__),
    }
    metadata = {"network": {"name": "convnet", "args": args}}
    if mean is not None:
        metadata["normalisation"] = {"mean": [mean] * 3, "std": [0.25] * 3}
    return Ticket(tuple(layers), tensors, metadata)


@pytest.mark.slow
@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize("mean", [0.45, None], ids=["bytes", "floats"])
@pytest.mark.parametrize("encoder", ["whiten", "whiten-lif"])
def test_c_fires_as_the_definition_does(encoder, mean, frames, trial):
    ticket = ticket_behind(encoder, frames=frames, mean=mean)
    made = trial(compile_ticket(ticket))
    rng = np.random.default_rng(1)
    size = (6, frames, 3, 8, 8)
    images = rng.integers(0, 256, size, dtype=np.uint8)
    if mean is None:
        images = rng.normal(0, 1, size).astype(np.float32)
    spikes = made.expected(images)[1]
    assert len(spikes) == (4 if encoder == "whiten-lif" else 3)
    assert all(0.02 < layer.mean() < 0.98 for layer in spikes)
    made.check(made.load(), images)
    made.check(made.load("-O3", "-march=native", "-ffp-contract=fast"), images)
    sizes = made.exported.sizes
    assert "input_encoder" in sizes.float_layers
    # The rows that a pooled 3x3 convolution reads, or one row of the filters' output.
    floats = 4 * 8 * frames * (24 * 4 if encoder == "whiten" else 12)
    rows = f"#define ENCODED_ROWS {4 if encoder == 'whiten' else 1}u\n"
    assert rows in (made.folder / "net.c").read_text()
    assert sizes.ram_bytes > floats
    assert sizes.weight_bytes > 4 * 144
    header = (made.folder / "net.h").read_text()
    assert f"#define NET_PIXELS {3 * 64 * frames}" in header


def test_a_float_layer_that_is_no_encoder_is_refused_in_c():
    ticket = ticket_behind("whiten", weights="float")
    layers = [
        TicketLayer(
            name=layer.name,
            shape=layer.shape,
            kind="float",
            mask=layer.mask,
            values=np.random.default_rng(0).normal(size=layer.shape).astype(np.float32)
            * layer.mask,
        )
        for layer in ticket.layers
    ]
    with pytest.raises(UserError, match="weights are floats"):
        read_chain(compile_ticket(Ticket(tuple(layers), ticket.tensors, ticket.metadata)))


@pytest.mark.slow
@pytest.mark.parametrize("encoder", ["whiten", "whiten-lif"])
def test_onnx_pt2_and_the_plain_module_have_its_logits(encoder, tmp_path):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    net, x = from_ticket(ticket_behind(encoder)), torch.randn(6, 3, 8, 8)
    to_onnx.write_onnx(net, x, tmp_path / "net.onnx")
    found = to_onnx.check_onnx(tmp_path / "net.onnx", net, x)
    assert (found.samples, found.changed_classes) == (6, 0)
    # These two are compared to the bit where they are written.
    pt2.write_pt2(net, x, tmp_path / "net.pt2", {})
    torch_module.write_module(net, x, tmp_path / "net.py", "a net", {})


def test_nir_has_its_spikes_and_refuses_a_relu():
    pytest.importorskip("nir")
    with pytest.raises(UserError, match=r"input_encoder\.neuron") as refused:
        to_nir(from_ticket(ticket_behind("whiten", pooling="stride")), SHAPE)
    assert "whiten-lif" in str(refused.value)
    net = from_ticket(ticket_behind("whiten-lif", pooling="stride"))
    graph = to_nir(net, SHAPE)
    names = list(graph.nodes)
    assert names[:3] == ["input", "input_encoder.filters", "input_encoder.neuron"]
    weight = graph.nodes["input_encoder.filters"].weight
    filters = net.input_encoder.filters.numpy()
    assert np.array_equal(weight[:12, :, 1:, 1:], filters)
    assert np.array_equal(weight[12:, :, 1:, 1:], -filters)
    assert not weight[:, :, 0].any()
    for result in readback.read_back(graph, net, torch.randn(8, 3, 8, 8)):
        assert result.changed_classes == 0
