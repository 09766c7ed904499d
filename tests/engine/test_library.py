"""The C library against the numpy executor, which is the definition."""

import importlib.util
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spiketicket.engine import library, ops, reference
from spiketicket.engine.program import Builder
from spiketicket.errors import UserError

ROOT = Path(__file__).parents[2]


def _random_programs():
    path = Path(__file__).with_name("random_programs.py")
    spec = importlib.util.spec_from_file_location("random_programs", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


random_programs = _random_programs()
needs_library = pytest.mark.skipif(not library.available(), reason="the C library is not installed")


def digits_like(keep=0.3, steps=4, threshold=1.0, lut=False, seed=3):
    """Two layers on 8 x 8, then the classes."""
    r = np.random.default_rng(seed)
    table = r.normal(size=(1, 256)).astype(np.float32) if lut else None
    b = Builder(steps=steps, frames=1, channels=1, height=8, width=8, classes=10, lut=table)

    def layer(h, shape, **extra):
        signs = r.choice((-1, 0, 1), shape, p=(keep / 2, 1 - keep, keep / 2)).astype(np.int8)
        return b.add(ops.Synapse, h, signs=signs, alpha=0.4, **extra)

    def fire(h):
        return b.add(ops.Neuron, h, kind=ops.NeuronKind.LIF, decay=0.5, v_threshold=threshold)

    h = fire(layer(0, (12, 1, 3, 3), pad=1))
    h = b.add(ops.MaxPool, fire(layer(h, (20, 12, 3, 3), pad=1)), k=2, stride=2)
    h = layer(h, (10, 20 * 16, 1, 1), flatten=True)
    b.add(ops.Mean, h, time=True, positions=False)
    return b.program()


@pytest.fixture
def program():
    return digits_like()


@pytest.fixture
def images(program):
    return np.random.default_rng(0).normal(size=(7, 1, 1, 8, 8)).astype(np.float32)


@pytest.mark.slow
@needs_library
@settings(max_examples=25, deadline=None, derandomize=True)
@given(seed=st.integers(1000, 10**6))
def test_every_level_equals_the_definition(seed):
    random_programs.check(seed)


@needs_library
@pytest.mark.parametrize("decay", [0.5, 0.25])
def test_sums_that_meet_the_threshold_exactly_fire(decay):
    # n spikes of weight 1/4 against thresholds that some sums meet and some miss by one spike
    b = Builder(steps=4, frames=4, channels=2, height=5, width=9, classes=40)
    half = b.add(ops.Neuron, 0, kind=ops.NeuronKind.STEP, v_threshold=0.0)
    signs = np.ones((40, 2, 3, 3), np.int8)
    signs[::2, 1] = -1
    steps = (np.arange(40, dtype=np.float32) - 20) / 4
    h = b.add(ops.Synapse, half, signs=signs, alpha=0.25, pad=1, a=np.ones(40, np.float32), b=steps)
    h = b.add(ops.Neuron, h, kind=ops.NeuronKind.LIF, decay=decay, v_threshold=1.0)
    b.add(ops.Mean, h, time=True, positions=True)
    program = b.program()
    x = np.random.default_rng(1).normal(size=(6, *program.values[0].shape)).astype(np.float32)
    want = reference.run(program, x)
    assert 0 < want.mean() < 1
    for level in library.levels():
        assert (library.Net(program.to_bytes(), level).run(x) == want).all(), level


@needs_library
def test_bytes_go_through_the_table():
    program = digits_like(lut=True)
    x = np.random.default_rng(0).integers(0, 256, (5, 1, 1, 8, 8), dtype=np.uint8)
    want = reference.run(program, x)
    np.testing.assert_allclose(library.Net(program.to_bytes()).run(x), want, rtol=1e-6)


@needs_library
def test_threads_share_one_net(program, images):
    net = library.Net(program.to_bytes())
    want, got = net.run(images), {}

    def work(k):
        got[k] = [net.run(images) for _ in range(20)]

    workers = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(got) == 4
    assert all((logits == want).all() for runs in got.values() for logits in runs)


@needs_library
def test_more_threads_than_images_and_no_images(program, images):
    net = library.Net(program.to_bytes())
    assert (net.run(images, threads=64) == net.run(images)).all()
    assert net.run(images[:0]).shape == (0, 10)


@needs_library
def test_plan_names_kernels_and_times(program, images):
    net = library.Net(program.to_bytes(), "generic")
    plan = net.plan(images)
    assert plan["level"] == "generic"
    names = [step["name"] for step in plan["steps"]]
    assert names == ["SYNAPSE+NEURON", "SYNAPSE+NEURON+MAXPOOL", "SYNAPSE", "MEAN"]
    assert plan["steps"][0]["kernel"] == "rows"
    kept = [float((op.signs != 0).mean()) for op in program.ops if isinstance(op, ops.Synapse)]
    given_density = [step["density"] for step in plan["steps"] if "density" in step]
    assert given_density == pytest.approx(kept, abs=1e-6)
    assert plan["steps"][1]["out"] == [4, 20, 4, 4]
    assert all(step["microseconds"] > 0 for step in plan["steps"])
    assert all(step["microseconds"] == 0 for step in net.plan()["steps"])


@needs_library
def test_a_long_plan_is_whole():
    b = Builder(steps=1, frames=1, channels=1, height=1, width=1, classes=1)
    h = 0
    for _ in range(900):
        h = b.add(ops.Neuron, h, kind=ops.NeuronKind.RELU)
    assert len(library.Net(b.program().to_bytes()).plan()["steps"]) == 900


@needs_library
@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda p: p[:40], "cut off"),
        (lambda p: b"XXXX" + p[4:], "not a program"),
        (lambda p: p[:4] + b"\1" + p[5:], "version 1"),
        (lambda p: p + b"\0\0\0\0", "header says"),
        (lambda p: p[:64] + b"\x63" + p[65:], "opcode 99"),
        (lambda p: p[:68] + b"\0" + p[69:], "not written before"),
        (lambda p: p[:84] + b"\0" + p[85:], "must be in 1..65536"),
        (lambda p: p[:112] + b"\0\0\xc0\x7f" + p[116:], "alpha is not finite"),
    ],
)
def test_damaged_programs_are_refused_by_what_is_wrong(program, damage, said):
    with pytest.raises(UserError, match=said):
        library.Net(damage(program.to_bytes()))


@needs_library
def test_a_layer_is_computed_in_a_way_that_has_room():
    # ternary, padded far: rows would take 4 bytes a padded value, counting bits one bit
    padded = Builder(steps=8, frames=8, channels=128, height=1, width=1, classes=1)
    h = padded.add(ops.Neuron, 0, kind=ops.NeuronKind.STEP, v_threshold=0.0)
    h = padded.add(ops.Add, h, h)
    h = padded.add(ops.Synapse, h, signs=np.ones((1, 128, 1, 1), np.int8), alpha=1.0, pad=400)
    padded.add(ops.Mean, h, time=True, positions=True)
    # float, pointwise, large: tiles of all inputs would take a gigabyte
    large = Builder(steps=16, frames=1, channels=1, height=512, width=512, classes=1)
    h = 0
    for cin, cout in ((1, 64), (64, 1)):
        h = large.add(ops.Synapse, h, weight=np.ones((cout, cin, 1, 1), np.float32))
        h = large.add(ops.Neuron, h, kind=ops.NeuronKind.LIF, decay=0.5, v_threshold=1.0)
    large.add(ops.Mean, h, time=True, positions=True)
    for program in (padded.program(), large.program()):
        for level in library.levels():
            with library.Net(program.to_bytes(), level) as net:
                assert net.plan()["level"] == level


@needs_library
def test_more_memory_than_2_gib_is_refused():
    # each register alone, 1 GiB, is within the format's limits
    b = Builder(steps=16, frames=16, channels=16, height=1024, width=1024, classes=16)
    h = b.add(ops.Neuron, 0, kind=ops.NeuronKind.RELU)
    h = b.add(ops.Neuron, h, kind=ops.NeuronKind.RELU)
    b.add(ops.Mean, h, time=True, positions=True)
    with pytest.raises(UserError, match="2 GiB"):
        library.Net(b.program().to_bytes())


@needs_library
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda x: x.astype(np.float64), "must be float32 or uint8"),
        (lambda x: x[:, 0], r"must have the shape \[N, 1, 1, 8, 8\]"),
        (lambda x: x[..., ::-1], "must be C-contiguous"),
        (lambda x: x.astype(np.uint8), "no table of byte values"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(program, images, change, said):
    with pytest.raises(UserError, match=said):
        library.Net(program.to_bytes()).run(change(images))


@needs_library
def test_misuse_is_refused(program, images, monkeypatch):
    net = library.Net(program.to_bytes())
    with pytest.raises(UserError, match="without keeping its registers"):
        net.trace(images[0], 1, (4, 12, 8, 8))
    with pytest.raises(UserError, match="at least 1"):
        net.run(images, threads=0)
    net.close()
    net.close()
    with pytest.raises(UserError, match="closed"):
        net.run(images)
    with pytest.raises(UserError, match="must be one of generic, avx2, avx512"):
        library.Net(program.to_bytes(), "sse")
    monkeypatch.setenv("SPIKETICKET_ENGINE_LEVEL", "generic")
    assert library.Net(program.to_bytes()).plan()["level"] == "generic"
    monkeypatch.setenv("SPIKETICKET_ENGINE_LEVEL", "fast")
    with pytest.raises(UserError, match="SPIKETICKET_ENGINE_LEVEL"):
        library.Net(program.to_bytes())


def test_a_library_that_is_none_is_refused(monkeypatch, tmp_path):
    wrong = tmp_path / "engine.so"
    wrong.write_text("not a library")
    monkeypatch.setenv("SPIKETICKET_ENGINE_LIBRARY", str(wrong))
    assert not library.available()
    with pytest.raises(UserError, match="is not the C library spiketicket_engine"):
        library.levels()


# ---- builds of their own


def _build(folder, target, *options, compiler=None):
    cmake = shutil.which("cmake")
    if cmake is None or not (ROOT / "CMakeLists.txt").exists():
        pytest.skip("needs cmake and the sources")
    compiler = compiler or shutil.which("gcc")
    if compiler is None:
        pytest.skip("needs a C compiler")
    configure = [cmake, "-S", ROOT, "-B", folder, f"-DCMAKE_C_COMPILER={compiler}", *options]
    subprocess.run(configure, check=True, capture_output=True)
    subprocess.run([cmake, "--build", folder, "--target", target], check=True, capture_output=True)


def _runtime(name):
    found = subprocess.run(
        ["gcc", f"-print-file-name={name}"], check=True, capture_output=True, text=True
    )
    return found.stdout.strip()


@pytest.mark.slow
def test_sanitizers_and_the_avx512_source_on_random_programs(tmp_path):
    # the 64-byte kernels, their vectors split in two, so that any AVX2 processor tests them
    _build(
        tmp_path,
        "spiketicket_engine",
        "-DSPIKETICKET_SANITIZE=ON",
        "-DSPIKETICKET_AVX512_AS_AVX2=ON",
        "-DSPIKETICKET_CHECKED_LEVEL=-O0",
    )
    env = os.environ | {
        "SPIKETICKET_ENGINE_LIBRARY": str(tmp_path / "libspiketicket_engine.so"),
        "LD_PRELOAD": f"{_runtime('libasan.so')} {_runtime('libubsan.so')}",
        "ASAN_OPTIONS": "detect_leaks=0",
    }
    script = Path(__file__).with_name("random_programs.py")
    done = subprocess.run(
        [sys.executable, script, "0", "20"], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.startswith("20 programs")


def _fuzzing_clang(folder):
    """A clang with libFuzzer, which Debian has in a package of its own."""
    clang = shutil.which("clang")
    empty = folder / "empty.c"
    empty.write_text("int LLVMFuzzerTestOneInput(const char *d, long n) { return !d && n; }\n")
    command = [clang, "-fsanitize=fuzzer", empty, "-o", folder / "empty"]
    if clang is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("needs clang with libFuzzer (libclang-rt-dev)")
    return clang


@pytest.mark.slow
def test_fuzzing_for_some_seconds_finds_nothing(tmp_path):
    clang = _fuzzing_clang(tmp_path)
    options = ("-DSPIKETICKET_FUZZ=ON", "-DSPIKETICKET_CHECKED_LEVEL=-O0")
    _build(tmp_path, "fuzz_program", *options, compiler=clang)
    corpus = tmp_path / "corpus"
    writer = ROOT / "csrc" / "fuzz" / "write_corpus.py"
    subprocess.run([sys.executable, writer, corpus, "60"], check=True)
    done = subprocess.run(
        [
            tmp_path / "fuzz_program",
            "-max_total_time=15",
            "-max_len=4096",
            "-seed=1",
            f"-artifact_prefix={tmp_path}/",
            corpus,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.slow
def test_valgrind_sees_no_value_that_was_never_written(tmp_path):
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        pytest.skip("needs valgrind")
    _build(tmp_path, "replay_program")
    writer = ROOT / "csrc" / "fuzz" / "write_corpus.py"
    subprocess.run([sys.executable, writer, tmp_path / "corpus", "24"], check=True)
    files = sorted((tmp_path / "corpus").iterdir())
    done = subprocess.run(
        [valgrind, "-q", "--error-exitcode=9", tmp_path / "replay_program", *files],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout == f"{len(files)} files\n"


@needs_library
@pytest.mark.parametrize("ternary", [False, True])
@pytest.mark.parametrize("shift", [0.0, 0.5, 2.0])  # few inputs fire, half of them, all
@pytest.mark.parametrize("whole_numbers", [False, True])
@pytest.mark.parametrize(
    ("kernel", "stride", "pad", "flatten"),
    [
        ((3, 3), 1, 1, False),
        ((3, 3), 2, 1, False),
        ((5, 1), 1, 2, False),
        ((1, 3), 3, 0, False),
        ((1, 1), 1, 0, False),
        ((1, 1), 1, 0, True),
    ],
)
def test_sums_of_spikes_and_whole_numbers_are_those_of_the_definition(
    kernel, stride, pad, flatten, whole_numbers, shift, ternary
):
    r = np.random.default_rng(7)
    b = Builder(steps=3, frames=3, channels=5, height=6, width=9, classes=4)
    spikes = b.add(ops.Neuron, 0, kind=ops.NeuronKind.STEP, v_threshold=0.3)
    if whole_numbers:
        more = b.add(ops.Neuron, 0, kind=ops.NeuronKind.STEP, v_threshold=1.0)
        spikes = b.add(ops.Add, spikes, more)
    inputs = 5 * 6 * 9 if flatten else 5
    # 70 outputs: one block of 64 and a part of one
    weight = r.normal(size=(70, inputs, *kernel)).astype(np.float32)
    weights = {"signs": weight.round().clip(-1, 1).astype(np.int8), "alpha": 0.3}
    weights = weights if ternary else {"weight": weight}
    layer = b.add(ops.Synapse, spikes, **weights, stride=stride, pad=pad, flatten=flatten)
    mean = b.add(ops.Mean, layer, time=True, positions=True)
    b.add(ops.Synapse, mean, weight=r.normal(size=(4, 70, 1, 1)).astype(np.float32))
    program = b.program()
    x = (r.normal(size=(2, 3, 5, 6, 9)) + shift).astype(np.float32)
    _assert_equal_at_every_level(program, x, layer)


@pytest.mark.slow
@needs_library
@pytest.mark.parametrize("width", [2, 4, 8, 16, 32, 6, 12, 64])
@pytest.mark.parametrize("ternary", [False, True])
@pytest.mark.parametrize("sign", [1, -1])
def test_the_maximum_of_sums_before_batch_norm_is_exact(width, ternary, sign):
    """By rows (of floats), by counting and on bit planes, with scales of both signs."""
    r = np.random.default_rng(width)
    b = Builder(steps=4, frames=4, channels=3, height=8, width=2 * width, classes=4)

    def layer(x, cout, cin, **more):
        weight = r.normal(size=(cout, cin, 3, 3)).astype(np.float32)
        weights = {"signs": weight.round().clip(-1, 1).astype(np.int8), "alpha": 0.3 * sign}
        weights = weights if ternary else {"weight": weight}
        a = r.uniform(0.2, 1.5, cout) * r.choice((-1, 1), cout)
        affine = {"a": a, "b": r.normal(size=cout), "bias": r.normal(size=cout)}
        return b.add(ops.Synapse, x, **weights, **affine, pad=1, pool=2, **more)

    def fire(x, **lif):
        return b.add(ops.Neuron, x, kind=ops.NeuronKind.LIF, v_threshold=0.7, **lif)

    first = layer(0, 20, 3)
    second = layer(fire(first, decay=0.5), 70, 20)
    spikes = fire(second, decay=0.5)
    mean = b.add(ops.Mean, spikes, time=True, positions=True)
    b.add(ops.Synapse, mean, weight=r.normal(size=(4, 70, 1, 1)).astype(np.float32))
    program = b.program()
    assert program.values[second].shape == (4, 70, 2, width // 2)
    x = r.normal(size=(2, 4, 3, 8, 2 * width)).astype(np.float32)
    for register in (first, second):
        _assert_equal_at_every_level(program, x, register)
    want = reference.run(program, x)
    for level in library.levels():
        with library.Net(program.to_bytes(), level) as net:
            assert (net.run(x) == want).all(), level
            kernels = [step["kernel"] for step in net.plan()["steps"]]
            if ternary and width <= 32 and width & (width - 1) == 0:
                assert "bit-sliced" in kernels


def _assert_equal_at_every_level(program, x, register):
    want = reference.trace(program, x, [register])[register]
    assert np.unique(want).size > 2
    for level in library.levels():
        with library.Net(program.to_bytes(), level, keep_registers=True) as net:
            for image, expected in zip(x, want, strict=True):
                got = net.trace(image, register, expected.shape)
                np.testing.assert_array_equal(got, expected)


@pytest.mark.slow
@needs_library
@pytest.mark.parametrize("whole_numbers", [False, True])
@pytest.mark.parametrize("heads", [1, 3])
@pytest.mark.parametrize("tokens", [1, 3, 8, 21, 44, 70])
def test_attention_of_any_number_of_tokens_and_large_heads(tokens, heads, whole_numbers):
    r = np.random.default_rng(3)
    b = Builder(steps=2, frames=2, channels=210, height=1, width=tokens, classes=210)

    def spikes():
        weight = np.eye(210, dtype=np.float32)[r.permutation(210), :, None, None]
        return b.add(
            ops.Neuron,
            b.add(ops.Synapse, 0, weight=weight),
            kind=ops.NeuronKind.STEP,
            v_threshold=0.3,
        )

    q, k, v = spikes(), spikes(), spikes()
    if whole_numbers:
        k = b.add(ops.Add, k, v)
    mixed = b.add(ops.Attention, q, k, v, heads=heads, scale=0.125)
    b.add(ops.Mean, mixed, time=True, positions=True)
    x = r.normal(size=(2, 2, 210, 1, tokens)).astype(np.float32)
    _assert_equal_at_every_level(b.program(), x, mixed)
