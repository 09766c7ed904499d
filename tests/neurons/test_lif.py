"""LIF against SpikingJelly's LIFNode, kernel against kernel, and the definition's corner cases."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spiketicket.neurons import lif
from spiketicket.neurons import native as _native
from spiketicket.neurons.lif import LIF, Config

KERNELS = [
    "eager",
    pytest.param(
        "native", marks=pytest.mark.skipif(not _native.available(), reason="no C library was built")
    ),
]

CONDITIONS = [
    (tau, scaled, reset, detach)
    for tau in (2.0, 4 / 3, 100.0)
    for scaled in (True, False)
    for reset in (0.0, "soft", 0.25)
    for detach in (True, False)
]


def run(kernel, config, current, weight):
    x = current.clone().requires_grad_()
    spikes = LIF(config, kernel)(x)
    (spikes * weight).sum().backward()
    return spikes.detach(), x.grad


def peer(config, current, weight, node_surrogate):
    neuron = pytest.importorskip("spikingjelly.activation_based.neuron")
    node = neuron.LIFNode(
        tau=config.tau,
        decay_input=config.decay_input,
        v_threshold=config.v_threshold,
        v_reset=None if config.v_reset == "soft" else config.v_reset,
        surrogate_function=node_surrogate,
        detach_reset=config.detach_reset,
        step_mode="m",
    )
    x = current.clone().requires_grad_()
    spikes = node(x)
    (spikes * weight).sum().backward()
    return spikes.detach(), x.grad


def peer_surrogate(name):
    surrogate = pytest.importorskip("spikingjelly.activation_based.surrogate")
    made = {
        "sigmoid": (4.0, surrogate.Sigmoid),
        "atan": (2.0, surrogate.ATan),
        "triangle": (1.0, surrogate.PiecewiseQuadratic),
    }
    alpha, kind = made[name]
    return alpha, kind(alpha)


@pytest.mark.slow
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("surrogate", ["sigmoid", "atan", "triangle"])
@pytest.mark.parametrize(("tau", "scaled", "reset", "detach"), CONDITIONS)
def test_equals_spikingjelly(kernel, surrogate, tau, scaled, reset, detach):
    alpha, theirs = peer_surrogate(surrogate)
    config = Config(
        decay=1 - 1 / tau,
        decay_input=scaled,
        v_reset=reset,
        surrogate=surrogate,
        alpha=alpha,
        detach_reset=detach,
    )
    generator = torch.Generator().manual_seed(1)
    # 3 * 17 neurons: no multiple of any vector width
    # scaled input is divided by tau: make it strong enough to fire
    current = torch.randn(6, 3, 17, generator=generator) * (1.5 * tau if scaled else 1.5)
    weight = torch.randn(6, 3, 17, generator=generator)
    spikes, grad = run(kernel, config, current, weight)
    their_spikes, their_grad = peer(config, current, weight, theirs)
    assert 0 < spikes.mean() < 1
    assert torch.equal(spikes, their_spikes)
    torch.testing.assert_close(grad, their_grad, rtol=1e-6, atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    steps=st.integers(1, 9),
    neurons=st.integers(1, 130),
    decay=st.floats(0, 0.999),
    threshold=st.floats(0.1, 2),
    reset=st.sampled_from([0.0, "soft", -0.5, 0.3]),
    scaled=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_native_kernel_gives_the_bits_of_the_definition(
    steps, neurons, decay, threshold, reset, scaled, seed
):
    if not _native.available():
        pytest.skip("no C library was built")
    config = Config(decay=decay, v_threshold=threshold, v_reset=reset, decay_input=scaled)
    current = torch.randn(steps, neurons, generator=torch.Generator().manual_seed(seed))
    assert torch.equal(LIF(config, "native")(current), LIF(config, "eager")(current))


@pytest.mark.parametrize("kernel", KERNELS)
def test_fires_at_the_threshold_exactly(kernel):
    config = Config(decay=0.5)
    current = torch.tensor([[1.0], [0.75], [0.625], [0.0]])
    # fires at 1 (== threshold), resets to 0; 0.75; 0.375 + 0.625 == 1 fires; rests
    assert LIF(config, kernel)(current).flatten().tolist() == [1, 0, 1, 0]


@pytest.mark.parametrize("kernel", KERNELS)
def test_state_starts_fresh_in_every_forward(kernel):
    neuron = LIF(Config(decay=0.9), kernel)
    current = torch.full((1, 4), 0.9)
    assert torch.equal(neuron(current), neuron(current))
    assert neuron(current).sum() == 0


@pytest.mark.parametrize("kernel", KERNELS)
def test_scaled_input_with_slow_decay_does_not_fire_where_additive_input_does(kernel):
    current = torch.randn(4, 5000, generator=torch.Generator().manual_seed(0))
    scaled = LIF(Config(decay=0.99, decay_input=True), kernel)(current)
    additive = LIF(Config(decay=0.99), kernel)(current)
    assert scaled.sum() == 0
    assert additive.mean() > 0.1


def test_bfloat16_input_gives_bfloat16_spikes():
    for kernel in ("eager", "native") if _native.available() else ("eager",):
        spikes = LIF(Config(), kernel)(torch.randn(4, 64).bfloat16())
        assert spikes.dtype == torch.bfloat16
        assert set(spikes.unique().tolist()) <= {0.0, 1.0}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # torch's own, while it compiles
def test_compiled_kernel_equals_the_definition():
    config = Config(decay=0.75, v_reset="soft")
    current = torch.randn(4, 3, 10, generator=torch.Generator().manual_seed(2))
    weight = torch.randn(4, 3, 10, generator=torch.Generator().manual_seed(3))
    try:
        spikes, grad = run("compile", config, current, weight)
    except RuntimeError as error:  # no C++ compiler here
        pytest.skip(str(error)[:80])
    expected, expected_grad = run("eager", config, current, weight)
    assert torch.equal(spikes, expected)
    torch.testing.assert_close(grad, expected_grad, rtol=1e-6, atol=1e-6)


@pytest.fixture
def traced_only(monkeypatch):
    """Graphs are made and guarded as always, but not handed to a compiler; their count."""
    import torch._dynamo as dynamo

    made = []

    def keep(graph, inputs):
        made.append(graph)
        return graph.forward

    compile_ = torch.compile
    monkeypatch.setattr(torch, "compile", lambda f: compile_(f, backend=keep))
    dynamo.reset()
    lif._compiled.cache_clear()
    with dynamo.config.patch(fail_on_recompile_limit_hit=True):
        yield made
    lif._compiled.cache_clear()
    dynamo.reset()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # torch's own, while it traces
def test_every_configuration_is_compiled(traced_only):
    configs = [
        Config(decay=0.25, v_reset=reset, surrogate=surrogate)
        for reset in (0.0, "soft", 0.25)
        for surrogate in ("sigmoid", "atan", "triangle")
    ]
    generator = torch.Generator().manual_seed(4)
    # a size, another one that makes it dynamic, and one that is of that graph
    currents = [torch.randn(2, n, generator=generator) for n in (20, 12, 30)]
    for config in configs:
        for current in currents:
            spikes = LIF(config, "compile")(current)
            assert torch.equal(spikes, LIF(config, "eager")(current))
    assert len(traced_only) == 2 * len(configs)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_configuration_is_compiled_once_for_all_layers_of_a_kind(traced_only):
    for _ in range(3):
        for steps in (2, 3):
            for dtype in (torch.float32, torch.bfloat16):
                for gradient in (False, True):
                    layer = LIF(Config(decay=0.75), "compile")
                    current = torch.randn(steps, 20, dtype=dtype, requires_grad=gradient)
                    assert layer(current).requires_grad == gradient
    assert len(traced_only) == 8
    assert lif._compiled.cache_info().currsize == 8
    assert lif._compiled.cache_info().maxsize == 128


@pytest.mark.parametrize("surrogate", ["sigmoid", "atan", "triangle"])
def test_surrogate_gradient_at_every_magnitude(surrogate):
    if not _native.available():
        pytest.skip("no C library was built")
    sizes = torch.logspace(-3, 37, 200)
    current = torch.cat([-sizes, torch.zeros(1), sizes, torch.linspace(-40, 40, 401)])[None]
    config = Config(surrogate=surrogate)
    _, native = run("native", config, current, torch.ones_like(current))
    _, eager = run("eager", config, current, torch.ones_like(current))
    torch.testing.assert_close(native, eager, rtol=2e-5, atol=1e-6)


def test_the_native_kernel_takes_no_other_device():
    from spiketicket.errors import UserError

    with pytest.raises(UserError, match="runs on a CPU only"):
        LIF(Config(), "native")(torch.empty(2, 64, device="meta"))


@pytest.mark.skipif(not _native.available(), reason="no C library was built")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("surrogate", ["sigmoid", "atan", "triangle"])
@pytest.mark.parametrize("channels", [7, 64, 72])
@pytest.mark.parametrize("pool", [0, 1])
def test_every_level_of_the_processor_gives_the_same_bits(
    monkeypatch, dtype, surrogate, channels, pool
):
    config = Config(surrogate=surrogate, v_reset=-0.3, detach_reset=False)
    torch.manual_seed(0)
    y = torch.randn(3, 2 * 64, channels).to(dtype)
    a, b = torch.randn(channels), torch.randn(channels)
    slope = torch.randn(3, 2 * 64 // (4 if pool else 1), channels).to(dtype)

    def results(level: str) -> bytes:
        monkeypatch.setenv("SPIKETICKET_NEURONS_LEVEL", level)
        mean, var = _native.batch_stats(y)
        leaves = [x.clone().requires_grad_() for x in (y, a, b)]
        shape = _native.Shape(3, 2, 8, 8, channels, pool, 0)
        spikes = _native.norm_lif_pool(
            *leaves, stats=(mean, var.rsqrt()), shape=shape, config=config
        )
        spikes.backward(slope)
        made = (mean, var, spikes.detach(), *(leaf.grad for leaf in leaves))
        return b"".join(x.float().numpy().tobytes() for x in made)

    first, *others = _native.levels()
    assert first == "generic"
    for level in others:
        assert results(level) == results(first), level


def test_a_level_that_is_none_is_refused(monkeypatch):
    from spiketicket.errors import UserError

    monkeypatch.setenv("SPIKETICKET_NEURONS_LEVEL", "sse")
    with pytest.raises(UserError, match=r"SPIKETICKET_NEURONS_LEVEL: must be one of generic"):
        LIF(Config(), "native")(torch.zeros(2, 64))


def test_without_the_library_auto_is_eager_and_native_says_why(monkeypatch):
    from spiketicket.errors import UserError
    from spiketicket.machine import libraries

    _native._tried.cache_clear()
    monkeypatch.setattr(libraries, "_ENDINGS", ())
    try:
        assert lif.resolve_kernel("auto", torch.device("cpu")) == "eager"
        with pytest.raises(UserError, match=r"not built.*a C compiler.*train.kernel=\"eager\""):
            lif.resolve_kernel("native", torch.device("cpu"))
        assert _native.state().startswith("plain PyTorch, slower: the C library spiketicket_train")
    finally:
        _native._tried.cache_clear()
