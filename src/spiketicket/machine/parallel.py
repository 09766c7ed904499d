"""Threads that change no result: how a CPU's cores share the work of a run.

Inside :func:`fixed` PyTorch computes with one thread, so that no sum is split by the number of
threads, and the cores share what is split by its shape alone:

* rows of convolutions and linear layers, in chunks of :data:`MACS_A_CHUNK` multiply-accumulates
  and :data:`PLACES_A_CHUNK` places. A chunk is computed by one thread; gradients of weights are
  added up in the order of the chunks;
* the C kernels of the neurons, whose sums are taken in one order for any number of threads.

A run and its threads belong to the thread that began it, so a program may have several at once.

So one machine gives the same bytes for any number of threads. Machines whose processors have
different instructions may differ in the last bits.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from spiketicket.errors import UserError, argument

MACS_A_CHUNK: Final = 32_000_000
"""Multiply-accumulates of a layer's forward pass for which there is one chunk: smaller chunks cost
small networks more on one thread than they bring on two."""
PLACES_A_CHUNK: Final = 1024
"""Rows times positions for which there is one chunk, where there are more than two: every chunk
makes a gradient of all weights, and with fewer places that costs more than the places do."""
MOST_CHUNKS: Final = 16
MOST_THREADS: Final = 1024


class _Local(threading.local):
    """The threads of the run that goes on in this thread of the user's, if any."""

    threads = 0
    pool: ThreadPoolExecutor | None = None


_RUN: Final = _Local()


def _alone() -> None:
    """A forked process has this thread, and none of the pool's."""
    _RUN.pool = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_alone)


def threads() -> int:
    """Threads that compute now: those of the run, or outside of one PyTorch's own."""
    return _RUN.threads or torch.get_num_threads()


def use(count: int) -> None:
    """From here on, and until :func:`fixed` ends, compute with so many threads.

    Outside of it only PyTorch is told.

    Raises:
        UserError: fewer than 1, or more than :data:`MOST_THREADS`.
    """
    _require(count)
    if _RUN.threads:
        _begin(count)
    else:
        torch.set_num_threads(count)


def _require(count: int) -> None:
    if not 1 <= count <= MOST_THREADS:
        what = f"must be a whole number from 1 to {MOST_THREADS}"
        raise UserError(what, where=argument("threads"), value=count)


def _begin(count: int) -> None:
    torch.set_num_threads(1)
    if _RUN.pool is not None:
        _RUN.pool.shutdown()
    _RUN.threads, _RUN.pool = count, None
    if count > 1:
        # A new thread has as many of its own as the machine has cores, unless it is told.
        _RUN.pool = ThreadPoolExecutor(
            count - 1, "spiketicket", initializer=torch.set_num_threads, initargs=(1,)
        )


@contextlib.contextmanager
def fixed(count: int | None = None) -> Iterator[None]:
    """What is computed inside does not depend on the number of threads.

    ``count`` is how many there are; without it those of the run that goes on, or PyTorch's own
    number, until :func:`use` says another.
    """
    before, outer = torch.get_num_threads(), _RUN.threads
    if outer and count is None:
        yield
        return
    wanted = min(before, MOST_THREADS) if count is None else count
    _require(wanted)
    try:
        _begin(wanted)
        yield
    finally:
        if _RUN.pool is not None:
            _RUN.pool.shutdown()
        _RUN.threads, _RUN.pool = 0, None
        torch.set_num_threads(before)
        if outer:
            _begin(outer)


@contextlib.contextmanager
def in_chunks() -> Iterator[None]:
    """Inside a run, compute large layers in chunks; elsewhere nothing changes."""
    if not _RUN.threads or torch.compiler.is_compiling():
        yield
        return
    with _Chunks():
        yield


class _Chunks(TorchFunctionMode):
    """Computes convolutions and linear layers on a CPU by :class:`_Rows`."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        del types
        kwargs = kwargs or {}
        if func is torch.conv2d and not kwargs and len(args) == 7:
            x, weight, bias, *settings = args
            if x.device.type == "cpu" and x.dim() == 4 and not isinstance(settings[1], str):
                return _layer(x, weight, bias, tuple(settings))
        elif func is functional.linear and not kwargs and args[0].device.type == "cpu":
            x, weight, bias = (*args, None)[:3]
            flat = x.flatten(0, -2) if x.dim() > 2 else x
            if flat.dim() == 2:
                made = _layer(flat, weight, bias, ())
                return made.unflatten(0, x.shape[:-1]) if x.dim() > 2 else made
        return func(*args, **kwargs)


def _layer(x: Tensor, weight: Tensor, bias: Tensor | None, settings: tuple[Any, ...]) -> Tensor:
    """A convolution with its stride, padding, dilation and groups, or a linear layer."""
    if torch.is_autocast_enabled("cpu"):
        dtype = torch.get_autocast_dtype("cpu")
        x, weight = x.to(dtype), weight.to(dtype)
        bias = None if bias is None else bias.to(dtype)
    count = _chunks(x, weight, settings)
    if count == 1:
        return _forward(x, weight, bias, settings)
    with torch.autocast("cpu", enabled=False):
        out: Tensor = _Rows.apply(x, weight, bias, settings, count)  # type: ignore[no-untyped-call]
    return out


def _forward(x: Tensor, weight: Tensor, bias: Tensor | None, settings: tuple[Any, ...]) -> Tensor:
    if settings:
        return torch.conv2d(x, weight, bias, *settings)
    return functional.linear(x, weight, bias)


def _chunks(x: Tensor, weight: Tensor, settings: tuple[Any, ...]) -> int:
    """How many chunks the rows are split into: a function of the shapes alone."""
    places = 1
    if settings:
        (high, wide), (stride, _) = x.shape[2:], _pair(settings[0])
        places = -(-high // stride) * -(-wide // stride)
    places *= x.shape[0]
    large = places * weight.numel() // MACS_A_CHUNK
    return max(1, min(MOST_CHUNKS, x.shape[0], large, max(2, places // PLACES_A_CHUNK)))


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else tuple(value)


class _Rows(torch.autograd.Function):
    """A layer over chunks of its rows."""

    @staticmethod
    def forward(  # noqa: PLR0917 - as torch.autograd calls it
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        settings: tuple[Any, ...],
        count: int,
    ) -> Tensor:
        if settings and x.is_contiguous(memory_format=torch.channels_last):
            # else every chunk would copy the weights to the layout of its inputs
            weight = weight.contiguous(memory_format=torch.channels_last)
        ctx.save_for_backward(x, weight)
        ctx.settings, ctx.count = settings, count
        ctx.bias_sizes = None if bias is None else list(bias.shape)
        parts = x.tensor_split(count)
        return torch.cat(_shared(lambda k: _forward(parts[k], weight, bias, settings), count))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        settings, count, sizes = ctx.settings, ctx.count, ctx.bias_sizes
        wanted = [ctx.needs_input_grad[0], ctx.needs_input_grad[1], sizes is not None]
        parts, given = x.tensor_split(count), grads[0].tensor_split(count)

        def part(k: int) -> tuple[Tensor | None, ...]:
            if settings:
                return _conv_backward(given[k], parts[k], weight, sizes, settings, wanted)
            g = given[k]
            return (
                g @ weight if wanted[0] else None,
                g.t() @ parts[k] if wanted[1] else None,
                g.sum(0) if wanted[2] else None,
            )

        made = _shared(part, count)
        inputs = torch.cat([m[0] for m in made]) if wanted[0] else None
        weights, biases = (_sum([m[i] for m in made]) for i in (1, 2))
        return inputs, None if weights is None else weights.contiguous(), biases, None, None


def _conv_backward(  # noqa: PLR0917
    g: Tensor,
    x: Tensor,
    weight: Tensor,
    sizes: list[int] | None,
    settings: tuple[Any, ...],
    wanted: list[bool],
) -> tuple[Tensor | None, ...]:
    stride, padding, dilation, groups = settings
    pairs = [list(_pair(value)) for value in (stride, padding, dilation)]
    made: tuple[Tensor | None, ...] = torch.ops.aten.convolution_backward(
        g, x, weight, sizes, *pairs, False, [0, 0], groups, wanted
    )
    return made


def _sum(parts: Sequence[Tensor | None]) -> Tensor | None:
    """Their sum, in their order; added up in float32, rounded once."""
    present = [part for part in parts if part is not None]
    if not present:
        return None
    total = present[0].float()
    for part in present[1:]:
        total += part
    return total.to(present[0].dtype)


def _shared(job: Callable[[int], Any], count: int) -> list[Any]:
    """``job`` of every number below ``count``, by all threads; in order."""
    pool = _RUN.pool
    if pool is None:
        return [job(k) for k in range(count)]
    grad = torch.is_grad_enabled()

    def several(chunks: range) -> list[Any]:
        with torch.set_grad_enabled(grad):
            return [job(k) for k in chunks]

    # this thread takes a share as well
    share = min(_RUN.threads, count)
    others = [pool.submit(several, range(t, count, share)) for t in range(1, share)]
    made: list[Any] = [None] * count
    made[::share] = several(range(0, count, share))
    for t, future in enumerate(others, 1):
        made[t::share] = future.result()
    return made
