"""The C kernel of batch normalisation + LIF + pooling, called by ctypes.

The interface is ``csrc/train/neurons.h``. The library lies in this package where the installation
could build it; without it :func:`available` is False. ``SPIKETICKET_NEURONS_LEVEL`` (generic, avx2
or avx512) forces a level of the processor; the bits are the same at every level.
"""

from __future__ import annotations

import ctypes
import functools
from typing import Any, Protocol

import torch
from torch import Tensor

from spiketicket.errors import UserError
from spiketicket.machine import libraries, parallel
from spiketicket.machine.libraries import LEVELS


class Settings(Protocol):
    """What the kernel reads of a neuron's ``Config`` (``lif.py``)."""

    @property
    def decay(self) -> float: ...
    @property
    def decay_input(self) -> bool: ...
    @property
    def tau(self) -> float: ...
    @property
    def v_threshold(self) -> float: ...
    @property
    def v_rest(self) -> float: ...
    @property
    def v_reset(self) -> float | str: ...
    @property
    def surrogate(self) -> str: ...
    @property
    def alpha(self) -> float: ...
    @property
    def detach_reset(self) -> bool: ...


_SURROGATE = {"sigmoid": 0, "atan": 1, "triangle": 2}
_SUFFIX = {torch.float32: "f32", torch.bfloat16: "bf16"}
_LEVEL = "SPIKETICKET_NEURONS_LEVEL"


class Shape(ctypes.Structure):
    """``struct Shape`` of neurons.h."""

    _fields_ = [(n, ctypes.c_int64) for n in ("T", "B", "H", "W", "C")] + [
        (n, ctypes.c_int32) for n in ("pool", "repeat")
    ]


class Lif(ctypes.Structure):
    """``struct Lif`` of neurons.h."""

    _fields_ = [
        (n, ctypes.c_float) for n in ("decay", "tau", "v_threshold", "v_reset", "v_rest", "alpha")
    ] + [(n, ctypes.c_int32) for n in ("charge", "soft_reset", "detach_reset", "surrogate")]


_Pointer = ctypes.c_void_p
_FUNCTIONS: dict[str, tuple[Any, ...]] = {
    "stats": (_Pointer, ctypes.c_int64, ctypes.c_int64, _Pointer, _Pointer, ctypes.c_int),
    "forward": (
        *(4 * [_Pointer]),
        ctypes.POINTER(Shape),
        ctypes.POINTER(Lif),
        ctypes.c_int,
    ),
    "backward": (
        *(8 * [_Pointer]),
        ctypes.POINTER(Shape),
        ctypes.POINTER(Lif),
        ctypes.c_int,
    ),
    "finish": (*(5 * [_Pointer]), ctypes.c_int64, ctypes.c_int64, ctypes.c_int),
}


class _Kernels(ctypes.Structure):
    """``NeuronKernels`` of neurons.h."""

    _fields_ = [
        (f"{name}_{suffix}", ctypes.CFUNCTYPE(ctypes.c_int, *arguments))
        for suffix in _SUFFIX.values()
        for name, arguments in _FUNCTIONS.items()
    ]


def available() -> bool:
    """Whether the kernel is there and can be loaded."""
    return not isinstance(_tried(), UserError)


def levels() -> tuple[str, ...]:
    """The levels that this processor runs, the slowest first.

    Raises:
        UserError: there is no kernel.
    """
    return libraries.levels_in(int(_library().st_levels()))


def state() -> str:
    """What computes the neurons on a CPU here, and why not something faster."""
    try:
        said = libraries.state(levels(), _LEVEL)
    except UserError as error:
        return f"plain PyTorch, slower: {error}"
    return said if _library().st_parallel() else f"{said}, on one thread"


def require() -> None:
    """Refuse where there is no kernel.

    Raises:
        UserError: it was not built, or cannot be loaded.
    """
    found = _tried()
    if isinstance(found, UserError):
        raise UserError(
            f"the native neuron kernel is not available: {found.what}",
            where="train.kernel",
            remedy=f'{found.remedy}, or set train.kernel="eager"',
        )


def lif(current: Tensor, config: Settings) -> Tensor:
    """Spikes ``[T, ...]`` of ``current`` ``[T, ...]``; float32 or bfloat16, else via float32."""
    work = current if current.dtype in _SUFFIX else current.float()
    steps, count = work.shape[0], work[0].numel()
    # The kernel's inner loops run over "channels": take as many neurons for them as divide.
    channels = next(c for c in (64, 32, 16, 8, 4, 2, 1) if count % c == 0)
    one, zero = torch.ones(channels), torch.zeros(channels)
    rows = work.contiguous().view(steps, count // channels, channels)
    shape = Shape(steps, 1, count // channels, 1, channels, 0, 0)
    spikes: Tensor = _Fused.apply(rows, one, zero, None, None, shape, config)  # type: ignore[no-untyped-call]
    return spikes.view(current.shape).to(current.dtype)


def norm_lif_pool(
    y: Tensor,
    a: Tensor,
    b: Tensor,
    *,
    stats: tuple[Tensor, Tensor] | None,
    shape: Shape,
    config: Settings,
) -> Tensor:
    """Spikes of ``LIF(a*y + b)``, pooled 2x2 where the shape says so.

    Args:
        y: ``[T, B*H*W, C]`` contiguous, float32 or bfloat16 (``T`` is 1 when the shape repeats).
        a, b: float32 ``[C]``, differentiable.
        stats: mean and reciprocal standard deviation of the batch, float32 ``[C]``, where ``a``
            and ``b`` were made from them, so that the gradient runs through them too; or None.
        shape, config: sizes and neuron.

    Returns:
        ``[T, rows, C]`` spikes of the dtype of ``y``.
    """
    mean, rstd = stats if stats is not None else (None, None)
    out: Tensor = _Fused.apply(y, a, b, mean, rstd, shape, config)  # type: ignore[no-untyped-call]
    return out


def batch_stats(y: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and biased variance over all but the last axis, float32 ``[C]``; no gradient.

    The result does not depend on the number of threads.
    """
    channels = y.shape[-1]
    mean, var = torch.empty(channels), torch.empty(channels)
    status = _function("stats", y.dtype)(
        _at(y),
        ctypes.c_int64(y.numel() // channels),
        ctypes.c_int64(channels),
        _at(mean),
        _at(var),
        parallel.threads(),
    )
    _check(status)
    return mean, var


class _Fused(torch.autograd.Function):
    @staticmethod
    def forward(  # noqa: PLR0917 - as torch.autograd calls it
        ctx: Any,
        y: Tensor,
        a: Tensor,
        b: Tensor,
        mean: Tensor | None,
        rstd: Tensor | None,
        shape: Shape,
        config: Settings,
    ) -> Tensor:
        a, b = a.detach().contiguous(), b.detach().contiguous()
        if a.dtype != torch.float32 or b.dtype != torch.float32 or a.shape != b.shape:
            raise ValueError(f"scale and shift must be float32, got {a.dtype}, {b.dtype}")
        if a.numel() != shape.C or y.numel() % shape.C:
            raise ValueError(f"sizes do not fit: {a.numel()} scales for {shape.C} channels")
        rows = shape.B * shape.H * shape.W // (4 if shape.pool else 1)
        out = y.new_empty(shape.T, rows, shape.C)
        status = _function("forward", y.dtype)(
            _at(y),
            _at(a),
            _at(b),
            _at(out),
            ctypes.byref(shape),
            ctypes.byref(_lif(config)),
            parallel.threads(),
        )
        _check(status)
        ctx.save_for_backward(y, a, b, mean, rstd)
        ctx.shape, ctx.config = shape, config
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        y, a, b, mean, rstd = ctx.saved_tensors
        shape: Shape = ctx.shape
        g, gz = grads[0].contiguous(), torch.empty_like(y)
        sums = torch.empty(2, shape.C, dtype=torch.float64)
        centre = mean if mean is not None else torch.zeros(shape.C)
        scale = rstd if rstd is not None else torch.ones(shape.C)
        threads = parallel.threads()
        status = _function("backward", y.dtype)(
            _at(y),
            _at(a),
            _at(b),
            _at(centre),
            _at(scale),
            _at(g),
            _at(gz),
            _at(sums),
            ctypes.byref(shape),
            ctypes.byref(_lif(ctx.config)),
            threads,
        )
        _check(status)
        total, projected = sums[0], sums[1]
        # dL/da = sum(gz * y), dL/db = sum(gz); y = mean + (y - mean).
        grad_a = (projected / scale + total * centre).float()
        rows = y.numel() // shape.C
        if mean is None:
            q, r = torch.zeros(shape.C), torch.zeros(shape.C)
        else:
            # dL/dy through the batch's own mean and variance (Ioffe & Szegedy 2015)
            q = -(a * scale * projected / rows).float()
            r = -(a * total / rows).float() - q * centre
        _check(
            _function("finish", y.dtype)(
                _at(y),
                _at(gz),
                _at(a),
                _at(q),
                _at(r),
                ctypes.c_int64(rows),
                ctypes.c_int64(shape.C),
                threads,
            )
        )
        return gz, grad_a, total.float(), None, None, None, None


def _lif(config: Settings) -> Lif:
    charge = 2 if config.decay_input else 1 if config.v_rest else 0
    return Lif(
        config.decay,
        config.tau,
        config.v_threshold,
        config.v_rest,
        config.v_rest,
        config.alpha,
        charge,
        config.v_reset == "soft",
        config.detach_reset,
        _SURROGATE[config.surrogate],
    )


def _at(tensor: Tensor) -> ctypes.c_void_p:
    if tensor.device.type != "cpu" or not tensor.is_contiguous():
        what = f"{tensor.device.type}, strides {tensor.stride()}"
        raise ValueError(f"the kernel needs contiguous memory of the CPU, got {what}")
    return ctypes.c_void_p(tensor.data_ptr())


def _function(name: str, dtype: torch.dtype) -> Any:
    level = libraries.choose_level(None, _LEVEL, levels())
    return _functions(level)[f"{name}_{_SUFFIX[dtype]}"]


@functools.cache
def _functions(level: str) -> dict[str, Any]:
    kernels = _library().st_neurons(LEVELS.index(level)).contents
    names = [f"{name}_{suffix}" for name in _FUNCTIONS for suffix in _SUFFIX.values()]
    return {name: getattr(kernels, name) for name in names}


def _check(status: int) -> None:
    if status:
        raise MemoryError("the neuron kernel could not allocate its scratch memory")


def _library() -> ctypes.CDLL:
    found = _tried()
    if isinstance(found, UserError):
        raise found
    return found


@functools.cache
def _tried() -> ctypes.CDLL | UserError:
    signatures: dict[str, tuple[Any, list[Any]]] = {
        "st_levels": (ctypes.c_uint, []),
        "st_neurons": (ctypes.POINTER(_Kernels), [ctypes.c_int]),
        "st_parallel": (ctypes.c_int, []),
    }
    try:
        return libraries.load("spiketicket.neurons", "spiketicket_train", signatures)
    except UserError as error:
        return error
