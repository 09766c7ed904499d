"""Random networks, and their C compiled for this machine; every spike is looked at."""

import ctypes
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from spiketicket.engine import reference
from spiketicket.engine.ops import MaxPool, Mean, Neuron, NeuronKind, Synapse
from spiketicket.engine.program import Builder, Program
from spiketicket.export.c import Exported, export_c
from spiketicket.export.c.chain import read_chain
from spiketicket.models.blocks import DataShape
from spiketicket.neurons import lif
from spiketicket.recipe import registry

FLAGS = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-O2"]

HARNESS = """
#include "net.h"
uint32_t trace_words[TRACE_WORDS];
uint32_t trace_count;
static const unsigned char blocks[] = {BLOCKS};
void net_trace(unsigned layer, unsigned step, unsigned channel, unsigned row, const uint32_t *bits)
{
    (void)step; (void)channel; (void)row;
    for (unsigned i = 0; i < blocks[layer] && trace_count < TRACE_WORDS; i++)
        trace_words[trace_count++] = bits[i];
}
"""


@dataclass
class Trial:
    """A program written as C in a folder."""

    program: Program
    folder: Path
    exported: Exported
    layers: Any = field(init=False)

    def __post_init__(self) -> None:
        self.layers = read_chain(self.program).layers
        blocks = [-(-layer.output.width // 32) for layer in self.layers]
        words = sum(
            layer.output.steps * layer.output.channels * layer.output.height * n
            for layer, n in zip(self.layers, blocks, strict=True)
        )
        text = HARNESS.replace("TRACE_WORDS", str(words)).replace(
            "BLOCKS", ", ".join(map(str, blocks))
        )
        (self.folder / "harness.c").write_text(text)
        self.trace_words = words

    @property
    def logit(self) -> type:
        """The dtype of the logits."""
        return np.int32 if read_chain(self.program).readout.whole else np.float32

    def compile(self, *flags: str, compiler: str = "gcc", target: str = "net.so") -> Path:
        out = self.folder / target
        command = [compiler, *FLAGS, *flags, "-DNET_TRACE", "-o", out, "net.c", "harness.c"]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return out

    def load(self, *flags: str) -> ctypes.CDLL:
        return ctypes.CDLL(str(self.compile("-shared", "-fPIC", *flags)))

    def execute(self, program: Path) -> str:
        """What a program writes."""
        done = subprocess.run([program], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def run(self, library: ctypes.CDLL, image: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
        """Logits, and every layer's spikes."""
        logits = np.zeros(self.program.classes, self.logit)
        ctypes.c_uint32.in_dll(library, "trace_count").value = 0
        library.net_run(
            ctypes.c_void_p(np.ascontiguousarray(image).ctypes.data),
            ctypes.c_void_p(logits.ctypes.data),
        )
        words = (ctypes.c_uint32 * self.trace_words).in_dll(library, "trace_words")
        return logits, self.unpack(np.ctypeslib.as_array(words))

    def unpack(self, words: np.ndarray) -> list[np.ndarray]:
        """Spikes ``[S, C, H, W]`` of each layer of what the harness wrote down."""
        spikes, at = [], 0
        for layer in self.layers:
            s, c, h, w = layer.output.shape
            blocks = -(-w // 32)
            part = words[at : at + s * c * h * blocks].reshape(c, h, s, blocks)
            at += part.size
            bits = np.unpackbits(
                np.ascontiguousarray(part).view(np.uint8), axis=-1, bitorder="little"
            )
            spikes.append(bits[..., :w].transpose(2, 0, 1, 3))
        return spikes

    def expected(self, images: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
        """Logits ``[N, classes]`` and spikes ``[N, S, C, H, W]`` of the definition."""
        registers = [layer.register for layer in self.layers]
        known = reference.trace(self.program, images, [*registers, self.program.output])
        return known[self.program.output][:, 0, :, 0, 0], [known[r] for r in registers]

    def check(self, library: ctypes.CDLL, images: np.ndarray) -> None:
        """Every spike of every image, and the logits."""
        logits, spikes = self.expected(images)
        readout = read_chain(self.program).readout
        for i, image in enumerate(images):
            found, layers = self.run(library, image)
            for layer, mine, theirs in zip(self.layers, layers, spikes, strict=True):
                assert np.array_equal(mine, theirs[i]), f"{layer.name}, image {i}"
            if readout.whole:
                scale = np.float32(readout.affine.alpha / readout.divisor)
                np.testing.assert_allclose(found * scale, logits[i], rtol=1e-4, atol=1e-4)
            else:
                assert np.array_equal(found, logits[i])
            best = library.net_classify(ctypes.c_void_p(image.ctypes.data))
            assert best == int(np.argmax(found))


@pytest.fixture
def trial(tmp_path: Path) -> Callable[[Program], Trial]:
    def make(program: Program) -> Trial:
        folder = tmp_path / f"net{len(list(tmp_path.iterdir()))}"
        return Trial(program, folder, export_c(program, folder, "net"))

    return make


@dataclass(frozen=True, kw_only=True)
class Conv:
    """A layer of a random network; ``kernel`` 0 is a linear layer."""

    channels: int
    kernel: int = 3
    pad: int = 1
    stride: int = 1
    pool: bool = False
    pool_sums: bool = False
    density: float = 0.5
    bias: bool = False
    affine: bool = True
    neuron: str = "lif"
    alpha: float | None = None
    scale: float | None = None


@dataclass(kw_only=True)
class Network:
    """Makes programs of layers with weights and scales drawn from a seed."""

    seed: int = 0
    steps: int = 4
    frames: int = 1
    shape: tuple[int, int, int] = (2, 8, 8)
    classes: int = 5
    lut: str = "normal"
    convs: tuple[Conv, ...] = ()
    positions: bool = False
    head_bias: bool = False
    builder: Builder = field(init=False)

    def program(self) -> Program:
        self.rng = np.random.default_rng(self.seed)
        c, h, w = self.shape
        self.builder = Builder(
            steps=self.steps,
            frames=self.frames,
            channels=c,
            height=h,
            width=w,
            classes=self.classes,
            lut=self._table(c),
        )
        x = 0
        for i, conv in enumerate(self.convs):
            x = self._add(x, conv, f"layer{i}")
        x = self.builder.add(Mean, x, time=True, positions=self.positions)
        bias = self._floats(self.classes) if self.head_bias else None
        signs = self._signs(self.classes, self.builder.value(x).plane, 1, 0.7)
        self.builder.add(Synapse, x, flatten=True, signs=signs, alpha=0.3, bias=bias, name="head")
        return self.builder.program()

    def images(self, count: int) -> np.ndarray:
        size = (count, self.frames, *self.shape)
        if self.lut == "none":
            return self.rng.normal(size=size).astype(np.float32)
        if self.lut == "counts":
            return self.rng.poisson(0.4, size).astype(np.uint8)
        return self.rng.integers(0, 256, size, dtype=np.uint8)

    def _table(self, channels: int) -> np.ndarray | None:
        v = np.arange(256, dtype=np.float32)
        if self.lut == "none":
            return None
        if self.lut == "counts":
            return np.tile(v, (channels, 1))
        scale = np.float32(1 / 255) / np.linspace(0.2, 0.3, channels, dtype=np.float32)
        return scale[:, None] * v - np.linspace(2.1, 1.9, channels, dtype=np.float32)[:, None]

    def _floats(self, count: int, mean: float = 0.0, std: float = 0.3) -> np.ndarray:
        return self.rng.normal(mean, std, count).astype(np.float32)

    def _signs(self, outputs: int, inputs: int, kernel: int, density: float) -> np.ndarray:
        size = (outputs, inputs, kernel, kernel)
        signs = self.rng.choice([-1, 1], size) * (self.rng.random(size) < density)
        return signs.astype(np.int8)

    def _add(self, x: int, conv: Conv, name: str) -> int:
        b, given = self.builder, self.builder.value(x)
        flatten = conv.kernel == 0
        inputs = given.plane if flatten else given.channels
        kernel = 1 if flatten else conv.kernel
        signs = self._signs(conv.channels, inputs, kernel, conv.density)
        fan = max(1.0, float(np.count_nonzero(signs[0])))
        a = self._floats(conv.channels, 1.2) if conv.affine else None
        shift = self._floats(conv.channels) if conv.affine else None
        if conv.scale is not None:
            a, shift = (np.full(conv.channels, v, np.float32) for v in (conv.scale, 0.0))
        alpha = conv.alpha or float(np.float32(2 / np.sqrt(fan)))
        x = b.add(
            Synapse,
            x,
            signs=signs,
            alpha=alpha,
            flatten=flatten,
            pad=0 if flatten else conv.pad,
            stride=conv.stride,
            pool=2 if conv.pool_sums else 1,
            a=a,
            b=shift,
            bias=self._floats(conv.channels) if conv.bias else None,
            name=name,
        )
        kind = NeuronKind.STEP if conv.neuron == "step" else NeuronKind.LIF
        x = b.add(Neuron, x, kind=kind, decay=0.5, v_threshold=1.0, name=f"{name}.neuron")
        return b.add(MaxPool, x, k=2, stride=2) if conv.pool else x


@pytest.fixture
def conv() -> type[Conv]:
    return Conv


@pytest.fixture
def network() -> type[Network]:
    return Network


SHAPE = DataShape(channels=1, height=16, width=16, classes=10)


def _network(name="convnet", neuron=None, shape=SHAPE, **options):
    module = registry.load("models", name)
    torch.manual_seed(0)
    made = module.build(module.Config(**options), neuron or lif.Config(), shape, "eager")
    for part in made.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.1)
            part.running_var.uniform_(0.03, 0.1)
    return made.eval()


def _images(count=6, shape=SHAPE):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, shape.channels, shape.height, shape.width, generator=generator)


@pytest.fixture(scope="session")
def torch_network():
    return _network


@pytest.fixture(scope="session")
def images():
    return _images
