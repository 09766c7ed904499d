"""A program of T steps as that of one of them, whose membranes are carried on.

A register is the same at every step (STILL), of the step that runs (MOVING), or of all steps so far
(TOTAL): the mean over time, and what is made of it. ``csrc/engine/stepwise.c`` does the same for
the C library.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spiketicket.engine import ops, reference
from spiketicket.engine.program import Op, Program
from spiketicket.errors import UserError

Array = NDArray[Any]
F32 = NDArray[np.float32]


class Role(enum.Enum):
    """What a register of one step is: see the module."""

    STILL = 0
    MOVING = 1
    TOTAL = 2


def roles(program: Program) -> tuple[Role, ...]:
    """The role of every register of a program.

    Raises:
        UserError: its answer needs all steps at once; names the layer, and says why.
    """
    known = {0: Role.MOVING if program.frames > 1 else Role.STILL}
    for op in program.ops:
        known[op.out] = _role(program, op, {known[register] for register in op.inputs})
    return tuple(known[register] for register in range(len(known)))


def _role(program: Program, op: Op, given: set[Role]) -> Role:
    carries = _carries(op)
    if Role.TOTAL in given and (carries or Role.MOVING in given):
        what = "has a membrane that reads" if carries else "joins one step with"
        raise _refused(program, op, f"{what} a mean over all steps")
    if isinstance(op, ops.Score) and Role.MOVING in given and program.steps > 1:
        kind = ops.ScoreKind(op.kind).name.lower().replace("_", " ")
        raise _refused(
            program,
            op,
            f"ranks patches by their {kind} over all {program.steps} time steps",
            'Use a ranking of the ConvPEP of one step, "fixed" or "center"; or give all steps at '
            "once: Engine.run",
        )
    if carries:
        return Role.MOVING
    if isinstance(op, ops.Mean) and op.time and Role.MOVING in given:
        return Role.TOTAL
    return max(given, default=Role.STILL, key=lambda role: role.value)


def _refused(program: Program, op: Op, what: str, remedy: str = "Use Engine.run") -> UserError:
    name = program.names.get(op.out, "")
    where = f"{name or type(op).__name__.lower()} of the network"
    return UserError(f"{what}: it cannot be computed step by step", where=where, remedy=remedy)


def _carries(op: Op) -> bool:
    lif = isinstance(op, ops.Neuron) and op.kind is ops.NeuronKind.LIF
    return lif or isinstance(op, ops.Leak)


class Stepper:
    """A program step by step, in numpy: the definition of what the C library does.

    Raises:
        UserError: as :func:`roles`.
    """

    def __init__(self, program: Program) -> None:
        self.roles = roles(program)
        self.program = replace(program, steps=1, frames=1)

    def step(self, memory: Memory, x: Array | None) -> F32:
        """Logits float32 ``[N, classes]`` after one more step.

        ``x`` is ``[N, 1, channels, height, width]``, or None: what each saw in the step before.
        """
        program, known = self.program, memory.still
        if x is not None:
            known = {0: reference.as_float(program, x)}
        moving: dict[int, Array] = {}
        for op in program.ops:
            still = self.roles[op.out] is Role.STILL
            if still and x is None:
                continue
            given = [known[i] if i in known else moving[i] for i in op.inputs]
            made = self._apply(op, given, memory)
            (known if still else moving)[op.out] = made
        memory.still, memory.averaged = known, memory.averaged + 1
        logits = {**known, **moving}[program.output]
        return np.ascontiguousarray(logits[:, 0, :, 0, 0])

    def _apply(self, op: Op, given: Sequence[Array], memory: Memory) -> Array:
        value = self.program.values[op.out]
        if isinstance(op, ops.Mean) and self.roles[op.out] is Role.TOTAL:
            if self.roles[op.inputs[0]] is Role.MOVING:
                before = memory.sums.get(op.out), memory.averaged
                mean, memory.sums[op.out] = reference.mean_so_far(op, given[0], value, before)
                return mean
        elif _carries(op):
            made, memory.carried[op.out] = reference.carry_on(
                op, given, value, memory.carried.get(op.out)
            )
            return made
        return reference.apply(op, given, value, memory.samples)


class Memory:
    """What ``samples`` carry from step to step, in numpy; new ones are at rest."""

    def __init__(self, samples: int) -> None:
        self.samples = samples
        self.reset()

    def reset(self) -> None:
        """To rest."""
        self.carried: dict[int, reference.Carried] = {}
        self.still: dict[int, Array] = {}
        self.restart_mean()

    def restart_mean(self) -> None:
        """A new mean begins with the next step."""
        self.sums: dict[int, Array] = {}
        self.averaged = 0

    def select(self, kept: Sequence[int]) -> None:
        """Only these samples go on."""
        index = np.asarray(kept, np.intp)
        self.samples = len(index)
        self.carried = {k: tuple(a[index] for a in each) for k, each in self.carried.items()}
        self.still = {k: a[index] for k, a in self.still.items()}
        self.sums = {k: a[index] for k, a in self.sums.items()}
