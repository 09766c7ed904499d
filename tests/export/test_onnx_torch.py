"""ONNX in ONNX Runtime, and the plain module in a Python that does not have this package."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from spiketicket.errors import UserError
from spiketicket.export import onnx as to_onnx
from spiketicket.export import torch_module
from spiketicket.export.trace import traced
from spiketicket.models.blocks import DataShape
from spiketicket.neurons import custom

SHAPE = DataShape(channels=1, height=8, width=8, classes=10)


@pytest.fixture(scope="module")
def model(torch_network):
    return torch_network("convnet", shape=SHAPE, width=0.2, timesteps=2)


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
        ("data", '"digits"')
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


def test_the_threads_of_a_check_do_not_wait_in_a_loop(monkeypatch, tmp_path):
    runtime = pytest.importorskip("onnxruntime")

    class Seen(BaseException):  # not one of the runtime's own errors
        pass

    def session(path, options, **rest):
        raise Seen(options.get_session_config_entry("session.intra_op.allow_spinning"))

    monkeypatch.setattr(runtime, "InferenceSession", session)
    with pytest.raises(Seen, match=r"^0$"):
        to_onnx.check_onnx(tmp_path / "x.onnx", torch.nn.Identity(), torch.zeros(1))


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


def _own(monkeypatch, function, **options):
    from spiketicket.models import custom as _own
    from spiketicket.recipe.consent import Consent, given

    monkeypatch.chdir(Path(__file__).parents[2])
    name = f"examples.custom_network:{function}"
    config = _own.Config(name=name, timesteps=2, options=options)
    with given(Consent(name, options)):
        return _own.build(config, custom.Config(), SHAPE)


def _written(folder, net, images, shape=SHAPE):
    """The Python text of a network that was checked on one batch, after a check on another."""
    net = net.eval()
    files = torch_module.write_module(net, images(3, shape), folder / "made.py", "A net", {})
    assert sorted(files) == sorted(folder.iterdir())
    x = images(5, shape)
    with torch.no_grad():
        assert torch.equal(torch_module._loaded(files[0])(x), net(x))
    return files[0].read_text()


def test_a_sequential_has_names_that_python_takes(images, tmp_path, monkeypatch):
    text = _written(tmp_path, _own(monkeypatch, "plain", channels=2), images)
    assert "self.t_0_weight" in text


@pytest.mark.slow
@pytest.mark.parametrize("library", ["snntorch", "norse"])
def test_networks_of_other_libraries(library, images, tmp_path, monkeypatch):
    pytest.importorskip(library)
    text = _written(tmp_path, _own(monkeypatch, library, channels=2), images)
    assert library not in text
    assert "spiketicket" not in text


@pytest.mark.slow
def test_constants_made_in_forward_get_their_imports(torch_network, images, tmp_path):
    shape = DataShape(channels=1, height=16, width=16, classes=10)
    net = torch_network(
        "spikformer", shape=shape, timesteps=2, dim=16, depth=1, heads=2, ranking="center", keep=0.5
    )
    assert "from torch import device\n" in _written(tmp_path, net, images, shape)


class Confusing(nn.Module):
    """Two keys that are one name with ``_`` for dots, and names that mean something already."""

    def __init__(self):
        super().__init__()
        self.a, self.a_b, self.buffers_ = nn.Module(), nn.Module(), nn.Linear(64, 1)
        self.a.b_c, self.a_b.c = nn.Parameter(torch.ones(1)), nn.Parameter(torch.full((1,), 2.0))
        self.register_buffer("order", torch.tensor([1, 0]))
        self.register_buffer("file", torch.ones(1))
        self.register_buffer("SHAPES", torch.ones(1))
        self.register_buffer("__own", torch.full((1,), 3.0))
        self.register_module("class", nn.Linear(64, 1))

    def forward(self, input):  # noqa: A002 - as nn.Sequential calls it
        x = input.flatten(1)
        two = torch.cat([self.buffers_(x) * self.a.b_c, getattr(self, "class")(x) * self.a_b.c], 1)
        two = torch.where(two > 9, torch.inf, two) + self.file * self.SHAPES
        return two[:, self.order] + self._buffers["__own"]


def test_no_two_weights_get_one_name(images, tmp_path):
    text = _written(tmp_path, Confusing(), images)
    assert "= self.a_b_c\n" in text
    assert "= self.a_b_c_2\n" in text
    assert "self.order" in text


@pytest.mark.parametrize("old", [None, b"an older file"])
@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ("return input", "computes something else"),
        ("return nothing", "does not run: NameError"),
    ],
)
def test_files_that_fail_their_check_are_not_left(
    broken, message, old, images, tmp_path, monkeypatch
):
    made = torch_module._forward

    def spoilt(*args):
        imports, forward = made(*args)
        head, _, _ = forward.partition("return ")
        return imports, f"{head}{broken}\n"

    monkeypatch.setattr(torch_module, "_forward", spoilt)
    path = tmp_path / "made.py"
    if old:
        path.write_bytes(old)
    with pytest.raises(UserError, match=message):
        torch_module.write_module(Confusing(), images(3, SHAPE), path, "", {})
    assert [p.read_bytes() for p in tmp_path.iterdir()] == ([old] if old else [])
