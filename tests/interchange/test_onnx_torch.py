"""ONNX in ONNX Runtime, and the plain module in a Python that does not have this package."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from spiketicket.errors import UserError
from spiketicket.export import onnx as to_onnx
from spiketicket.export import torch_module
from spiketicket.export._trace import traced
from spiketicket.models._blocks import DataShape

SHAPE = DataShape(1, 8, 8, 10)


@pytest.fixture(scope="module")
def model(network):
    return network("convnet", shape=SHAPE, width=0.2, timesteps=2)


@pytest.fixture(scope="module")
def once(model, images):
    """Tracing takes seconds: one program for both formats."""
    return traced(model, images(shape=SHAPE))


@pytest.mark.slow
def test_onnx_runtime_gives_the_networks_logits(model, images, once, tmp_path, monkeypatch):
    onnx, _ = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    monkeypatch.setattr(to_onnx, "traced", lambda *_: once)
    path = tmp_path / "net.onnx"
    to_onnx.write_onnx(model, images(2, SHAPE), path, {"data": "digits"})
    proto = onnx.load(path)
    assert [(p.key, p.value) for p in proto.metadata_props if p.key == "data"] == [
        ("data", "digits")
    ]
    assert b"site-packages" not in path.read_bytes(), "no path of this machine goes into the file"
    for count in (1, 7):  # any size of batch
        found = to_onnx.check_onnx(path, model, images(count, SHAPE))
        assert (found.samples, found.flipped_samples, found.changed_classes) == (count, 0, 0)
        assert found.largest_difference < 1e-5
    weight = next(t for t in proto.graph.initializer if "classifier" in t.name)
    weight.raw_data = (-np.frombuffer(weight.raw_data, np.float32)).tobytes()
    onnx.save(proto, path)
    with pytest.raises(UserError, match="ONNX Runtime computes another function"):
        to_onnx.check_onnx(path, model, images(20, SHAPE))


USE = """
import sys, numpy as np, torch, made
assert not any(name.startswith("spiketicket") for name in sys.modules)
net = made.load()
assert isinstance(net, torch.nn.Module)
np.save("logits.npy", net(torch.from_numpy(np.load("x.npy"))).detach().numpy())
"""


@pytest.mark.slow
def test_the_plain_module_needs_only_pytorch(model, images, once, tmp_path, monkeypatch):
    monkeypatch.setattr(torch_module, "traced", lambda *_: once)
    facts = {"data": 'dig"""its\nimport os'}
    files = torch_module.write_module(model, images(2, SHAPE), tmp_path / "made.py", "A net", facts)
    assert sorted(files) == sorted(tmp_path.iterdir())
    assert "import os" not in files[0].read_text().splitlines()
    x = images(5, SHAPE)
    np.save(tmp_path / "x.npy", x.numpy())
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    subprocess.run(
        [sys.executable, "-c", USE], check=True, cwd=tmp_path, env=environment, timeout=300
    )
    with torch.no_grad():
        assert torch.equal(torch.from_numpy(np.load(tmp_path / "logits.npy")), model(x))


def test_what_cannot_be_traced_or_named_is_an_error(model, images, tmp_path):
    class Branches(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    with pytest.raises(UserError, match=r"torch\.export cannot follow the network"):
        to_onnx.traced(Branches(), torch.ones(2, 3))
    with pytest.raises(UserError, match="must be a Python name"):
        torch_module.write_module(model, images(2, SHAPE), tmp_path / "a-b.py", "", {})


def test_a_missing_package_is_named_with_its_extra(model, images, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(UserError, match=r"pip install 'spiketicket\[onnx\]'"):
        to_onnx.write_onnx(model, images(2, SHAPE), tmp_path / "net.onnx")
