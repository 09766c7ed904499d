"""The C library, through ctypes.

The interface is ``csrc/engine/spiketicket_engine.h``. ctypes releases the interpreter's lock for
the length of a call, and a loaded net may be run by several threads at once.

The library lies in this package where the installation could build it; without it
:func:`available` is False. ``SPIKETICKET_ENGINE_LIBRARY`` names another file,
``SPIKETICKET_ENGINE_LEVEL`` (generic, avx2 or avx512) forces a level of the processor.
"""

from __future__ import annotations

import ctypes
import functools
import json
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from spiketicket.errors import UserError
from spiketicket.machine import libraries
from spiketicket.machine.libraries import LEVELS

__all__ = ["LEVELS", "Net", "NetState", "available", "levels", "state"]

_ERROR_BYTES = 512
_KEEP_REGISTERS, _LATENCY, _STEPWISE = 1, 2, 4
_LEVEL = "SPIKETICKET_ENGINE_LEVEL"

_Pointer = ctypes.c_void_p
_Text = ctypes.c_char_p
_Size = ctypes.c_size_t
_SIGNATURES: dict[str, tuple[Any, list[Any]]] = {
    "st_load": (_Pointer, [_Text, _Size, ctypes.c_int, ctypes.c_uint, _Text, _Size]),
    "st_free": (None, [_Pointer]),
    "st_run": (
        ctypes.c_int,
        [_Pointer, _Pointer, ctypes.c_int64, _Pointer, ctypes.c_int, _Text, _Size],
    ),
    "st_run_u8": (
        ctypes.c_int,
        [_Pointer, _Pointer, ctypes.c_int64, _Pointer, ctypes.c_int, _Text, _Size],
    ),
    "st_trace": (
        ctypes.c_int,
        [_Pointer, _Pointer, ctypes.c_uint32, _Pointer, _Size, _Text, _Size],
    ),
    "st_tune": (ctypes.c_int, [_Pointer, _Pointer, ctypes.c_int64, _Text, _Size]),
    "st_plan": (ctypes.c_int, [_Pointer, _Pointer, ctypes.c_int64, _Pointer, _Size]),
    "st_state_new": (_Pointer, [_Pointer]),
    "st_state_free": (None, [_Pointer]),
    "st_state_reset": (None, [_Pointer]),
    "st_state_restart_mean": (None, [_Pointer]),
    "st_state_copy": (_Pointer, [_Pointer]),
    "st_state_size": (_Size, [_Pointer]),
    "st_step": (
        ctypes.c_int,
        [_Pointer, _Pointer, _Pointer, ctypes.c_int64, _Pointer, ctypes.c_int, _Text, _Size],
    ),
    "st_step_u8": (
        ctypes.c_int,
        [_Pointer, _Pointer, _Pointer, ctypes.c_int64, _Pointer, ctypes.c_int, _Text, _Size],
    ),
    **dict.fromkeys(
        ("st_run_early", "st_run_early_u8"),
        (
            ctypes.c_int,
            [
                _Pointer,
                _Pointer,
                ctypes.c_int64,
                ctypes.c_float,
                _Pointer,
                _Pointer,
                ctypes.c_int,
                _Text,
                _Size,
            ],
        ),
    ),
    "st_levels": (ctypes.c_uint, []),
}


def available() -> bool:
    """Whether the C library is there and can be loaded."""
    try:
        _library()
    except UserError:
        return False
    return True


def levels() -> tuple[str, ...]:
    """The levels that this processor runs, the slowest first.

    Raises:
        UserError: there is no C library.
    """
    return libraries.levels_in(int(_library().st_levels()))


def state() -> str:
    """What runs the engine here, and why not something faster."""
    try:
        return libraries.state(levels(), _LEVEL)
    except UserError as error:
        return f"numpy, slowly: {error}"


class Net:
    """A program, ready to run.

    Args:
        program: its bytes (``Program.to_bytes()``); they are copied.
        level: one of :data:`LEVELS`, or None: ``SPIKETICKET_ENGINE_LEVEL``, else the best.
        keep_registers: run every op by itself, which :meth:`trace` needs. Slower.
        latency: the threads of a run work on one input together.
        stepwise: for :meth:`step`, in place of :meth:`run`.

    Raises:
        UserError: there is no C library, the program is refused, or this processor lacks the
            level.
    """

    def __init__(
        self,
        program: bytes,
        level: str | None = None,
        *,
        keep_registers: bool = False,
        latency: bool = False,
        stepwise: bool = False,
    ) -> None:
        self._handle: int | None = None
        self._lib = _library()
        error = ctypes.create_string_buffer(_ERROR_BYTES)
        flags = (_KEEP_REGISTERS if keep_registers else 0) | (_LATENCY if latency else 0)
        flags |= _STEPWISE if stepwise else 0
        number = LEVELS.index(libraries.choose_level(level, _LEVEL, levels()))
        self._handle = self._lib.st_load(program, len(program), number, flags, error, len(error))
        if not self._handle:
            raise UserError(error.value.decode(errors="replace"), where="engine program")
        words = np.frombuffer(program, "<u4", 16)
        steps, frames, channels, height, width, classes = (int(word) for word in words[3:9])
        self.steps, self.classes = steps, classes
        self.whole_shape = (frames, channels, height, width)
        self.input_shape = (1 if stepwise else frames, channels, height, width)

    def run(self, x: NDArray[Any], threads: int = 1) -> NDArray[np.float32]:
        """Logits float32 ``[N, classes]`` of ``x`` ``[N, frames, channels, height, width]``.

        ``x`` is C-contiguous, float32 or uint8; bytes go through the program's table.

        Raises:
            UserError: another shape, dtype or layout; no table for bytes; no memory.
        """
        self._check(x)
        if threads < 1:
            raise UserError("must be at least 1", where="threads", value=threads)
        out = np.empty((len(x), self.classes), np.float32)
        error = ctypes.create_string_buffer(_ERROR_BYTES)
        run = self._lib.st_run_u8 if x.dtype == np.uint8 else self._lib.st_run
        if run(self._open(), x.ctypes.data, len(x), out.ctypes.data, threads, error, len(error)):
            raise UserError(error.value.decode(errors="replace"), where="engine")
        return out

    def step(
        self, states: Sequence[NetState], x: NDArray[Any] | None, threads: int = 1
    ) -> NDArray[np.float32]:
        """Logits float32 ``[N, classes]`` after one more step of N different states.

        ``x`` is ``[N, 1, channels, height, width]`` as :meth:`run` takes it, or None: what each
        saw in the step before.

        Raises:
            UserError: as :meth:`run`; a state that is not of this net, or has seen nothing yet.
        """
        if x is not None:
            self._check(x)
            if len(x) != len(states):
                raise UserError("must be one input a state", where="x", value=len(x))
        out = np.empty((len(states), self.classes), np.float32)
        error = ctypes.create_string_buffer(_ERROR_BYTES)
        handles = (ctypes.c_void_p * len(states))(*(state.handle for state in states))
        as_bytes = x is not None and x.dtype == np.uint8
        step = self._lib.st_step_u8 if as_bytes else self._lib.st_step
        data = None if x is None else x.ctypes.data
        if step(
            self._open(), handles, data, len(states), out.ctypes.data, threads, error, len(error)
        ):
            raise UserError(error.value.decode(errors="replace"), where="engine")
        return out

    def run_early(
        self, x: NDArray[Any], margin: float, threads: int = 1
    ) -> tuple[NDArray[np.float32], NDArray[np.uint32]]:
        """Logits and steps ``[N]`` of a stepwise net, which stops an input once it is decided.

        ``x`` is ``[N, frames, channels, height, width]``, with all frames.

        Raises:
            UserError: as :meth:`run`; the net is not stepwise.
        """
        self._check(x, self.whole_shape)
        out = np.empty((len(x), self.classes), np.float32)
        steps = np.empty(len(x), np.uint32)
        error = ctypes.create_string_buffer(_ERROR_BYTES)
        run = self._lib.st_run_early_u8 if x.dtype == np.uint8 else self._lib.st_run_early
        if run(
            self._open(),
            x.ctypes.data,
            len(x),
            margin,
            out.ctypes.data,
            steps.ctypes.data,
            threads,
            error,
            len(error),
        ):
            raise UserError(error.value.decode(errors="replace"), where="engine")
        return out, steps

    def tune(self, x: NDArray[np.float32]) -> None:
        """Time the kernels that can compute each layer on ``x`` and keep the fastest.

        ``x`` is float32 ``[N, frames, channels, height, width]``, N at least 1; the first 8 are
        used. Not while another thread uses the net.

        Raises:
            UserError: another shape, dtype or layout; no input; no memory.
        """
        self._check_floats(x)
        error = ctypes.create_string_buffer(_ERROR_BYTES)
        if self._lib.st_tune(self._open(), x.ctypes.data, len(x), error, len(error)):
            raise UserError(error.value.decode(errors="replace"), where="engine")

    def trace(self, x: NDArray[np.float32], register: int, shape: tuple[int, ...]) -> NDArray[Any]:
        """Register ``[S, C, H, W]`` (its ``shape``) of one input, as float32.

        ``x`` is float32 ``[frames, channels, height, width]``.

        Raises:
            UserError: the net was not loaded with ``keep_registers``, or the register has
                another size.
        """
        self._check_floats(x[None])
        out = np.empty(shape, np.float32)
        error = ctypes.create_string_buffer(_ERROR_BYTES)
        if self._lib.st_trace(
            self._open(), x.ctypes.data, register, out.ctypes.data, out.size, error, len(error)
        ):
            raise UserError(error.value.decode(errors="replace"), where="engine")
        return out

    def plan(self, x: NDArray[np.float32] | None = None) -> dict[str, Any]:
        """Level and steps: ops, kernel, shapes, density, and microseconds.

        ``x`` is float32 ``[N, frames, channels, height, width]``: each step is timed on it, the
        best of N. Without it the times are 0.

        Raises:
            UserError: another shape, dtype or layout; no memory.
        """
        count, data = 0, None
        if x is not None:
            self._check_floats(x)
            count, data = len(x), x.ctypes.data
        size = 1 << 16
        while True:
            text = ctypes.create_string_buffer(size)
            needed = int(self._lib.st_plan(self._open(), data, count, text, size))
            if needed < 0:
                raise UserError("no memory to plan", where="engine")
            if needed < size:
                plan: dict[str, Any] = json.loads(text.value)
                return plan
            size = needed + 1024

    def close(self) -> None:
        """Free the net; it cannot be run afterwards. Closing twice does nothing."""
        handle, self._handle = self._handle, None
        if handle:
            self._lib.st_free(handle)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def _open(self) -> int:
        if self._handle is None:
            raise UserError("the net is closed", where="engine")
        return self._handle

    def _check_floats(self, x: NDArray[Any]) -> None:
        self._check(x)
        if x.dtype != np.float32:
            raise UserError("must be float32", where="input of the engine", value=str(x.dtype))

    def _check(self, x: NDArray[Any], wanted: tuple[int, ...] = ()) -> None:
        wanted = wanted or self.input_shape
        if x.dtype not in (np.float32, np.uint8):
            what = "must be float32 or uint8"
            raise UserError(what, where="input of the engine", value=str(x.dtype))
        if x.shape[1:] != wanted or x.ndim != len(wanted) + 1:
            shape = ", ".join(map(str, wanted))
            what = f"must have the shape [N, {shape}]"
            raise UserError(what, where="input of the engine", value=x.shape)
        if not (x.flags.c_contiguous and x.flags.aligned):
            remedy = "Use numpy.ascontiguousarray"
            raise UserError("must be C-contiguous", where="input of the engine", remedy=remedy)


class NetState:
    """What one sample carries from step to step of a stepwise net, which it keeps open.

    Raises:
        UserError: no memory, or the net is not stepwise.
    """

    def __init__(self, net: Net, copy_of: NetState | None = None) -> None:
        self.handle: int | None = None
        self._lib, self.net = net._lib, net
        source = net._open() if copy_of is None else copy_of.handle
        make = self._lib.st_state_new if copy_of is None else self._lib.st_state_copy
        self.handle = make(source)
        if not self.handle:
            raise UserError("no memory for a state, or the net is not stepwise", where="engine")

    def reset(self) -> None:
        """To rest."""
        self._lib.st_state_reset(self.handle)

    def restart_mean(self) -> None:
        """A new mean of logits begins with the next step."""
        self._lib.st_state_restart_mean(self.handle)

    @property
    def nbytes(self) -> int:
        """Bytes of memory."""
        return int(self._lib.st_state_size(self.handle))

    def __del__(self) -> None:
        handle, self.handle = self.handle, None
        if handle:
            self._lib.st_state_free(handle)


def _library() -> ctypes.CDLL:
    return _loaded(os.environ.get("SPIKETICKET_ENGINE_LIBRARY") or None)


@functools.cache
def _loaded(named: str | None) -> ctypes.CDLL:
    path = Path(named) if named else None
    return libraries.load("spiketicket.engine", "spiketicket_engine", _SIGNATURES, path)
