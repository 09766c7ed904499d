"""Custom networks in ONNX, made from the layers in their tickets."""

import pytest
import torch
from custom_networks import PUBLISHED
from torch import nn

import spiketicket
from spiketicket.export.onnx import check_onnx, write_onnx

pytest.importorskip("onnxruntime")
pytest.importorskip("spikingjelly")
pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", ["plif_net", "dvs_gesture_net"])
def test_onnx_runtime_computes_what_the_network_computes(name, tmp_path):
    make, data, _ = PUBLISHED[name]
    torch.manual_seed(0)
    net, (x, y) = make(), data(8)
    for norm in (m for m in net.modules() if isinstance(m, nn.BatchNorm2d)):
        nn.init.normal_(norm.bias, 0.5, 0.3)
    ticket = spiketicket.search(net, [(x, y)], epochs=1, weights="float")
    again = spiketicket.from_ticket(ticket)
    write_onnx(again, x, tmp_path / "own.onnx")
    found = check_onnx(tmp_path / "own.onnx", again, x)
    assert found.samples == 8
    assert found.changed_classes == 0
