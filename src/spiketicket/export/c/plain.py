"""C of the programs that are no chain of packed layers: every op by itself, in float32.

Branches, sums, any neuron and any weights: what ``engine/reference.py`` computes, in its order, so
that the logits are the same. A network runs one time step at a time and keeps the neurons' state;
what is the same at every step is computed once before, what follows a mean over time once behind.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files

import numpy as np

from spiketicket._version import __version__
from spiketicket.engine import ops
from spiketicket.engine.ops import NeuronKind, Op
from spiketicket.engine.program import Kind, Program, Value
from spiketicket.export.c.chain import ExportError
from spiketicket.export.c.example import example
from spiketicket.export.c.header import Facts, Sizes, header, layout
from spiketicket.export.c.source import array, define, number
from spiketicket.export.c.writer import Source

_KNOWN = (
    ops.Synapse,
    ops.Neuron,
    ops.Leak,
    ops.MaxPool,
    ops.Add,
    ops.Concat,
    ops.Mask,
    ops.Mean,
)
_KINDS = {Kind.SPK: ("BYTES", "uint8_t", 1), Kind.INT: ("HALVES", "uint16_t", 2)}
_FLOATS = ("FLOATS", "float", 4)
_EXACT = 1 << 24
BEFORE, STEPS, BEHIND = range(3)


def write_plain(program: Program, name: str, classes: Sequence[str]) -> Source:
    """The files, named ``name``; ``classes`` are the names of its outputs.

    Raises:
        ExportError: an op has no C; names the layer.
    """
    return PlainWriter(program, name).source(classes)


@dataclass
class _Room:
    """An array that registers of one C type share; each takes the first place that is free."""

    taken: list[tuple[int, int, int]] = field(default_factory=list)
    """Where, how many, and the place in the order at which it is free again."""
    size: int = 0

    def place(self, count: int, now: int, until: int) -> int:
        """Where ``count`` values lie."""
        self.taken = sorted(t for t in self.taken if t[2] >= now)
        at = 0
        for start, length, _ in self.taken:
            if start >= at + count:
                break
            at = max(at, start + length)
        self.taken.append((at, count, until))
        self.size = max(self.size, at + count)
        return at


class PlainWriter:
    """Writes a program op by op; ``stream``, so that its steps are run one at a time."""

    def __init__(self, program: Program, name: str, *, stream: bool = False) -> None:
        self.program, self.name, self.stream = program, name, stream
        self.tables: list[str] = []
        self.weights = self.table_bytes = 0
        self.states: list[tuple[int, float]] = []
        self.bytes: int = 0
        self.sums = self.spots = 1
        self.spot = "uint16_t"
        self.phases = self._phases()
        self.order = sorted(range(len(program.ops)), key=lambda i: (self.phases[i], i))
        self.totals: dict[int, tuple[int, int]] = {}
        self.rooms = {"BYTES": _Room(), "HALVES": _Room(), "FLOATS": _Room()}
        self.places = self._places()

    def _named(self, op: Op) -> str:
        return self.program.names.get(op.out, type(op).__name__)

    def _phases(self) -> list[int]:
        """Of each op: before the steps, at each of them, or behind."""
        of = {0: STEPS if self.program.frames > 1 else BEFORE}
        found = []
        for op in self.program.ops:
            if not isinstance(op, _KNOWN):
                raise ExportError(
                    f"{type(op).__name__} is nothing the C export knows",
                    where=self._named(op),
                    remedy="Run the ticket with spiketicket.Engine",
                )
            given = {of[i] for i in op.inputs}
            phase = max(given)
            if given >= {STEPS, BEHIND}:
                raise ExportError(
                    "joins what has time steps with a mean over them", where=self._named(op)
                )
            if isinstance(op, ops.Leak) or (
                isinstance(op, ops.Neuron) and op.kind is NeuronKind.LIF
            ):
                if phase == BEHIND:
                    raise ExportError("is a neuron behind a mean over time", where=self._named(op))
                phase = STEPS
            found.append(phase)
            ends = isinstance(op, ops.Mean) and op.time and phase == STEPS
            of[op.out] = BEHIND if ends else phase
        return found

    def _places(self) -> dict[int, int]:
        """Where each register lies in the array of its type."""
        program = self.program
        turn = {program.ops[i].out: at for at, i in enumerate(self.order)}
        until = dict(turn)
        last_step = max(
            (at for at, i in enumerate(self.order) if self.phases[i] == STEPS), default=0
        )
        for at, i in enumerate(self.order):
            for register in program.ops[i].inputs:
                until[register] = max(until.get(register, 0), at)
        steps = {i: self.phases[i] == STEPS for i in self.order}
        found = {}
        if program.lut is not None:
            found[0] = self.rooms["FLOATS"].place(program.values[0].plane, 0, len(self.order))
        for at, i in enumerate(self.order):
            op = program.ops[i]
            if self._accumulates(op):
                found[op.out] = self._state(program.values[op.out].plane, 0.0)
                self.totals[op.out] = (found[op.out], program.values[op.out].plane)
                if not self.stream:
                    continue
                found[op.out] = self.rooms["FLOATS"].place(
                    program.values[op.out].plane, at, len(self.order)
                )
                continue
            end = until[op.out]
            if not steps[i] and any(
                steps[j] and op.out in program.ops[j].inputs for j in self.order
            ):
                end = max(end, last_step)  # it is read at every step
            if self.stream and self.phases[i] == BEFORE:
                end = len(self.order)  # and at those of the next call
            kind, _, _ = self._type(program.values[op.out])
            found[op.out] = self.rooms[kind].place(program.values[op.out].plane, at, end)
        return found

    def _accumulates(self, op: Op) -> bool:
        index = self.program.ops.index(op)
        return isinstance(op, ops.Mean) and op.time and self.phases[index] == STEPS

    def _state(self, count: int, start: float) -> int:
        at = sum(n for n, _ in self.states)
        self.states.append((count, start))
        return at

    @staticmethod
    def _type(value: Value) -> tuple[str, str, int]:
        return _KINDS.get(value.kind, _FLOATS)

    # ---- C text

    def _pointer(self, register: int) -> str:
        if register == 0 and self.program.lut is None:
            return "input"
        op = next((o for o in self.program.ops if o.out == register), None)
        at = self.places[register]
        if op is not None and self._accumulates(op) and not self.stream:
            return f"states + {at}"
        kind, _, _ = self._type(self.program.values[register])
        return f"{kind.lower()} + {at}"

    def _values(self, register: int) -> str:
        v = self.program.values[register]
        kind, _, _ = self._type(v)
        sides = f"{v.channels}u, {v.height}u, {v.width}u"
        return f"{{{self._pointer(register)}, {kind}, {sides}}}"

    def _call(self, op: Op) -> list[str]:
        lines = [f"values x{k} = {self._values(r)};" for k, r in enumerate(op.inputs)]
        out, to = self._pointer(op.out), self.program.values[op.out]
        kind, _, _ = self._type(to)
        given = self.program.values[op.inputs[0]]
        if isinstance(op, ops.Synapse):
            lines.append(f"run_synapse(&{self._synapse(op, given)}, &x0, {out});")
        elif isinstance(op, ops.Neuron):
            lines += self._neuron(op, out, to)
        elif isinstance(op, ops.Leak):
            state = self._state(to.plane, 0.0)
            rate = f"{int(op.own)}, {number(op.rate)}"
            lines.append(f"run_leak({rate}, &x0, states + {state}, {out});")
        elif isinstance(op, ops.MaxPool):
            lines.append(f"values to = {self._values(op.out)};")
            lines.append(f"run_maxpool({op.k}u, {op.stride}u, {op.pad}u, &x0, &to, {out});")
        elif isinstance(op, ops.Add):
            lines.append(f"run_add(&x0, &x1, {kind}, {out});")
        elif isinstance(op, ops.Mask):
            lines.append(f"run_mask(&x0, &x1, {kind}, {out});")
        elif isinstance(op, ops.Concat):
            at = 0
            for k, register in enumerate(op.inputs):
                lines.append(f"run_copy(&x{k}, {kind}, {out}, {at}u);")
                at += self.program.values[register].plane
        elif isinstance(op, ops.Mean):
            lines += self._mean(op, given, to, out)
        return lines

    def _mean(self, op: ops.Mean, given: Value, to: Value, out: str) -> list[str]:
        positions, steps = int(op.positions), self._steps_of(op)
        count = steps * (given.positions if positions else 1)
        if given.whole and count * given.largest >= _EXACT:
            raise ExportError("adds up more than 2^24", where=self._named(op), value=count)
        lines = []
        if self.stream and self._accumulates(op):
            at, plane = self.totals[op.out]
            spread = given.positions if positions else 1
            each = f"for (uint32_t i = 0; i < {plane}u; i++)"
            mean = f"states[{at}u + i] / (float)((averaged + 1u) * {spread}u)"
            return [f"add_up(&x0, {positions}, states + {at});", f"{each} ({out})[i] = {mean};"]
        if not self._accumulates(op):
            lines.append(f"for (uint32_t i = 0; i < {to.plane}u; i++) ({out})[i] = 0.0f;")
        lines.append(f"add_up(&x0, {positions}, {out});")
        divide = f"for (uint32_t i = 0; i < {to.plane}u; i++) ({out})[i] /= {number(count)};"
        last = f"if (step + 1u == {self.program.steps}u) " if self._accumulates(op) else ""
        return [*lines, f"{last}{divide}"]

    def _steps_of(self, op: ops.Mean) -> int:
        """What a mean over time divides by: 1 where there is one step for all."""
        return self.program.values[op.inputs[0]].steps if op.time else 1

    def _neuron(self, op: ops.Neuron, out: str, to: Value) -> list[str]:
        second = "&x1" if len(op.inputs) == 2 else "NULL"
        flags = (op.kind, op.charge, op.soft, op.strict, op.late, op.keep)
        numbers = (op.decay, op.tau, op.v_threshold, op.v_reset, op.v_rest)
        name = f"neuron{op.out}"
        self.tables.append(
            f"static const neuron {name} = {{{', '.join(str(int(f)) for f in flags)},"
            f" {', '.join(map(number, numbers))}}};\n"
        )
        if op.kind is NeuronKind.LIF:
            state = self._state(to.plane, op.v_rest)
            late = "NULL"
            if op.late:
                late = f"late + {self.bytes}"
                self.bytes += to.plane
            return [f"run_lif(&{name}, &x0, {second}, states + {state}, {late}, {out});"]
        kind = "run_step" if op.kind is NeuronKind.STEP else "run_number"
        return [f"{kind}(&{name}, &x0, {second}, {out});"]

    def _synapse(self, op: ops.Synapse, given: Value) -> str:
        name, parts = f"layer{op.out}", dict[str, str]()
        cout, _, kh, kw = op.kernel
        if op.signs is not None:
            for key, bits in (("keep", op.signs != 0), ("sign", op.signs > 0)):
                parts[key] = f"{name}_{key}"
                packed = np.packbits(bits.ravel(), bitorder="little")
                self.tables.append(array("uint8_t", parts[key], packed))
                self.weights += len(packed)
        for key, values in {"weights": op.weight, "bias": op.bias, "a": op.a, "b": op.b}.items():
            if values is not None:
                parts[key] = f"{name}_{key}"
                self.tables.append(array("float", parts[key], values))
                self.weights += 4 * values.size if key == "weights" else 0
                self.table_bytes += 4 * values.size if key != "weights" else 0
        if op.signs is not None and given.kind is Kind.SPK:
            self.spots = max(self.spots, given.plane + given.channels + 1)
            if max(given.height, given.width) > 256 or given.plane > 65535:
                self.spot = "uint32_t"
        h, w = (1, 1) if op.flatten else (given.height, given.width)
        high, wide = (
            (n + 2 * op.pad - k) // op.stride + 1 for n, k in zip((h, w), (kh, kw), strict=True)
        )
        self.sums = max(self.sums, high * wide)
        pointers = ", ".join(
            parts.get(key, "NULL") for key in ("keep", "sign", "weights", "bias", "a", "b")
        )
        sizes = (cout, kh, kw, op.stride, op.pad, op.pool, high, wide)
        self.tables.append(
            f"static const synapse {name} = {{{pointers}, {number(op.alpha)},"
            f" {', '.join(f'{n}u' for n in sizes)}, {int(op.flatten)}}};\n"
        )
        return name

    def _phase(self, phase: int, indent: str) -> str:
        text = ""
        for i in self.order:
            if self.phases[i] != phase:
                continue
            lines = self._call(self.program.ops[i])
            body = "".join(f"{indent}    {line}\n" for line in lines)
            text += f"{indent}{{\n{body}{indent}}}\n"
        return text

    def source(self, classes: Sequence[str]) -> Source:
        """The texts."""
        program, name = self.program, self.name
        plane = program.values[0].plane
        before, at_steps, behind = (
            self._phase(phase, indent)
            for phase, indent in ((BEFORE, "    "), (STEPS, "        "), (BEHIND, "    "))
        )
        raw = "float" if program.lut is None else "uint8_t"
        read, reads = self._reading(plane)
        if program.frames > 1:
            at_steps = f"        {read}\n{at_steps}"
        else:
            before = f"    {read}\n{before}"
        starts, at = "", 0
        for count, start in self.states:
            each = f"for (uint32_t i = 0; i < {count}u; i++)"
            starts += f"    {each} states[{at}u + i] = {number(start)};\n"
            at += count
        last = self._pointer(program.output)
        sizes = Sizes(
            weight_bytes=self.weights,
            table_bytes=self.table_bytes + (0 if program.lut is None else 4 * program.lut.size),
            ram_bytes=self._ram(at),
            float_layers=("all layers",),
        )
        facts = Facts(
            title=f"A spiking network, {program.steps} time steps, each layer by itself.\n"
            f" * Written by spiketicket {__version__}.",
            exactness="Every operation is that of the network, in float32.",
            pixel=raw,
            logit="float",
        )
        text = f"""\
/* {facts.title} See {name}.h. */
#include "{name}.h"

#include <stddef.h>
#include <string.h>

#ifdef __FAST_MATH__
#error "float32 must be rounded as written: compile without -ffast-math"
#endif

{self.arrays(at)}

{(files("spiketicket.export.c") / "runtime" / "plain.c").read_text("ascii")}
{"".join(self.tables)}{reads}
void {name}_run(const {raw} *image, float *logits)
{{
    const float *input = NULL;
{starts}    memset(late, 0, sizeof late);
    (void)input, (void)states, (void)halves, (void)bytes, (void)floats;
    (void)run_lif, (void)run_step, (void)run_number, (void)run_leak, (void)run_maxpool;
    (void)run_add, (void)run_mask, (void)run_copy, (void)add_up, (void)run_synapse;
{before}    for (uint32_t step = 0; step < {program.steps}u; step++) {{
{at_steps}        (void)step;
    }}
{behind}    memcpy(logits, {last}, {program.classes} * sizeof *logits);
}}

int {name}_classify(const {raw} *image)
{{
    float logits[{program.classes}];
    int best = 0;
    {name}_run(image, logits);
    for (int i = 1; i < {program.classes}; i++)
        if (logits[i] > logits[best]) best = i;
    return best;
}}
"""
        return Source(
            header=header(program, name, sizes, classes, facts),
            source=text,
            main=example(name, raw, "float", layout(program), whole=False),
            sizes=sizes,
        )

    def _reading(self, plane: int) -> tuple[str, str]:
        """The line that makes an image, or one of its frames, the first register; its table."""
        program = self.program
        start = f"image + (size_t)step * {plane}u" if program.frames > 1 else "image"
        if program.lut is None:
            return f"input = {start};", ""
        table = array("float", "of_bytes", program.lut)
        v = program.values[0]
        code = f"""
static void read_bytes(const uint8_t *image, float *out)
{{
    for (uint32_t i = 0; i < {plane}u; i++)
        out[i] = of_bytes[i / {v.positions}u * 256u + image[i]];
}}
"""
        return f"read_bytes({start}, {self._pointer(0)});", table + code

    def arrays(self, states: int) -> str:
        """What lies in RAM; ``states`` floats are carried on."""
        half = 8 if self.spot == "uint16_t" else 16
        macros = define("SUMS", self.sums) + define("SPOTS", f"{self.spots}u")
        macros += define("SPOT_ROW", f"{half}u") + define("SPOT_COLUMN", f"{(1 << half) - 1}u")
        return f"""\
{macros}
static float sums[SUMS];
typedef {self.spot} spot;
static spot spots[SPOTS];
static float states[{max(states, 1)}];
static uint8_t late[{max(self.bytes, 1)}];
static uint8_t bytes[{max(self.rooms["BYTES"].size, 1)}];
static uint16_t halves[{max(self.rooms["HALVES"].size, 1)}];
static float floats[{max(self.rooms["FLOATS"].size, 1)}];"""

    def _ram(self, states: int) -> int:
        spots = self.spots * (2 if self.spot == "uint16_t" else 4)
        kinds = (*_KINDS.values(), _FLOATS)
        rooms = spots + sum(size * self.rooms[kind].size for kind, _, size in kinds)
        return rooms + 4 * (states + self.sums) + self.bytes
