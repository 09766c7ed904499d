"""Every network as ONNX, and what cannot be one."""

import numpy as np
import pytest
import torch
from torch import nn

from spiketicket.errors import UserError
from spiketicket.export import onnx as to_onnx
from spiketicket.export import pt2, torch_module
from spiketicket.export.staged import staged
from spiketicket.models.blocks import DataShape
from spiketicket.models.patches import top_tokens
from spiketicket.neurons import lif, relu, sign, step

pytest.importorskip("onnxscript")
onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")

SMALL, EVENTS = (
    DataShape(channels=1, height=16, width=16, classes=5),
    DataShape(channels=2, height=16, width=16, classes=5, frames=2),
)
TOKENS = {"timesteps": 2, "dim": 16, "depth": 1, "heads": 2, "keep": 0.5}
NETWORKS = {
    "convnet average, soft reset": ("convnet", lif.Config(v_reset="soft"), {"pooling": "average"}),
    "convnet stride, other rest": ("convnet", lif.Config(v_reset=0.1), {"pooling": "stride"}),
    "convnet of events, decayed input": ("convnet", lif.Config(decay_input=True), {}),
    "convnet step": ("convnet", step.Config(v_threshold=0.2), {}),
    "convnet sign": ("convnet", sign.Config(), {}),
    "vgg9": ("vgg9", lif.Config(), {"width": 0.1, "hidden": 16}),
    "resconv6": ("resconv6", lif.Config(), {"width": 0.1}),
    "resconv6 of events, shortcuts": (
        "resconv6",
        lif.Config(),
        {"width": 0.1, "shortcuts": True, "bn_affine": True},
    ),
    "resnet19": ("resnet19", lif.Config(), {"width": 0.1, "timesteps": 1}),
    "spikformer": ("spikformer", lif.Config(), {**TOKENS, "keep": 1.0, "pool_kernel": 2}),
    "spikformer twin": (
        "spikformer",
        relu.Config(),
        {**TOKENS, "keep": 1.0, "timesteps": 1, "attention": "softmax"},
    ),
    "sdt": ("sdt", lif.Config(), {**TOKENS, "keep": 1.0}),
    "sdt, firing_rate": ("sdt", lif.Config(), {**TOKENS, "ranking": "firing_rate"}),
    "sdt, attention_last": (
        "sdt",
        lif.Config(),
        {**TOKENS, "ranking": "attention_last", "timesteps": 1},
    ),
}
CHOICES = [
    ("fixed", "drop", "step"),
    ("center", "isolated", "lif"),
    ("pixel_energy", "zero_fill", "sign"),
    ("firing_rate", "drop", "as_neuron"),
    ("embedding_norm", "isolated", "step"),
    ("attention_first", "zero_fill", "as_neuron"),
    ("attention_last", "drop", "sign"),
]
for _ranking, _execution, _activation in CHOICES:
    NETWORKS[f"spikformer, {_ranking}, {_execution}, {_activation}"] = (
        "spikformer",
        lif.Config(),
        {
            **TOKENS,
            "ranking": _ranking,
            "execution": _execution,
            "activation": _activation,
            "rescale": _execution == "drop",
            **({"depth": 2, "timesteps": 1} if _ranking == "attention_last" else {}),
        },
    )


def inputs(batch, shape, seed=1):
    generator = torch.Generator().manual_seed(seed)
    size = (batch, shape.channels, shape.height, shape.width)
    size = size if shape.frames == 1 else (shape.frames, *size)
    return torch.randn(size, generator=generator)


def batch_names(path):
    """The names in the shapes of input and output, and their axes."""
    graph = onnx.load(path).graph
    return [
        (
            value.name,
            [size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim],
        )
        for value in (*graph.input, *graph.output)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_answers_alike_in_onnx_runtime(name, torch_network, tmp_path, capfd):
    model, neuron, options = NETWORKS[name]
    shape = EVENTS if "events" in name or "firing_rate" in name else SMALL
    options = {"timesteps": 2, **({"width": 0.25} if model == "convnet" else {}), **options}
    net = torch_network(model, neuron, shape, **options)
    path = tmp_path / "net.onnx"
    to_onnx.write_onnx(net, inputs(2, shape), path)
    for batch in (1, 3, 32):
        found = to_onnx.check_onnx(path, net, inputs(batch, shape))
        assert (found.samples, found.changed_classes) == (batch, 0)
        # Sums are rounded in another order there: a membrane at its threshold may not fire.
        assert found.flipped_samples <= batch // 32
    frames = [shape.frames] if shape.frames > 1 else []
    size = [shape.channels, shape.height, shape.width]
    assert batch_names(path) == [("x", [*frames, "batch", *size]), ("logits", ["batch", 5])]
    assert capfd.readouterr() == ("", "")
    if options.get("ranking") == "pixel_energy":
        # All patches are equal: the first ones are kept.
        flat = inputs(4, shape)[:, :, :1, :1].expand(-1, -1, 16, 16).contiguous()
        assert net.choose(flat[None], 2).tolist() == [list(range(net.kept))] * 4
        assert to_onnx.check_onnx(path, net, flat).largest_difference < 1e-5


class Choice(nn.Module):
    def forward(self, scores):
        return top_tokens(scores, 50)


@pytest.mark.slow
def test_of_equal_scores_the_earlier_stays_earlier(tmp_path):
    path = tmp_path / "choice.onnx"
    to_onnx.write_onnx(Choice(), torch.zeros(2, 196), path)
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    scores = np.random.default_rng(0).integers(0, 4, (32, 196)).astype(np.float32)
    scores[0] = 1
    scores[1] *= np.where(np.arange(196) % 2, -0.0, 0.0)
    for batch in (scores, scores[:1]):
        (found,) = session.run(None, {"x": batch})
        assert np.array_equal(found, top_tokens(torch.from_numpy(batch), 50).numpy())
    assert found.tolist() == [list(range(50))]


class Bessel(nn.Module):
    def forward(self, x):
        return torch.special.bessel_j0(x)


class Breaks(nn.Module):
    def forward(self, x):
        return x.fft().nothing()


@pytest.mark.slow
def test_an_operator_that_onnx_lacks_is_named(tmp_path, capfd):
    with pytest.raises(UserError, match=r"the operator \w+\.bessel_j0\.default") as caught:
        to_onnx.write_onnx(Bessel(), torch.ones(2, 3), tmp_path / "net.onnx")
    assert caught.value.remedy == "Export it to torch or to pt2"
    assert "\x1b" not in str(caught.value)
    with pytest.raises(UserError, match=r"torch\.export cannot follow the network: AttributeError"):
        to_onnx.write_onnx(Breaks(), torch.ones(2, 3), tmp_path / "net.onnx")
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_a_file_that_the_runtime_cannot_run_is_an_error(tmp_path, capfd):
    path = tmp_path / "net.onnx"
    path.write_bytes(b"nothing")
    with pytest.raises(UserError, match="ONNX Runtime cannot run the network"):
        to_onnx.check_onnx(path, nn.Flatten(), torch.ones(2, 3))
    assert capfd.readouterr() == ("", "")


def test_patches_drawn_at_random_are_refused(torch_network, tmp_path):
    net = torch_network("spikformer", shape=SMALL, **TOKENS, ranking="random")
    x = inputs(2, SMALL)
    for write in (
        lambda: to_onnx.write_onnx(net, x, tmp_path / "net.onnx"),
        lambda: pt2.write_pt2(net, x, tmp_path / "net.pt2", {}),
        lambda: torch_module.write_module(net, x, tmp_path / "net.py", "", {}),
    ):
        with pytest.raises(UserError, match="draws its patches anew") as caught:
            write()
        assert (caught.value.where, caught.value.value) == ("model.ranking", "random")
    assert list(tmp_path.iterdir()) == []


def fail_in(folder, name, *, beside=""):
    """Write a file into a staged folder, and another one beside it, and fail."""
    path = folder / name
    with staged(path) as place:
        (place / name).write_bytes(b"half")
        if beside:
            (folder / beside).write_bytes(b"")
        raise UserError("off")


def test_a_folder_made_for_nothing_is_not_left(tmp_path):
    deep, there = tmp_path / "a" / "b", tmp_path / "there"
    there.mkdir()
    for folder in (deep, there):
        with pytest.raises(UserError, match="off"):
            fail_in(folder, "net.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
    assert list(there.iterdir()) == []
    with pytest.raises(UserError, match="off"):
        fail_in(deep, "net.onnx", beside="of another")
    assert [path.name for path in deep.iterdir()] == ["of another"]
