"""Runs tickets without PyTorch.

    from spiketicket import Engine
    engine = Engine("digits.ticket", threads=2)
    engine.predict(images)          # uint8 [N, C, H, W], as the data sets hold them

The C library does the work where it was built; without it numpy gives the same spikes, slowly.
"""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from spiketicket.engine import library, reference
from spiketicket.engine.batches import Batches
from spiketicket.engine.classified import Classified, all_classified
from spiketicket.engine.compile import compile_ticket, normalisation
from spiketicket.engine.steps import Early, State, Steps
from spiketicket.engine.stepwise import roles
from spiketicket.engine.tuning import drawn_inputs
from spiketicket.errors import UserError, argument
from spiketicket.machine.above import Drawn, brief
from spiketicket.machine.typed import typed
from spiketicket.ticket import Ticket, stated, stated_margin

F32 = NDArray[np.float32]
Backend = Literal["auto", "c", "numpy"]
BACKENDS: tuple[Backend, ...] = ("auto", "c", "numpy")
Mode = Literal["throughput", "latency"]
MODES: tuple[Mode, ...] = ("throughput", "latency")

_MOST_THREADS = 1024
_TUNED = 8


class Engine(Drawn):
    """A ticket, ready to classify; thread safe, and may be forked.

    Args:
        ticket: a ticket, the path of its file, or its name in the zoo.
        threads: of the processor, that compute.
        mode: ``throughput`` gives each thread images of its own, the fastest for a batch;
            ``latency`` lets all threads work on one image, the fastest for that one. The answer is
            the same. numpy, which ``auto`` may fall back to, computes on one thread.
        tune: time the kernels that can compute each layer and keep the fastest, in place of an
            estimate of their cost: on inputs as :meth:`run` takes them, the first 8 of which are
            used, or, of ``True``, on drawn ones. The answer is the same. numpy has one way only.
        level: processor features the C library may use: ``generic``, ``avx2`` or ``avx512``; None
            is the best of this processor, or SPIKETICKET_ENGINE_LEVEL.
        backend: ``c``, ``numpy`` (the definition, slow), or ``auto``: C where it was built.

    Raises:
        TicketError: a file that cannot be read, or a ticket of a network that is not this
            package's.
        UserError: a network that cannot be run without PyTorch (names the setting), the C library
            where there is none, ``latency`` or ``tune`` asked of numpy, inputs to tune on that
            :meth:`run` refuses, or another value than the ones above.
    """

    drawn_by: ClassVar[str] = "engine_html"

    @typed
    def __init__(
        self,
        ticket: Ticket | str | os.PathLike[str],
        *,
        threads: int = 1,
        level: str | None = None,
        backend: Backend = "auto",
        mode: Mode = "throughput",
        tune: bool | NDArray[Any] = False,
    ) -> None:
        _check_options(threads, backend)
        _check_speed_options(mode, tune is not False, backend)
        loaded, where = _load(ticket)
        try:
            self.program = compile_ticket(loaded)
        except UserError as error:
            if not where:
                raise
            inner = f"{where}: {error.where}" if error.where else where
            raise type(error)(
                error.what, where=inner, value=error.value, remedy=error.remedy
            ) from error
        self.threads, self.mode = int(threads), mode
        self.metadata: dict[str, Any] = dict(loaded.metadata)
        self.classes = class_names(loaded, self.program.classes)
        self.backend = _backend(backend)
        self.margin = stated_margin(self.metadata)
        self._constants = normalisation(loaded, self.program.channels)
        self._batches = Batches(self.program, self._constants, self.threads)
        self._level, self._tuned = level, None if tune is False else self._tuning_inputs(tune)
        self._net = self._made_net(stepwise=False)
        self._steps: Steps | None = None
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        first, *rest = self.facts().items()
        lines = [f"{first[0]}: {first[1]}", *(f"{key}: {brief(words)}" for key, words in rest)]
        return "<Engine " + "\n  ".join(lines) + ">"

    def facts(self) -> dict[str, str]:
        """What it takes, what its ticket states, and what computes: at most five lines."""
        takes = "images" if self.program.frames == 1 else "recordings of frames"
        sides = "x".join(map(str, self.input_shape))
        told = {k: v for k, v in stated(self.metadata).items() if k != "seed"}
        runs = f"{self.backend}, {self.threads} thread{'s' * (self.threads != 1)}, {self.mode}"
        return {"of": f"{takes} {sides}, {self.program.classes} classes", **told, "runs on": runs}

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Of one sample: ``(C, H, W)``, or ``(T, C, H, W)`` of frames."""
        p = self.program
        image = (p.channels, p.height, p.width)
        return image if p.frames == 1 else (p.frames, *image)

    def run(self, x: NDArray[Any]) -> F32:
        """Logits float32 ``[N, classes]``.

        ``x`` is ``[N, C, H, W]``, or ``[N, T, C, H, W]`` of an event network, N may be 0:

            uint8     pixels or counts of events, which the ticket's normalisation is applied to
            uint16    counts of events, likewise
            float     values that are normalised already; float64 and float16 become float32

        Memory does not grow with N but by the logits; any memory layout is taken, and
        ``numpy.memmap`` too.

        Raises:
            UserError: another shape or type, a value that is not finite, or a ticket without
                normalisation for whole numbers.
        """
        x = self._batches.checked(x, self.input_shape)
        out = np.empty((len(x), self.program.classes), np.float32)
        for start, part in self._batches.blocks(x):
            out[start : start + len(part)] = self._run_block(part)
        return out

    def predict(self, x: NDArray[Any]) -> NDArray[np.int64]:
        """The class of each sample, int64 ``[N]``; ``x`` as in :meth:`run`."""
        classes: NDArray[np.int64] = self.run(x).argmax(axis=1)
        return classes

    @typed
    def state(self, samples: int = 1) -> State:
        """What ``samples`` carry from one time step to the next, at rest: see :meth:`step`.

        Raises:
            UserError: a network whose answer needs all steps at once, such as one that ranks
                patches by their spikes at all of them; names the layer, and says why.
        """
        return self._stepwise().state(samples)

    def step(self, state: State, x: NDArray[Any] | None = None) -> F32:
        """Logits float32 ``[N, classes]`` after one more time step of the N samples of ``state``.

        They are of the mean over the steps so far, since ``state`` was new, reset, or its mean
        restarted: after all time steps of the ticket they are those of :meth:`run`, to the bit.
        Membranes are carried on for as many steps as are wanted.

        ``x`` is ``[N, C, H, W]``, one frame of each sample, of the types that :meth:`run` takes; or
        None: once more what each saw in the step before, as a picture is. What a network computes
        of a picture before its first membrane is then not computed again.

        Raises:
            UserError: as :meth:`run`; no input at the first step; a state of another engine.
        """
        if x is None:
            return self._stepwise().step(state, None, self.threads)
        x = self._batches.checked(x, self.input_shape[-3:])
        if len(x) != len(state):
            what = f"must be {len(state)} frames, one of each sample of the state"
            raise UserError(what, where="x", value=len(x))
        return self._stepwise().step(state, self._batches.prepared(x, 0), self.threads)

    def run_early(self, x: NDArray[Any], margin: float | None = None) -> Early:
        """Logits of ``x`` as :meth:`run` takes it, each after as many steps as it takes.

        That is the first step after which the best class leads the next one by ``margin`` in the
        sums of the logits over the steps, else all steps; None is the ticket's own margin, which
        ``spiketicket exit`` has chosen (:attr:`margin`).

        Raises:
            UserError: as :meth:`run` and :meth:`state`; a margin that is no number from 0 on; None
                where the ticket has none.
        """
        margin = self.early_margin(margin)
        steps = self._stepwise()
        parts = [steps.run_early(part, margin, self.threads) for _, part in self._all_blocks(x)]
        none = Early(np.empty((0, self.program.classes), np.float32), np.empty(0, np.uint32))
        return Early(*(np.concatenate(each) for each in zip(none, *parts, strict=True)))

    def early_margin(self, margin: float | None = None) -> float:
        """A margin that :meth:`run_early` takes: the one given, or the ticket's own.

        Raises:
            UserError: as there.
        """
        margin = self.margin if margin is None else margin
        if margin is None:
            what, remedy = (
                "the ticket has no margin for early answers",
                "spiketicket exit chooses one",
            )
            raise UserError(what, where=argument("margin"), remedy=remedy)
        if not margin >= 0:
            raise UserError("must be a number from 0 on", where=argument("margin"), value=margin)
        self._stepwise()  # refuses a network that has no steps of its own
        return margin

    @typed
    def classify(
        self,
        x: Any,
        *,
        top: int = 3,
        resize: bool = False,
        time_unit: Literal["s", "ms", "us", "ns"] | None = None,
        split_at_reset: bool = False,
        early_exit: bool = False,
        margin: float | None = None,
    ) -> Classified | list[Classified]:
        """The ``top`` classes of what a person has, best first, with their scores.

        Pixels are normalised and recordings are framed as the ticket says, as by
        ``spiketicket run``.

        Args:
            x: of a picture its path, a picture of Pillow, or an array or tensor of pixels, uint8 or
                floats from 0 to 1: [H, W], [H, W, C] or [C, H, W]. Of a recording its path,
                :class:`spiketicket.events.Events`, or its frames [T, C, H, W] as :meth:`run` takes
                them. Or a list of them, a batch [N, ...], or a folder: the answer is a list then,
                as it is for recordings that are cut into windows, or at resets.
            top: how many classes.
            resize: whether pictures are cut and scaled to the ticket's size.
            time_unit: of times in ``.npz`` and ``.npy`` files; None is the recipe's.
            split_at_reset: whether recordings whose clock was reset are cut into several.
            early_exit: whether an answer may come before the last time step: see :meth:`run_early`.
            margin: for that, in place of the ticket's own.

        Raises:
            UserError: a file that cannot be read, another size, values that are no pixels, or an
                option that is not for such inputs.
            TypeError: an object that is none of these.
        """
        from spiketicket.engine.inputs import reader_for, samples_of

        if top < 1:
            raise UserError("must be a whole number from 1 on", where=argument("top"), value=top)
        reader = reader_for(self, resize=resize, time_unit=time_unit, split=split_at_reset)
        early = self.early_margin(margin) if early_exit or margin is not None else None
        samples, many = samples_of(reader, x)
        found = all_classified(self, samples, top, early)
        return found if many else found[0]

    def plan(self, x: NDArray[Any] | None = None) -> list[dict[str, Any]]:
        """How every step is computed, in order: ``op`` (joined ops with a plus), ``name`` (its
        layer's), ``kernel``, ``shape`` (of its output), ``density`` (of its weights, or None) and
        ``us``, microseconds for one of the first samples of ``x`` (None where there are none).

        Raises:
            UserError: as :meth:`run`.
        """
        from spiketicket.engine.plan import library_plan, numpy_plan

        batch = None if x is None else next(self._all_blocks(x), (0, None))[1]
        if self._net is None:
            return numpy_plan(self.program, batch)
        return library_plan(self._net, self.program, batch)

    def _tuning_inputs(self, tune: bool | NDArray[Any]) -> F32:
        if tune is True:
            return drawn_inputs(self.program, self._constants)
        for _, part in self._all_blocks(np.asarray(tune)):
            return reference.as_float(self.program, part[:_TUNED])
        raise UserError("needs at least one input", where="tune", remedy="Use tune=True")

    def _made_net(self, *, stepwise: bool) -> library.Net | None:
        if self.backend != "c":
            return None
        net = library.Net(
            self.program.to_bytes(),
            self._level,
            latency=self.mode == "latency",
            stepwise=stepwise,
        )
        if self._tuned is not None:
            net.tune(np.ascontiguousarray(self._tuned[:, :1]) if stepwise else self._tuned)
        return net

    def _stepwise(self) -> Steps:
        with self._lock:
            if self._steps is None:
                roles(self.program)
                self._steps = Steps(self.program, self._made_net(stepwise=True))
            return self._steps

    def _all_blocks(self, x: NDArray[Any]) -> Iterator[tuple[int, NDArray[Any]]]:
        return self._batches.blocks(self._batches.checked(x, self.input_shape))

    def _run_block(self, part: NDArray[Any]) -> F32:
        if self._net is None:
            return reference.run(self.program, part)
        return self._net.run(part, self.threads)


def _check_options(threads: int, backend: Backend) -> None:
    if not 1 <= threads <= _MOST_THREADS:
        what = f"must be a whole number from 1 to {_MOST_THREADS}"
        raise UserError(what, where="threads", value=threads)
    if backend not in BACKENDS:
        raise UserError(f"must be one of {', '.join(BACKENDS)}", where="backend", value=backend)


def _check_speed_options(mode: object, tuned: bool, backend: Backend) -> None:
    if mode not in MODES:
        raise UserError(f"must be one of {', '.join(MODES)}", where="mode", value=mode)
    if backend != "numpy":
        return
    remedy = 'Use backend="c"'
    if mode == "latency":
        raise UserError("numpy computes on one thread", where="mode", value=mode, remedy=remedy)
    if tuned:
        raise UserError("numpy has no kernels to choose from", where="tune", remedy=remedy)


def _load(ticket: Ticket | str | os.PathLike[str]) -> tuple[Ticket, str]:
    if isinstance(ticket, Ticket):
        return ticket, ""
    return Ticket.load(ticket), str(Path(ticket))


def class_names(ticket: Ticket, count: int) -> tuple[str, ...]:
    """The names in the ticket, or the classes' numbers."""
    names = ticket.metadata.get("classes")
    if isinstance(names, list) and len(names) == count and all(isinstance(n, str) for n in names):
        return tuple(names)
    return tuple(map(str, range(count)))


def _backend(backend: Backend) -> Literal["c", "numpy"]:
    if backend == "numpy":
        return "numpy"
    if library.available():
        return "c"
    if backend == "c":
        raise UserError(
            "the C library of the engine cannot be used; spiketicket version -v says why",
            where="backend",
            value=backend,
            remedy='Mend that, or use backend="numpy"',
        )
    # Python shows a warning from one place once
    warnings.warn(
        "the C library of the engine cannot be used: numpy computes the same, slowly;"
        " spiketicket version -v says why",
        RuntimeWarning,
        stacklevel=4,  # the caller of Engine, whose arguments `typed` looks at first
    )
    return "numpy"
