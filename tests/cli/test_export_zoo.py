"""Every ticket of the zoo through ``spiketicket export``, and exports that fail."""

import json

import pytest
import torch

from spiketicket.errors import UserError
from spiketicket.ticket import zoo

pytest.importorskip("onnxscript")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


AXES = {"x": -4, "logits": 0}


def export(spike, name, to, folder):
    ticket = zoo.find_ticket(name).path
    return spike(*map(str, ["export", ticket, "--to", to, "-o", folder, "--samples", 4, "--json"]))


@pytest.mark.parametrize(
    ("to", "place"),
    [
        ("onnx", "spiketicket.export.onnx.traced"),
        ("pt2", "spiketicket.export.pt2.traced"),
        ("torch", "spiketicket.export.torch_module.traced"),
        ("onnx", "spiketicket.export.onnx.torch.onnx.export"),
    ],
)
def test_an_export_that_fails_leaves_nothing(to, place, spike, tmp_path, monkeypatch):
    def broken(*_, **__):
        raise (
            UserError("broken")
            if "traced" in place
            else torch.onnx.errors.OnnxExporterError("\x1b[96mFailed\x1b[0m\nmore")
        )

    if "traced" not in place:
        monkeypatch.setattr("spiketicket.export.onnx.traced", lambda *_: None)
    monkeypatch.setattr(place, broken)
    done = export(spike, "digits-binw", to, tmp_path / "new" / "deep")
    assert done.exit_code == 2
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", [ticket.name for ticket in zoo.list_tickets()])
def test_every_ticket_of_the_zoo_is_exported(name, spike, tmp_path, capfd):
    done = export(spike, name, "onnx", tmp_path / "new")
    assert done.exit_code == 0, done.stderr
    assert done.stderr == ""
    assert capfd.readouterr() == ("", "")
    (check,) = json.loads(done.stdout)["checks"]
    assert (check["samples"], check["changed_classes"]) == (4, 0)
    path = tmp_path / "new" / f"{name}.onnx"
    for value in (onnx.load(path).graph.input[0], onnx.load(path).graph.output[0]):
        assert value.type.tensor_type.shape.dim[AXES[value.name]].dim_param == "batch"
    facts = {p.key: json.loads(p.value) for p in onnx.load(path).metadata_props}
    assert facts["made by"] == "spiketicket"
    assert isinstance(facts["classes"], list)
    assert isinstance(facts["accuracy"], dict)


@pytest.mark.slow
@pytest.mark.parametrize("to", ["torch", "pt2"])
def test_a_patch_ticket_goes_to_pytorch(to, spike, tmp_path):
    done = export(spike, "digits-multisp", to, tmp_path / "new")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["checks"][0]["logits"] == "equal to the bit"
