"""The C kernel of batch normalisation + LIF + pooling: built on first use, called by ctypes.

Needs a C compiler on the machine (``cc``, ``gcc`` or ``clang``, or the one named by CC). The
library is kept in the user's cache folder under a name made of its source, flags and processor,
and is put there by a rename, so that any number of processes may build it at once. It is kept and
loaded only where nobody else can have put it (:mod:`spiketicket.machine.private`); else it is
compiled for this process alone, in a temporary folder, and :func:`note` says why.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from spiketicket.errors import UserError
from spiketicket.machine import private, processor


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


# No fused multiply-add: the kernel rounds exactly where the definition in lif.py does.
_FLAGS = "-O3 -march=native -ffp-contract=off -fno-math-errno -fno-trapping-math -shared -fPIC"
_SURROGATE = {"sigmoid": 0, "atan": 1, "triangle": 2}
_SUFFIX = {torch.float32: "f32", torch.bfloat16: "bf16"}


_NOTES: list[str] = []


class Shape(ctypes.Structure):
    """``struct Shape`` of fused.c."""

    _fields_ = [(n, ctypes.c_int64) for n in ("T", "B", "H", "W", "C")] + [
        (n, ctypes.c_int32) for n in ("pool", "repeat")
    ]


class Lif(ctypes.Structure):
    """``struct Lif`` of fused.c."""

    _fields_ = [
        (n, ctypes.c_float) for n in ("decay", "tau", "v_threshold", "v_reset", "v_rest", "alpha")
    ] + [(n, ctypes.c_int32) for n in ("charge", "soft_reset", "detach_reset", "surrogate")]


def available() -> bool:
    """Whether the kernel can be had on this machine; the first call may build it."""
    return not isinstance(_try_library(), str)


def library() -> ctypes.CDLL:
    """The loaded kernel.

    Raises:
        UserError: there is no compiler, or it failed.
    """
    found = _try_library()
    if isinstance(found, str):
        raise UserError(
            f"the native neuron kernel is not available: {found}",
            where="train.kernel",
            remedy='Install a C compiler, or set train.kernel="eager"',
        )
    return found


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
        torch.get_num_threads(),
    )
    _check(status)
    return mean, var


class _Fused(torch.autograd.Function):
    @staticmethod
    def forward(
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
            torch.get_num_threads(),
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
        threads = torch.get_num_threads()
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
    return getattr(library(), f"{name}_{_SUFFIX[dtype]}")


def _check(status: int) -> None:
    if status:
        raise MemoryError("the neuron kernel could not allocate its scratch memory")


def find_compiler() -> str | None:
    """The command that compiles C here: CC, or the first of cc, gcc and clang."""
    return os.environ.get("CC") or next(filter(shutil.which, ("cc", "gcc", "clang")), None)


@functools.cache
def _try_library() -> ctypes.CDLL | str:
    _NOTES.clear()
    compiler = find_compiler()
    if compiler is None:
        return "no C compiler was found"
    try:
        return _loaded(compiler)
    except subprocess.CalledProcessError as error:
        return f"{compiler} failed: {error.stderr.strip()[:200]}"
    except (OSError, ValueError) as error:
        return str(error)


def note() -> str:
    """What a person should know about how the kernel was had, or ""."""
    return next(iter(_NOTES), "") if available() else ""


def _loaded(compiler: str) -> ctypes.CDLL:
    name, build = _recipe(compiler)
    cache = private.user_cache()
    why = "this user has no home folder" if cache is None else ""
    if cache is not None:
        try:
            why = private.make_private(cache / "kernels")
            target = cache / "kernels" / name
            if not why and not target.exists():
                build(target)
            why = why or private.why_not_private(target)
            if not why:
                return ctypes.CDLL(str(target))
        except OSError as error:
            why = f"{cache}: {error.strerror or error}"
    _NOTES.append(f"the neuron kernel is compiled anew by every process: {why}")
    with tempfile.TemporaryDirectory() as scratch:
        if refused := private.why_not_private(Path(scratch)):
            raise OSError(refused)
        build(Path(scratch) / name)
        return ctypes.CDLL(str(Path(scratch) / name))  # it stays loaded without its file


def _recipe(compiler: str) -> tuple[str, Callable[[Path], None]]:
    """The library's name, and what builds it at a place in a folder that is there."""
    source = resources.files(__package__) / "_kernel"
    texts = {name: (source / name).read_text("utf-8") for name in ("fused.c", "fused.h")}
    flags = _FLAGS.split() + ["-fopenmp"] * (platform.system() == "Linux")
    flags += ["-mprefer-vector-width=512"] * ("avx512f" in processor.features())
    kind = processor.features() or processor.name()
    key = repr((texts, flags, compiler, kind, platform.machine())).encode()

    def build(target: Path) -> None:
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            for name, text in texts.items():
                (Path(scratch) / name).write_text(text, "utf-8")
            made = Path(scratch) / "fused.so"
            source_file = str(Path(scratch) / "fused.c")
            command = [*shlex.split(compiler), *flags, source_file, "-o", str(made)]
            subprocess.run(
                command, check=True, capture_output=True, encoding="utf-8", errors="replace"
            )
            made.chmod(0o700)
            made.replace(target)

    return f"fused-{hashlib.sha256(key).hexdigest()[:16]}.so", build
