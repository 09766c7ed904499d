"""``spiketicket export`` to the formats that need PyTorch, and what it refuses."""

import json
import zipfile

import pytest
import torch
from torch import nn

from spiketicket.errors import UserError
from spiketicket.export import pt2
from spiketicket.methods import edge_popup
from spiketicket.models import convnet
from spiketicket.models.blocks import DataShape
from spiketicket.models.of_ticket import from_ticket, to_ticket
from spiketicket.neurons import lif
from spiketicket.ticket import Ticket
from spiketicket.ticket.zoo import find_ticket


@pytest.fixture(scope="module")
def strided(tmp_path_factory):
    """A ticket no training made, of a net that NIR can represent."""
    config, neuron = convnet.Config(pooling="stride", width=0.25), lif.Config(v_threshold=0.25)
    shape = DataShape(channels=1, height=8, width=8, classes=10)
    model = convnet.build(config, neuron, shape)
    edge_popup.attach(model, edge_popup.Config(density=0.5), binary=True, seed=0, epochs=1)
    args = {
        "model": config.model_dump(mode="json"),
        "neuron": neuron.model_dump(mode="json"),
        "shape": shape.__dict__,
    }
    path = tmp_path_factory.mktemp("ticket") / "a-net.ticket"
    to_ticket(model, {"network": {"name": "convnet", "args": args}}).save(path)
    return path


def test_nir(spike, strided, tmp_path):
    nir = pytest.importorskip("nir")
    done = spike(
        *map(str, ["export", strided, "--to", "nir", "-o", tmp_path, "--samples", 4, "--json"])
    )
    assert done.exit_code == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["files"] == [str(tmp_path / "a-net.nir")]
    assert facts["checked_on"].startswith("noise")
    assert all(check["mismatches"] == 0 for check in facts["checks"])
    assert nir.read(tmp_path / "a-net.nir").metadata["network"] == "convnet"


@pytest.mark.slow
def test_pt2(spike, strided, tmp_path):
    done = spike(
        *map(
            str,
            ["export", strided, "--to", "pt2", "-o", tmp_path / "new", "--samples", 4, "--json"],
        )
    )
    assert done.exit_code == 0, done.stderr
    facts, path = json.loads(done.stdout), tmp_path / "new" / "a-net.pt2"
    assert facts["files"] == [str(path)]
    assert facts["checks"] == [{"samples": 4, "logits": "equal to the bit"}]
    assert list(path.parent.iterdir()) == [path]
    with zipfile.ZipFile(path) as archive:
        written = b"".join(archive.read(name) for name in archive.namelist())
    assert b"spiketicket/neurons" not in written, "no path of this machine goes into the file"
    assert b"site-packages" not in written
    texts = {"facts.json": ""}
    program = torch.export.load(path, extra_files=texts)
    assert json.loads(texts["facts.json"])["network"] == "convnet"
    x = torch.randn(7, 1, 8, 8)
    with torch.no_grad():
        assert torch.equal(program.module()(x), from_ticket(Ticket.load(strided))(x))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pt2, "portable", lambda _: lambda x: x)
        with pytest.raises(UserError, match="computes something else"):
            pt2.write_pt2(nn.Flatten(), x, tmp_path / "other.pt2", {})
    assert [p.name for p in tmp_path.iterdir()] == ["new"]


def test_hub(spike, strided, tmp_path):
    done = spike(
        *map(str, ["export", strided, "--to", "hub", "-o", tmp_path / "new", "--name", "mine"])
    )
    assert done.exit_code == 0, done.stderr
    assert (tmp_path / "new" / "model.ticket").read_bytes() == strided.read_bytes()
    assert "# mine" in (tmp_path / "new" / "README.md").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["digits-binw", "--to", "nir"], "NIR cannot represent features.0 (max pooling)"),
        (["digits-multisp", "--to", "nir"], "attention, a product of activations"),
        (["digits-binw", "--to", "onnx", "--push", "a/b"], "--push: goes with --to hub only"),
    ],
)
def test_what_cannot_be_is_one_line(spike, options, message, tmp_path):
    name, *rest = options
    done = spike(*map(str, ["export", find_ticket(name).path, *rest, "-o", tmp_path / "out"]))
    assert done.exit_code == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_ticket_of_a_foreign_program_is_refused(spike, tmp_path):
    Ticket((), {}, {"network": {"name": "os:system", "args": {}}}).save(tmp_path / "evil.ticket")
    done = spike(*map(str, ["export", tmp_path / "evil.ticket", "--to", "onnx", "-o", tmp_path]))
    assert done.exit_code == 2
    assert "of a custom network" in done.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--to", "c", "--samples", "4"], "--samples: goes with --to nir or onnx or"),
        (["--to", "hub", "--network", "a:b"], "or torch or pt2 only"),
    ],
)
def test_an_option_that_would_be_ignored_is_refused(spike, strided, options, message, tmp_path):
    done = spike(*map(str, ["export", strided, *options, "-o", tmp_path / "out"]))
    assert done.exit_code == 2
    assert message in done.stderr


def test_the_engine_strides_as_the_network_does_and_refuses_averages(strided):
    import numpy as np

    from spiketicket.engine.compile import compile_ticket
    from spiketicket.experiment.exactness import compare

    ticket = Ticket.load(strided)
    x = np.random.default_rng(0).normal(size=(4, 1, 8, 8)).astype(np.float32)
    agreement = compare(ticket, x)
    assert agreement.wrong == 0
    assert agreement.neuron_steps > 5000
    args = json.loads(json.dumps(dict(ticket.metadata["network"])))
    args["args"]["model"]["pooling"] = "average"
    with pytest.raises(UserError, match="average pooling is not in the engine"):
        compile_ticket(Ticket(ticket.layers, ticket.tensors, {"network": args}))
