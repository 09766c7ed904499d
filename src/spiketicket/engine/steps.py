"""One time step after the other: membranes that are carried on belong to a :class:`State`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spiketicket.engine.library import Net, NetState
from spiketicket.engine.stepwise import Memory, Stepper, roles
from spiketicket.errors import UserError
from spiketicket.machine.bounded import need_memory

if TYPE_CHECKING:
    from spiketicket.engine.program import Program

F32 = NDArray[np.float32]
_MOST_SAMPLES = 1 << 20


class Early(NamedTuple):
    """Answers that came early: logits ``[N, classes]``, and the steps ``[N]`` that each took."""

    logits: F32
    steps: NDArray[np.uint32]


def margins(logits: F32, steps: int) -> F32:
    """By how much the best class leads the next one, ``[...]``, in sums of logits over ``steps``.

    ``logits`` ``[..., classes]`` are of the mean. Of one class alone it is infinite.
    """
    if logits.shape[-1] == 1:
        return np.full(logits.shape[:-1], np.inf, np.float32)
    two = np.partition(logits, -2, axis=-1)
    lead: F32 = (two[..., -1] - two[..., -2]) * np.float32(steps)
    return lead


def decided(logits: F32, steps: int, margin: float) -> NDArray[np.bool_]:
    """Whether the best class leads by ``margin``, a float32.

    As the thresholds of SEENN-I (Li et al., NeurIPS 2023, arXiv 2304.01230), on the lead of the
    best class in place of its share: it needs no exponential, and is a whole number where the
    logits are (the "gap" of Wu et al., arXiv 2301.09522).
    """
    return margins(logits, steps) >= np.float32(margin)


class State:
    """What some samples carry from one step to the next: membranes, and the mean of the logits.

    ``Engine.state`` makes one, at rest, and ``Engine.step`` takes it on. It belongs to whoever made
    it, and is used by one thread at a time. ``len`` of it is the number of samples.
    """

    def __init__(self, carried: list[NetState] | Memory) -> None:
        self._carried = carried
        self.steps = 0
        """Steps since it was new, or reset."""
        self.averaged = 0
        """Steps that are in the mean: those since then, or since ``restart_mean``."""

    def __len__(self) -> int:
        return self._carried.samples if isinstance(self._carried, Memory) else len(self._carried)

    def __repr__(self) -> str:
        return f"<State of {len(self)} samples after {self.steps} steps>"

    def reset(self) -> None:
        """All samples to rest, as they were when it was new."""
        for each in self._parts():
            each.reset()
        self.steps = self.averaged = 0

    def restart_mean(self) -> None:
        """A new mean of logits begins with the next step; membranes stay as they are.

        Before every step, it gives the logits of that step alone.
        """
        for each in self._parts():
            each.restart_mean()
        self.averaged = 0

    def select(self, samples: Sequence[int] | NDArray[Any]) -> None:
        """Go on with these samples only, by their places, in this order.

        Raises:
            UserError: a place that is not there, or twice.
        """
        places = [int(place) for place in np.asarray(samples).ravel()]
        if len({*places}) != len(places) or not {*places} <= {*range(len(self))}:
            what = f"must be different places from 0 to {len(self) - 1}"
            raise UserError(what, where="samples", value=places[:8])
        if isinstance(self._carried, Memory):
            self._carried.select(places)
        else:
            self._carried = [self._carried[place] for place in places]

    def _parts(self) -> Sequence[NetState | Memory]:
        return [self._carried] if isinstance(self._carried, Memory) else self._carried


class Steps:
    """A program by steps, by the C library or by numpy; thread safe.

    Raises:
        UserError: its answer needs all steps at once; names the layer, and says why.
    """

    def __init__(self, program: Program, net: Net | None) -> None:
        roles(program)
        self.program, self._net = program, net
        self._stepper = Stepper(program) if net is None else None

    def state(self, samples: int) -> State:
        """A state at rest.

        Raises:
            UserError: a number that is out of range, or no memory.
        """
        if not 0 <= samples <= _MOST_SAMPLES:
            what = f"must be a whole number from 0 to {_MOST_SAMPLES}"
            raise UserError(what, where="samples", value=samples)
        if self._net is None:
            return State(Memory(samples))
        made = [NetState(self._net) for _ in range(min(1, samples))]
        if made:
            need_memory(samples * made[0].nbytes, "the state", "samples")
        return State(made + [NetState(self._net) for _ in range(samples - len(made))])

    def run_early(self, x: NDArray[Any], margin: float, threads: int) -> Early:
        """Each of ``x`` ``[N, frames, channels, height, width]``, for as many steps as it takes."""
        if self._net is not None:
            return Early(*self._net.run_early(x, margin, threads))
        state = self.state(len(x))
        logits = np.empty((len(x), self.program.classes), np.float32)
        steps, left = np.zeros(len(x), np.uint32), np.arange(len(x))
        for t in range(self.program.steps):
            shown = x[left, t : t + 1] if x.shape[1] > 1 else None if t else x
            logits[left] = found = self.step(state, shown, threads)
            steps[left] = t + 1
            going = np.flatnonzero(~decided(found, t + 1, margin))
            left = left[going]
            if not len(left):
                break
            state.select(going)
        return Early(logits, steps)

    def step(self, state: State, x: NDArray[Any] | None, threads: int) -> F32:
        """Logits after one more step; ``x`` is ``[N, 1, channels, height, width]``, or None."""
        carried = state._carried
        if x is None and not state.steps:
            raise UserError("the first step needs an input", where="x", value=None)
        if self._stepper is not None and isinstance(carried, Memory):
            logits = self._stepper.step(carried, x)
        elif self._net is not None and isinstance(carried, list):
            logits = self._net.step(carried, x, threads)
        else:
            raise UserError("is of another engine", where="state", remedy="Use engine.state()")
        state.steps += 1
        state.averaged += 1
        return logits
