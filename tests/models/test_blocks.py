"""The fused block against plain torch modules, in values, statistics and gradients."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from spiketicket.models.blocks import Block, norm_fire
from spiketicket.neurons import native
from spiketicket.neurons import step as step_neuron
from spiketicket.neurons.lif import LIF, Config, simulate

needs_kernel = pytest.mark.skipif(not native.available(), reason="no C library was built")


def plain(y, norm, config, steps, pool):
    """BatchNorm, LIF and max pooling by torch's own modules, in float64."""
    z = norm(y.flatten(0, 1).double()).unflatten(0, y.shape[:2])
    spikes = simulate(z.expand(steps, *z.shape[1:]), config)
    return nn.MaxPool2d(2)(spikes.flatten(0, 1)).unflatten(0, spikes.shape[:2]) if pool else spikes


@needs_kernel
@settings(max_examples=40, deadline=None)
@given(
    steps=st.integers(1, 5),
    static=st.booleans(),
    pool=st.booleans(),
    channels=st.integers(1, 70),
    batch=st.integers(1, 3),
    side=st.sampled_from([2, 4, 6]),
    affine=st.booleans(),
    reset=st.sampled_from([0.0, "soft"]),
    detach=st.booleans(),
    seed=st.integers(0, 10**6),
)
def test_training_pass_equals_plain_torch(
    steps, static, pool, channels, batch, side, affine, reset, detach, seed
):
    generator = torch.Generator().manual_seed(seed)
    config = Config(decay=0.5, v_reset=reset, detach_reset=detach)
    times = 1 if static else steps
    y = torch.randn(times, batch, channels, side, side, generator=generator) * 2 + 1
    norm, reference = (nn.BatchNorm2d(channels, affine=affine) for _ in range(2))
    reference = reference.double()
    if affine:
        for mine, theirs in zip(norm.parameters(), reference.parameters(), strict=True):
            value = torch.rand(channels, generator=generator) + 0.5
            mine.data.copy_(value)
            theirs.data.copy_(value)
    y1, y2 = y.clone().requires_grad_(), y.clone().requires_grad_()
    ours = norm_fire(y1, norm, LIF(config, "native"), steps, pool)
    theirs = plain(y2, reference, config, steps, pool)
    weight = torch.randn(ours.shape, generator=generator)
    (ours * weight).sum().backward()
    (theirs * weight.double()).sum().backward()
    # A potential within rounding of the threshold may fall on either side.
    if torch.equal(ours.double(), theirs):
        torch.testing.assert_close(y1.grad, y2.grad, rtol=1e-3, atol=1e-4)
        for mine, other in zip(norm.parameters(), reference.parameters(), strict=True):
            torch.testing.assert_close(mine.grad, other.grad.float(), rtol=1e-3, atol=1e-3)
    else:
        assert (ours.double() != theirs).double().mean() < 0.01
    torch.testing.assert_close(norm.running_mean, reference.running_mean.float())
    torch.testing.assert_close(norm.running_var, reference.running_var.float())


@needs_kernel
@pytest.mark.parametrize("pool", [True, False])
def test_evaluation_is_bit_equal_between_kernels(pool):
    generator = torch.Generator().manual_seed(0)
    y = torch.randn(4, 2, 24, 8, 8, generator=generator)
    norm = nn.BatchNorm2d(24)
    norm.running_mean.uniform_(-1, 1, generator=generator)
    norm.running_var.uniform_(0.5, 2, generator=generator)
    norm.eval()
    outputs = [norm_fire(y, norm, LIF(Config(), k), 4, pool) for k in ("native", "eager")]
    assert torch.equal(*outputs)
    assert 0 < outputs[0].mean() < 1


@needs_kernel
@settings(max_examples=30, deadline=None)
@given(
    threshold=st.sampled_from([-0.5, 0.0, 0.3, 1.0]),
    surrogate=st.sampled_from(["sigmoid", "atan", "triangle"]),
    frames=st.integers(1, 3),
    pool=st.booleans(),
    seed=st.integers(0, 10**6),
)
def test_a_fused_step_equals_plain_torch(threshold, surrogate, frames, pool, seed):
    generator = torch.Generator().manual_seed(seed)
    config = step_neuron.Config(v_threshold=threshold, surrogate=surrogate, alpha=2.0)
    y = torch.randn(frames, 2, 20, 4, 4, generator=generator)
    weight = torch.randn(1, 20, 1, 1, generator=generator)
    found = []
    for kernel in ("native", "eager"):
        x, norm = y.clone().requires_grad_(), nn.BatchNorm2d(20).eval()
        # four time steps are asked for: without a membrane as many come out as went in
        out = norm_fire(x, norm, step_neuron.make(config, kernel), 4, pool)
        (out * weight).sum().backward()
        found.append((out.detach(), x.grad, norm.weight.grad))
    assert torch.equal(found[0][0], found[1][0])
    assert len(found[0][0]) == frames
    torch.testing.assert_close(found[0][1:], found[1][1:], rtol=1e-4, atol=1e-5)


@needs_kernel
def test_static_input_equals_the_same_input_repeated():
    block = Block(nn.Conv2d(3, 8, 3, padding=1), LIF(Config()), bn_affine=False, pool=True).eval()
    x = torch.randn(1, 2, 3, 8, 8)
    assert torch.equal(block(x, 4), block(x.expand(4, *x.shape[1:]), 4))


@needs_kernel
def test_statistics_and_gradients_do_not_depend_on_the_number_of_threads():
    generator = torch.Generator().manual_seed(0)
    y = torch.randn(4, 16, 32, 16, 16, generator=generator)
    weight = torch.randn(4, 16, 32, 16, 16, generator=generator)
    found = []
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            x, norm = y.clone().requires_grad_(), nn.BatchNorm2d(32)
            (norm_fire(x, norm, LIF(Config(), "native"), 4, False) * weight).sum().backward()
            found.append((x.grad, norm.running_var, norm.weight.grad))
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


@needs_kernel
def test_a_net_converted_to_bfloat16_gives_what_plain_torch_gives():
    norm = nn.BatchNorm2d(64).bfloat16().eval()
    y = torch.randn(4, 2, 64, 4, 4, generator=torch.Generator().manual_seed(0)).bfloat16()
    outputs = [norm_fire(y, norm, LIF(Config(), k), 4, False) for k in ("native", "eager")]
    assert torch.equal(*outputs)


@needs_kernel
def test_bfloat16_is_close_to_float32():
    generator = torch.Generator().manual_seed(0)
    y = torch.randn(4, 8, 64, 8, 8, generator=generator).bfloat16()
    grads = []
    for dtype in (torch.float32, torch.bfloat16):
        x = y.to(dtype).requires_grad_()
        spikes = norm_fire(x, nn.BatchNorm2d(64), LIF(Config(), "native"), 4, True)
        assert spikes.dtype == dtype
        spikes.sum().backward()
        grads.append(x.grad.float())
    torch.testing.assert_close(*grads, rtol=0.02, atol=0.02)
