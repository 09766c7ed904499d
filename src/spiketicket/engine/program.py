"""The program a ticket is compiled to: a list of ops over registers, and its bytes.

Registers are, for one image, ``[S, C, H, W]``: S is 1 where all time steps are the same, else T.
Register 0 is the input, float32 ``[frames, channels, height, width]``; the last op writes the
logits, float32 ``[1, classes, 1, 1]``. Kinds and shapes are not stored: every reader infers them
from the ops, and refuses a program that does not fit together.

Bytes, little endian, all of 4-byte words: 16 words of header (see ``_HEADER``), 32 words an op (0
opcode, 1 out, 2-4 inputs, 5.. parameters), and the arrays, 16-aligned, named by their offset.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spiketicket.engine import ops as _ops
from spiketicket.engine.ops import Op
from spiketicket.engine.values import (
    MAX_STEPS,
    NONE,
    DataReader,
    DataWriter,
    Kind,
    ProgramError,
    Value,
    float_array,
)

__all__ = ["MAX_STEPS", "Builder", "Kind", "Op", "Program", "ProgramError", "Value"]

MAGIC = 0x31505453
VERSION = 2
MAX_OPS = 65536
MAX_BYTES = 2**31 - 1
_HEADER = (
    "magic",
    "version",
    "total_bytes",
    "steps",
    "frames",
    "channels",
    "height",
    "width",
    "classes",
    "registers",
    "ops",
    "ops_offset",
    "data_offset",
    "flags",
    "lut",
    "reserved",
)
_HEADER_BYTES = 4 * len(_HEADER)
_OP_WORDS = 32
_CODES = {kind.code: kind for kind in _ops.OPS}


@dataclass(frozen=True, eq=False, kw_only=True)
class Program:
    """Ops with what they work on; building one checks all of it.

    Args:
        steps: T, from 1 to 32.
        frames: S of the input: 1, or T for frames of a recording.
        channels, height, width: of an image or frame.
        classes: number of logits.
        ops: in order; each register is written once, before it is read.
        lut: float32 ``[channels, 256]``, what an 8-bit value of a channel stands for, or None.
        names: a name for some registers, for messages and reports; not part of the bytes.

    Raises:
        ProgramError: it does not fit together.
    """

    steps: int
    frames: int
    channels: int
    height: int
    width: int
    classes: int
    ops: tuple[Op, ...]
    lut: NDArray[np.float32] | None = None
    names: dict[int, str] = field(default_factory=dict)
    values: tuple[Value, ...] = field(init=False)
    """The registers, inferred."""

    def __post_init__(self) -> None:
        if not self.ops or len(self.ops) >= MAX_OPS:
            raise ProgramError(f"a program has 1 to {MAX_OPS - 1} ops", value=len(self.ops))
        if self.lut is not None:
            lut = float_array(self.lut, (self.channels, 256))
            object.__setattr__(self, "lut", lut)
        known = {0: self.input_value()}
        for op in self.ops:
            known[op.out] = _infer(op, known, self.steps)
        if sorted(known) != list(range(len(known))):
            raise ProgramError("the registers are not numbered from 0")
        object.__setattr__(self, "values", tuple(known[i] for i in range(len(known))))
        last = known[self.ops[-1].out]
        if (last.kind, last.shape) != (Kind.F32, (1, self.classes, 1, 1)):
            raise ProgramError("the last op must give one float32 a class", value=last.shape)

    def input_value(self) -> Value:
        """Register 0."""
        return _input(self.steps, self.frames, self.channels, self.height, self.width)

    @property
    def output(self) -> int:
        """The register of the logits."""
        return self.ops[-1].out

    def to_bytes(self) -> bytes:
        """The program as one block of bytes; the same program gives the same bytes.

        Raises:
            ProgramError: it would be larger than 2 GiB.
        """
        data = DataWriter()
        records = []
        for op in self.ops:
            inputs = (*op.inputs, NONE, NONE, NONE)[:3]
            words = [op.code, op.out, *inputs, *op.words(data)]
            records.append(struct.pack(f"<{_OP_WORDS}I", *words, *[0] * (_OP_WORDS - len(words))))
        lut = data.floats(self.lut)
        ops = b"".join(records)
        data_offset = _HEADER_BYTES + len(ops) + (-(_HEADER_BYTES + len(ops)) % 16)
        total = data_offset + data.size
        if total > MAX_BYTES:
            raise ProgramError("the program is larger than 2 GiB", value=total)
        header = struct.pack(
            f"<{len(_HEADER)}I",
            MAGIC,
            VERSION,
            total,
            self.steps,
            self.frames,
            self.channels,
            self.height,
            self.width,
            self.classes,
            len(self.values),
            len(self.ops),
            _HEADER_BYTES,
            data_offset,
            0,
            lut,
            0,
        )
        gap = bytes(data_offset - _HEADER_BYTES - len(ops))
        return header + ops + gap + data.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> Program:
        """The program of its bytes.

        Raises:
            ProgramError: any damage, by what is wrong.
        """
        head = _header(content)
        data = DataReader(memoryview(content)[head["data_offset"] :])
        known = {0: _input(*(head[k] for k in ("steps", "frames", "channels", "height", "width")))}
        ops = []
        for index in range(head["ops"]):
            at = head["ops_offset"] + 4 * _OP_WORDS * index
            op = _read_op(struct.unpack_from(f"<{_OP_WORDS}I", content, at), data, known)
            known[op.out] = _infer(op, known, head["steps"])
            ops.append(op)
        if len(known) != head["registers"]:
            raise ProgramError("the number of registers is wrong", value=head["registers"])
        lut = data.floats(head["lut"], (head["channels"], 256))
        return cls(
            steps=head["steps"],
            frames=head["frames"],
            channels=head["channels"],
            height=head["height"],
            width=head["width"],
            classes=head["classes"],
            ops=tuple(ops),
            lut=lut,
        )


class Builder:
    """Collects ops; ``add`` checks each and returns the register it writes.

    The sizes are those of :class:`Program`.
    """

    def __init__(
        self,
        *,
        steps: int,
        frames: int,
        channels: int,
        height: int,
        width: int,
        classes: int,
        lut: NDArray[np.float32] | None = None,
    ) -> None:
        self._sizes: dict[str, Any] = {
            "steps": steps,
            "frames": frames,
            "channels": channels,
            "height": height,
            "width": width,
            "classes": classes,
        }
        self._lut, self._ops = lut, list[Op]()
        self._values = {0: _input(steps, frames, channels, height, width)}
        self._names: dict[int, str] = {}

    def add(self, op_type: type[Op], /, *inputs: int, name: str = "", **parameters: Any) -> int:
        """Append an op of ``op_type`` on registers ``inputs``; returns its register.

        Raises:
            ProgramError: it does not fit; ``name`` says where.
        """
        out = len(self._values)
        try:
            op = op_type(out=out, inputs=inputs, **parameters)
            self._values[out] = _infer(op, self._values, self._sizes["steps"])
        except ProgramError as error:
            if not name:
                raise
            raise ProgramError(error.what, where=name, value=error.value) from error
        self._ops.append(op)
        if name:
            self._names[out] = name
        return out

    def value(self, register: int) -> Value:
        """Kind and shape of a register."""
        return self._values[register]

    def program(self) -> Program:
        """The program; its logits are what the last op wrote.

        Raises:
            ProgramError: as :class:`Program`.
        """
        return Program(**self._sizes, ops=tuple(self._ops), lut=self._lut, names=dict(self._names))


def _input(steps: int, frames: int, channels: int, height: int, width: int) -> Value:
    if frames not in (1, steps):
        raise ProgramError("an input has 1 frame, or one for each step", value=(frames, steps))
    Value(kind=Kind.SPK, steps=steps, channels=1)  # refuses a T that is out of range
    return Value(kind=Kind.F32, steps=frames, channels=channels, height=height, width=width)


def _infer(op: Op, known: dict[int, Value], steps: int) -> Value:
    where = f"op {type(op).__name__} of register {op.out}"
    fewest, most = op.arity
    if not fewest <= len(op.inputs) <= most:
        raise ProgramError("has the wrong number of inputs", where=where, value=op.inputs)
    if op.out in known or any(register not in known for register in op.inputs):
        what = "a register must be written once, before it is read"
        raise ProgramError(what, where=where, value=(op.out, op.inputs))
    try:
        return op.infer([known[register] for register in op.inputs], steps)
    except ProgramError as error:
        raise ProgramError(error.what, where=where, value=error.value) from error


def _header(content: bytes) -> dict[str, int]:
    if len(content) < _HEADER_BYTES:
        raise ProgramError("is shorter than a program's header", value=len(content))
    head = dict(zip(_HEADER, struct.unpack_from(f"<{len(_HEADER)}I", content), strict=True))
    expected = {
        "magic": MAGIC,
        "version": VERSION,
        "total_bytes": len(content),
        "flags": 0,
        "reserved": 0,
    }
    for key, value in expected.items():
        if head[key] != value:
            raise ProgramError(f"is no program of this version: {key} is wrong", value=head[key])
    if not 1 <= head["ops"] < MAX_OPS or not 1 <= head["classes"] <= 65536:
        raise ProgramError("its sizes are out of range", value=(head["ops"], head["classes"]))
    start, data = head["ops_offset"], head["data_offset"]
    end = start + 4 * _OP_WORDS * head["ops"]
    if start % 4 or start < _HEADER_BYTES or data % 16 or not end <= data <= len(content):
        raise ProgramError("its parts overlap or lie outside", value=(start, data))
    return head


def _read_op(record: Sequence[int], data: DataReader, known: dict[int, Value]) -> Op:
    code, out, *inputs = record[:5]
    if code not in _CODES:
        raise ProgramError("unknown op", value=code)
    used = tuple(register for register in inputs if register != NONE)
    if list(used) != inputs[: len(used)] or any(register not in known for register in used):
        raise ProgramError("an op reads a register that is not there", value=inputs)
    kind = _CODES[code]
    if not kind.arity[0] <= len(used) <= kind.arity[1]:
        raise ProgramError(f"{kind.__name__} has the wrong number of inputs", value=used)
    first = known[used[0]] if used else known[0]
    return kind.read(out, used, list(record[5:]), data, first)
