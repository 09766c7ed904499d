"""The C of random networks gives every spike of the definition, at every neuron and step."""

import dataclasses
import platform
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.slow


Make = Callable[..., Any]


def corner(network: Any, conv: Any, name: str) -> Any:
    """Networks that need one special part of the C code each."""
    c = conv
    head = c(channels=20, kernel=0)
    corners = {
        "image": {"convs": (c(channels=8), c(channels=8, pool=True), c(channels=9), head)},
        "recording, whole numbers": {
            "frames": 4,
            "lut": "counts",
            "convs": (c(channels=8, pool=True), c(channels=8), head),
        },
        "recording, normalised": {"frames": 4, "convs": (c(channels=8, pool=True), head)},
        "float pixels": {"lut": "none", "convs": (c(channels=8, bias=True), c(channels=8), head)},
        "wide rows, pooled across words": {
            "shape": (1, 6, 90),
            "convs": (c(channels=4), c(channels=4, pool=True), c(channels=6, kernel=5, pad=2)),
        },
        "odd sides, no padding": {
            "shape": (2, 11, 33),
            "head_bias": True,
            "convs": (c(channels=6), c(channels=6, pool=True), c(channels=6, kernel=5, pad=0)),
        },
        "strides": {
            "shape": (2, 12, 12),
            "positions": True,
            "steps": 3,
            "convs": (c(channels=8, stride=2), c(channels=8, stride=2), c(channels=8)),
        },
        "32 steps": {"steps": 32, "positions": True, "convs": (c(channels=6), c(channels=6))},
        "one step": {"steps": 1, "convs": (c(channels=8), c(channels=8))},
        "no memory": {
            "convs": (c(channels=8, neuron="step"), c(channels=8), c(channels=8, neuron="step")),
        },
        "linear only": {"convs": (c(channels=30, kernel=0), c(channels=40, kernel=0))},
        "one layer": {"convs": (c(channels=30, kernel=0),)},
        # 3 * fl(1/3) is 1 only after rounding, and times 1 - 2^-24 it is not: float32 itself tells.
        "sums at the threshold": {
            "frames": 4,
            "lut": "counts",
            "convs": tuple(
                c(channels=8, alpha=1 / 3, density=0.4, affine=False, scale=scale)
                for scale in (1 - 2**-24, None, 1 - 2**-24)
            ),
        },
        # The same sum at every step: 1 - 2^-25 is rounded up to the threshold, after 25 steps.
        "membranes rounded to the threshold": {
            "steps": 32,
            "lut": "counts",
            "convs": (
                c(channels=12, neuron="step"),
                c(channels=12, alpha=0.1, affine=False),
            ),
        },
        "sums are pooled": {
            "convs": (c(channels=8, pool_sums=True), c(channels=8), c(channels=9, pool_sums=True)),
        },
        "sums are pooled, recording": {
            "frames": 4,
            "shape": (2, 16, 16),
            "convs": (c(channels=8), c(channels=8, pool_sums=True, bias=True), head),
        },
        "sums are pooled, float pixels": {
            "lut": "none",
            "shape": (2, 12, 24),
            "head_bias": True,
            "positions": True,
            "convs": (
                c(channels=8, pool_sums=True, bias=True, alpha=-0.4),
                c(channels=8, pool_sums=True, alpha=-0.3),
                c(channels=8, pool_sums=True, affine=False, alpha=-0.5),
            ),
        },
        "sums are pooled across words, odd sides": {
            "shape": (1, 11, 141),
            "convs": (c(channels=4), c(channels=5, pool_sums=True), c(channels=5, pool_sums=True)),
        },
        "sums are pooled in odd rows side by side": {
            "shape": (2, 14, 7),
            "convs": (
                c(channels=6),
                c(channels=6, pool_sums=True, kernel=1, pad=0, density=0.9, neuron="step"),
                c(channels=6, pool_sums=True),
            ),
        },
        "sums at the threshold are pooled": {
            "lut": "counts",
            "convs": tuple(
                c(channels=8, alpha=1 / 3, density=0.4, affine=False, scale=scale, pool_sums=pool)
                for scale, pool in ((1 - 2**-24, True), (None, False), (2**-24 - 1, True))
            ),
        },
        "no weights at all": {"convs": (c(channels=8, density=0.0), c(channels=4, density=0.0))},
    }
    return network(**corners[name])


NAMES = [
    "image",
    "recording, whole numbers",
    "recording, normalised",
    "float pixels",
    "wide rows, pooled across words",
    "odd sides, no padding",
    "strides",
    "32 steps",
    "one step",
    "no memory",
    "linear only",
    "one layer",
    "sums at the threshold",
    "membranes rounded to the threshold",
    "sums are pooled",
    "sums are pooled, recording",
    "sums are pooled, float pixels",
    "sums are pooled across words, odd sides",
    "sums are pooled in odd rows side by side",
    "sums at the threshold are pooled",
    "no weights at all",
]


@pytest.mark.parametrize("name", NAMES)
def test_corners(name: str, trial: Make, network: Make, conv: Make) -> None:
    net = corner(network, conv, name)
    made = trial(net.program())
    made.check(made.load("-O1"), net.images(3))


@st.composite
def networks(draw: st.DrawFn) -> dict[str, Any]:
    """Networks of two to four layers that fit their image."""
    steps = draw(st.sampled_from([1, 2, 3, 4, 5, 9, 17]))
    shape = (draw(st.integers(1, 3)), draw(st.integers(4, 14)), draw(st.integers(4, 40)))
    convs, (_, height, width) = [], shape
    for _ in range(draw(st.integers(1, 3))):
        kernel = draw(st.sampled_from([1, 3, 3, 5]))
        pad = kernel // 2 if draw(st.booleans()) or min(height, width) < 2 * kernel else 0
        stride = draw(st.sampled_from([1, 1, 2]))
        height, width = ((side + 2 * pad - kernel) // stride + 1 for side in (height, width))
        pool_sums = stride == 1 and draw(st.booleans()) and min(height, width) > 1
        height, width = (height // 2, width // 2) if pool_sums else (height, width)
        pool = draw(st.booleans()) and min(height, width) > 1
        height, width = (height // 2, width // 2) if pool else (height, width)
        convs.append(
            {
                "channels": draw(st.integers(1, 9)),
                "kernel": kernel,
                "pad": pad,
                "stride": stride,
                "pool": pool,
                "pool_sums": pool_sums,
                "density": draw(st.sampled_from([0.05, 0.3, 0.9])),
                "bias": draw(st.booleans()),
                "affine": draw(st.booleans()),
                "neuron": draw(st.sampled_from(["lif", "lif", "step"])),
            }
        )
    if draw(st.booleans()):
        convs.append({"channels": draw(st.integers(1, 20)), "kernel": 0})
    return {
        "seed": draw(st.integers(0, 999)),
        "steps": steps,
        "shape": shape,
        "convs": convs,
        "frames": draw(st.sampled_from([1, steps])),
        "positions": draw(st.booleans()),
        "lut": draw(st.sampled_from(["normal", "counts", "none"])),
        "head_bias": draw(st.booleans()),
    }


@pytest.mark.slow
@settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(networks())
def test_any_network(trial: Make, network: Make, conv: Make, parts: dict[str, Any]) -> None:
    convs = tuple(conv(**each) for each in parts.pop("convs"))
    net = network(**parts, convs=convs)
    made = trial(net.program())
    made.check(made.load("-O1"), net.images(2))


@pytest.mark.slow
def test_no_undefined_behaviour(trial: Make, network: Make, conv: Make) -> None:
    """Bounds, shifts, overflows: the sanitisers end the program with an error."""
    for name in ("image", "wide rows, pooled across words"):
        net = corner(network, conv, name)
        made = trial(net.program())
        image = net.images(1)[0]
        made.check(made.load("-O1"), image[None])
        main = made.folder / "main.c"
        main.write_text(
            '#include "net.h"\n#include <stdio.h>\nint main(void) {\n'
            f"static const uint8_t image[] = {{{', '.join(map(str, image.ravel()))}}};\n"
            'printf("%d\\n", net_classify(image)); return 0; }\n'
        )
        program = made.compile(
            "-O1",
            "-g",
            "-fsanitize=address,undefined",
            "-fno-sanitize-recover=all",
            "main.c",
            target="main",
        )
        found = made.execute(program)
        logits, _ = made.expected(image[None])
        assert int(found) == int(np.argmax(logits[0]))


def test_a_broken_threshold_is_noticed(trial: Make, network: Make, conv: Make) -> None:
    """The check above sees a single threshold that is one too high."""
    net = network(convs=(conv(channels=8), conv(channels=8)))
    made = trial(net.program())
    source = made.folder / "net.c"
    head, tail = source.read_text().split("layer1_thresholds[32] = {\n", 1)
    first, rest = tail.split(",", 1)
    source.write_text(f"{head}layer1_thresholds[32] = {{\n {int(first) + 1},{rest}")
    with pytest.raises(AssertionError, match="layer1"):
        made.check(made.load("-O1"), net.images(8))


def test_float_code_is_compiled_only_where_it_is_needed(
    trial: Make, network: Make, conv: Make
) -> None:
    net = network(frames=4, lut="counts", convs=(conv(channels=8), conv(channels=8)))
    program = net.program()
    scales = {"a": np.full(8, 0.75, np.float32), "b": np.full(8, 0.3, np.float32)}
    ops = [
        dataclasses.replace(op, alpha=0.5, **scales) if hasattr(op, "signs") and i < 4 else op
        for i, op in enumerate(program.ops)
    ]
    program = dataclasses.replace(program, ops=tuple(ops))
    made = trial(program)
    assert made.exported.sizes.float_layers == ()
    made.check(made.load("-O1"), net.images(3))
    if platform.machine() == "x86_64":
        # With this flag the compiler refuses any float operation.
        made.compile("-shared", "-fPIC", "-mgeneral-regs-only", target="whole.so")
