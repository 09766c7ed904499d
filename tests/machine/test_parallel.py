"""Results that do not depend on the number of threads; PyTorch's own layers are the oracle."""

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from spiketicket.errors import UserError
from spiketicket.machine import parallel


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch):
    monkeypatch.setattr(parallel, "MACS_A_CHUNK", 2_000)
    monkeypatch.setattr(parallel, "PLACES_A_CHUNK", 1)


LAYERS = {
    "conv": (nn.Conv2d(3, 5, 3, padding=1), (7, 3, 9, 8)),
    "strided": (nn.Conv2d(4, 6, 3, 2, 1, bias=False), (6, 4, 8, 8)),
    "grouped": (nn.Conv2d(4, 4, 3, groups=2, dilation=2), (5, 4, 9, 9)),
    "linear": (nn.Linear(33, 17), (41, 33)),
    "tokens": (nn.Linear(16, 12, bias=False), (3, 7, 11, 16)),
}


def results(layer, x, count, **context):
    """The output and all gradients."""
    x = x.clone().requires_grad_()
    layer.zero_grad()
    with parallel.fixed(count), parallel.in_chunks(), torch.autocast("cpu", **context):
        y = layer(x)
    (y.float() * torch.arange(y.numel()).view(y.shape).cos()).sum().backward()
    return [y.detach(), x.grad, *(p.grad.clone() for p in layer.parameters())]


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("last", [False, True])
def test_any_number_of_threads_gives_the_bits_of_one(kind, last):
    layer, size = LAYERS[kind]
    x = torch.randn(size, generator=torch.Generator().manual_seed(1))
    if last and x.dim() == 4 and kind != "tokens":
        x = x.to(memory_format=torch.channels_last)
    one = results(layer, x, 1, enabled=False)
    for count in (2, 3, 7):
        more = results(layer, x, count, enabled=False)
        assert all(torch.equal(a, b) for a, b in zip(one, more, strict=True))


@pytest.mark.parametrize("kind", LAYERS)
def test_chunks_compute_what_the_layer_does(kind):
    layer, size = LAYERS[kind]
    x = torch.randn(size, generator=torch.Generator().manual_seed(2))
    ours = results(layer, x, 2, enabled=False)
    x = x.requires_grad_()
    layer.zero_grad()
    y = layer(x)
    (y * torch.arange(y.numel()).view(y.shape).cos()).sum().backward()
    theirs = [y.detach(), x.grad, *(p.grad for p in layer.parameters())]
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)
        assert a.shape == b.shape


def test_bfloat16_is_that_of_autocast():
    layer, size = LAYERS["conv"]
    x = torch.randn(size, generator=torch.Generator().manual_seed(3))
    one = results(layer, x, 1, dtype=torch.bfloat16)
    two = results(layer, x, 2, dtype=torch.bfloat16)
    assert one[0].dtype == torch.bfloat16
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    with torch.autocast("cpu", torch.bfloat16):
        plain = layer(x)
    torch.testing.assert_close(one[0], plain, rtol=2e-2, atol=2e-2)


def test_outside_of_a_run_nothing_changes():
    layer, size = LAYERS["conv"]
    x = torch.randn(size)
    with parallel.in_chunks():
        inside = layer(x)
    assert torch.equal(inside, layer(x))


def test_the_user_s_threads_come_back():
    before = torch.get_num_threads()
    with parallel.fixed(3):
        assert (torch.get_num_threads(), parallel.threads()) == (1, 3)
        with parallel.fixed():
            assert parallel.threads() == 3
        with parallel.fixed(2):
            assert parallel.threads() == 2
        assert parallel.threads() == 3
    assert torch.get_num_threads() == parallel.threads() == before


def test_what_fails_in_a_chunk_is_told():
    layer = nn.Linear(4, 3)
    with (
        parallel.fixed(2),
        parallel.in_chunks(),
        pytest.raises(RuntimeError, match="shapes cannot be multiplied"),
    ):
        layer(torch.zeros(5000, 5))


def test_runs_in_several_threads_at_once_keep_their_own():
    layer, size = LAYERS["conv"]
    x = torch.randn(size, generator=torch.Generator().manual_seed(3))
    before = torch.get_num_threads()
    together, first_over = threading.Barrier(2, timeout=20), threading.Event()

    def short():
        with parallel.fixed(2), parallel.in_chunks():
            together.wait()
            layer(x)
        first_over.set()

    def long():
        with parallel.fixed(3), parallel.in_chunks():
            together.wait()
            first_over.wait(20)
            assert parallel.threads() == 3
            return layer(x)

    with ThreadPoolExecutor(2) as users:
        ended, made = users.submit(short), users.submit(long)
        ended.result()
        assert torch.equal(made.result(), results(layer, x, 1, enabled=False)[0])
    assert (parallel.threads(), torch.get_num_threads()) == (before, before)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_process_forked_in_a_run_computes_alone():
    layer, size = LAYERS["conv"]
    x = torch.randn(size)
    with torch.no_grad(), parallel.fixed(2), parallel.in_chunks():
        layer(x)  # the pool's thread is there, and waits
        child = os.fork()
        if child == 0:
            signal.alarm(10)  # ends a child that waits for a thread it has not
            layer(x)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize("count", [0, -1, 1025, 10**12])
def test_no_possible_number_of_threads_is_refused(count):
    before = torch.get_num_threads()
    with pytest.raises(UserError, match="from 1 to 1024"), parallel.fixed(count):
        pass
    with pytest.raises(UserError, match="from 1 to 1024"), parallel.fixed():
        parallel.use(count)
    assert (parallel.threads(), torch.get_num_threads()) == (before, before)
