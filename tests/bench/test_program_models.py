"""Programs as ONNX and as SpikingJelly's modules, against the program's own definition.

The numbers are chosen so that sums round the same in any order: spikes have to be the same too.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from spiketicket.engine import ops, reference
from spiketicket.engine.ops import NeuronKind, ScoreKind
from spiketicket.engine.program import Builder, Program

Array = NDArray[np.float32]
Run = Callable[[Program, Array], Array]

LIF = NeuronKind.LIF
NEURONS = {
    "half": {"kind": LIF, "decay": 0.5, "v_threshold": 1.0},
    "soft": {"kind": LIF, "decay": 0.75, "v_threshold": 0.5, "soft": True},
    "none": {"kind": LIF, "decay": 0.0, "v_threshold": 1.0},
    "rest": {
        "kind": LIF,
        "charge": 1,
        "tau": 2.0,
        "v_threshold": 1.0,
        "v_reset": -0.25,
        "v_rest": -0.25,
    },
    "input": {
        "kind": LIF,
        "charge": 2,
        "tau": 4.0,
        "v_threshold": 0.25,
        "v_reset": 0.125,
        "v_rest": 0.125,
    },
    "step": {"kind": NeuronKind.STEP, "v_threshold": 0.75},
    "sign": {"kind": NeuronKind.SIGN},
    "relu": {"kind": NeuronKind.RELU},
}


class Maker:
    """Adds layers with random signs and dyadic scales to a builder."""

    def __init__(self, seed: int, steps: int, frames: int = 1) -> None:
        self.rng = np.random.default_rng(seed)
        self.builder = Builder(steps=steps, frames=frames, channels=3, height=8, width=8, classes=5)
        self.add = self.builder.add

    def layer(
        self,
        x: int,
        cout: int,
        k: int = 3,
        stride: int = 1,
        flatten: bool = False,
        binary: bool = True,
        bias: bool = False,
        norm: bool = True,
    ) -> int:
        value, pick = self.builder.value(x), self.rng.choice
        shape = (cout, value.plane if flatten else value.channels, k, k)
        kept = pick([-1, 0, 1] if binary else [-0.5, 0, 0.25, 1], shape)
        weights: dict[str, Any] = {"weight": kept}
        if binary:
            weights = {"signs": kept.astype(np.int8), "alpha": 0.5}
        a = pick([-0.5, 0.5, 1], cout)
        # About as much below the threshold as above it, as BatchNorm does.
        b = np.round(-a * kept.sum((1, 2, 3)) / 2) / 4
        return self.add(
            ops.Synapse,
            x,
            stride=stride,
            pad=k // 2,
            flatten=flatten,
            **weights,
            bias=pick([-0.25, 0.25], cout) if bias else None,
            **({"a": a, "b": b} if norm else {}),
        )

    def block(self, x: int, cout: int, neuron: str = "half", **options: Any) -> int:
        return self.add(ops.Neuron, self.layer(x, cout, **options), **NEURONS[neuron])

    def program(self, x: int) -> Program:
        several = self.builder.value(x).positions > 1
        self.layer(self.add(ops.Mean, x, time=True, positions=several), 5, k=1, norm=False)
        return self.builder.program()


def chain(neuron: str, frames: int = 1) -> Program:
    """Convolutions with pooling and residuals, a hidden linear layer."""
    m = Maker(8, 4, frames)
    x = m.add(ops.MaxPool, m.block(0, 12, neuron), k=2, stride=2)
    z = m.add(ops.Neuron, m.layer(x, 12, bias=True), m.layer(x, 12, k=1), **NEURONS[neuron])
    pooled = m.add(ops.MaxPool, m.add(ops.Add, x, z), k=3, stride=2, pad=1)
    h = m.block(pooled, 16, neuron, stride=2, binary=False)
    return m.program(m.block(h, 32, neuron, flatten=True, k=1))


def tokens(score: ScoreKind | None, *, fill: bool = False) -> Program:
    """A ranking, the tokens it keeps, and the attention of both transformers."""
    m = Maker(3, 2)
    ids = ranked(m, score)
    image = m.add(ops.ZeroFill, 0, ids, rows=4, columns=4) if fill else 0
    pooled = m.add(ops.MaxPool, m.block(image, 8), k=2, stride=2)
    kept = m.add(ops.Gather, pooled, ids)
    q, k, v = (m.block(kept, 8, k=1) for _ in range(3))
    mixed = m.add(ops.Attention, q, k, v, heads=2, scale=0.125)
    x = m.add(ops.Add, kept, m.add(ops.Neuron, mixed, **NEURONS["soft"]))
    summed = m.add(ops.TokenSum, k, v, scale=0.5)
    mask = m.add(ops.Neuron, summed, **NEURONS["half"])
    # A layer over all tokens, to which their order matters.
    return m.program(m.block(m.add(ops.Add, x, m.add(ops.Mask, q, mask)), 32, flatten=True, k=1))


def ranked(m: Maker, score: ScoreKind | None) -> int:
    if score is None:
        return m.add(ops.ConstIds, ids=np.array([1, 4, 5, 10, 15], np.int32), tokens=16)
    if score is ScoreKind.PIXEL_ENERGY:
        scores = m.add(ops.Score, 0, kind=score, rows=4, columns=4)
    else:
        pair = score in (ScoreKind.ATTENTION_COLUMNS, ScoreKind.PRODUCT)
        parts = [m.add(ops.MaxPool, m.block(0, 4), k=2, stride=2) for _ in range(1 + pair)]
        scores = m.add(ops.Score, *parts, kind=score)
    return m.add(ops.TopK, scores, k=5)


CASES = {
    **{f"chain-{neuron}": chain(neuron) for neuron in NEURONS},
    "chain-frames": chain("half", frames=4),
    **{f"tokens-{score.name.lower()}": tokens(score) for score in ScoreKind},
    "tokens-constant": tokens(None),
    "tokens-filled": tokens(ScoreKind.PIXEL_ENERGY, fill=True),
    "tokens-filled-constant": tokens(None, fill=True),
}


def in_onnx_runtime(program: Program, x: Array) -> Array:
    pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    from spiketicket.bench.onnx_program import to_onnx

    model = to_onnx(program, len(x)).SerializeToString()
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"images": x})[0])


def in_spikingjelly(program: Program, x: Array) -> Array:
    pytest.importorskip("spikingjelly")
    from spiketicket.bench.spikingjelly_program import Net

    net, given = Net(program).eval(), torch.from_numpy(x)
    given = given.transpose(0, 1) if given.dim() == 5 else given
    with torch.inference_mode():
        net(torch.ones_like(given))  # what an earlier batch left must not matter
        return np.asarray(net(given).numpy())


@pytest.mark.slow
@pytest.mark.parametrize("run", [in_onnx_runtime, in_spikingjelly])
@pytest.mark.parametrize("case", CASES)
def test_logits_are_those_of_the_definition(case: str, run: Run) -> None:
    program = CASES[case]
    shape = (16, program.frames, program.channels, program.height, program.width)
    x = (np.random.default_rng(7).integers(-4, 5, shape) / 4).astype(np.float32)
    expected = reference.run(program, x)
    assert len(np.unique(expected, axis=0)) > 2, "says nothing of its images"
    found = run(program, x if program.frames > 1 else x[:, 0])
    np.testing.assert_allclose(found, expected, atol=1e-5)
