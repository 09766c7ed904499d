"""Exported C on emulated boards: bytes of flash and RAM, instructions, and what it computes.

The compilers are Debian's ``gcc-arm-none-eabi`` with ``libnewlib-arm-none-eabi``, and
``gcc-riscv64-unknown-elf`` with ``picolibc-riscv64-unknown-elf``; the emulator is PyPI's
``unicorn``, which is made of QEMU. Instructions are counted; cycles are not emulated: on a
Cortex-M4 most instructions take one, loads and taken branches two or three.
"""

from __future__ import annotations

import importlib
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_STRICT = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic")
_FLAGS = (*_STRICT, "-O3", "-ffunction-sections", "-fdata-sections")
_SPACE = 0x1000000
_FLASH, _RAM = 0x08000000, 0x20000000
_STACK, _IMAGE, _LOGITS = _RAM + 2 * _SPACE, _RAM + 3 * _SPACE, _RAM + 5 * _SPACE
_STOP = _FLASH + _SPACE - 16
_STACK_BYTES = 0x10000


@dataclass(frozen=True, kw_only=True)
class Board:
    """A processor, and how it is compiled for and emulated; ``bare`` without start-up code."""

    title: str
    tools: str
    """What the names of the compiler and its tools begin with."""
    flags: tuple[str, ...]
    bare: tuple[str, ...]
    machine: str
    """``ARM`` or ``RISCV``, as unicorn has it."""
    mode: tuple[str, ...]
    model: str
    packages: str

    def missing(self) -> str:
        """Why it cannot be compiled for and emulated here, or an empty text."""
        if shutil.which(f"{self.tools}gcc") is None:
            return f"{self.tools}gcc is not installed (Debian: {self.packages})"
        try:
            importlib.import_module("unicorn")
        except ImportError:
            return "unicorn is not installed (pip install spiketicket[boards])"
        return ""

    @property
    def compiler(self) -> str:
        """Its compiler with the version."""
        return f"{self.tools}gcc {_output(f'{self.tools}gcc', '-dumpfullversion').strip()} -O3"


_ARM = ("-nostartfiles", "-specs=nosys.specs")
_ARM_PACKAGES = "gcc-arm-none-eabi libnewlib-arm-none-eabi"
BOARDS: Final = {
    "cortex-m4": Board(
        title="Cortex-M4 with FPU",
        tools="arm-none-eabi-",
        flags=("-mcpu=cortex-m4", "-mthumb", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard"),
        bare=_ARM,
        machine="ARM",
        mode=("THUMB", "MCLASS"),
        model="CORTEX_M4",
        packages=_ARM_PACKAGES,
    ),
    "cortex-m33": Board(
        title="Cortex-M33 with FPU",
        tools="arm-none-eabi-",
        flags=("-mcpu=cortex-m33", "-mthumb", "-mfpu=fpv5-sp-d16", "-mfloat-abi=hard"),
        bare=_ARM,
        machine="ARM",
        mode=("THUMB", "MCLASS"),
        model="CORTEX_M33",
        packages=_ARM_PACKAGES,
    ),
    "rv32imac": Board(
        title="RV32IMAC, floats in software",
        tools="riscv64-unknown-elf-",
        flags=("-march=rv32imac", "-mabi=ilp32", "-specs=picolibc.specs"),
        bare=("-nostartfiles",),
        machine="RISCV",
        mode=("RISCV32",),
        model="RISCV32_ANY",
        packages="gcc-riscv64-unknown-elf picolibc-riscv64-unknown-elf",
    ),
}


@dataclass(frozen=True)
class Outcome:
    """One image: logits as bytes, instructions executed, and deepest stack in bytes."""

    logits: bytes
    instructions: int
    stack_bytes: int


class Linked:
    """A linked program, to be run in the emulator."""

    def __init__(self, board: Board, elf: Path, name: str) -> None:
        self.board, self.elf, self.name = board, elf, name
        rows = (line.split() for line in _output(f"{board.tools}nm", str(elf)).splitlines())
        self.symbols = {row[2]: int(row[0], 16) for row in rows if len(row) == 3}
        line = _output(f"{board.tools}size", str(elf)).splitlines()[1].split()
        text, data, bss = (int(v) for v in line[:3])
        self.flash_bytes, self.ram_bytes = text + data, data + bss
        """Code and constants; variables."""
        self.memory: Any = None

    def start(self) -> None:
        """A fresh start: all variables as they are when the power comes."""
        unicorn, const, cpu = self._unicorn()
        mode = 0
        for part in self.board.mode:
            mode |= getattr(unicorn, f"UC_MODE_{part}")
        self.memory = uc = unicorn.Uc(getattr(unicorn, f"UC_ARCH_{self.board.machine}"), mode)
        uc.ctl_set_cpu_model(getattr(const, f"UC_CPU_{cpu}{self.board.model}"))
        for base in (_FLASH, _RAM, _STACK - _SPACE, _IMAGE, _LOGITS):
            uc.mem_map(base, _SPACE)
        for address, content in _segments(self.elf):
            uc.mem_write(address, content)
        # The stack is filled with a pattern, and what is left of it tells its depth.
        uc.mem_write(_STACK - _STACK_BYTES, b"\xa5" * _STACK_BYTES)

    def put(self, image: NDArray[Any]) -> int:
        """Where an image lies."""
        self.memory.mem_write(_IMAGE, np.ascontiguousarray(image).tobytes())
        return _IMAGE

    def call(self, function: str, *arguments: int) -> int:
        """The number of instructions that a function of up to two arguments takes."""
        _, const, _ = self._unicorn()
        arm = self.board.machine == "ARM"
        own = ("ARM_REG_", "SP LR R0 R1") if arm else ("RISCV_REG_", "SP RA A0 A1")
        names = [f"UC_{own[0]}{register}" for register in own[1].split()]
        values = (_STACK, _STOP | arm, *arguments)
        for register, value in zip(names, values, strict=False):
            self.memory.reg_write(getattr(const, register), value)
        pc = getattr(const, "UC_ARM_REG_PC" if arm else "UC_RISCV_REG_PC")
        begin = self.symbols[function] & ~1
        return _execute(self.memory, begin, pc, self.ram_bytes + 4096, thumb=arm)

    def run(self, image: NDArray[Any], logits: int) -> Outcome:
        """Run one image from a fresh start; ``logits`` is their number."""
        self.start()
        total = self.call(f"{self.name}_run", self.put(image), _LOGITS)
        return Outcome(self.logits(logits), total, self.stack_bytes())

    def logits(self, count: int) -> bytes:
        """What the last call wrote to :data:`LOGITS`."""
        return bytes(self.memory.mem_read(_LOGITS, 4 * count))

    def stack_bytes(self) -> int:
        """How deep the stack was since the start."""
        left = bytes(self.memory.mem_read(_STACK - _STACK_BYTES, _STACK_BYTES))
        return len(left.lstrip(b"\xa5"))

    def read(self, symbol: str, size: int) -> bytes:
        """What lies at a variable after a call."""
        return bytes(self.memory.mem_read(self.symbols[symbol], size))

    def _unicorn(self) -> tuple[Any, Any, str]:
        machine = self.board.machine
        const = importlib.import_module(f"unicorn.{machine.lower()}_const")
        return importlib.import_module("unicorn"), const, "ARM_" if machine == "ARM" else ""


LOGITS: Final = _LOGITS
"""Where logits go."""
_SLICES = (1_000_000, 50_000, 2_500)


def _execute(uc: Any, start: int, program_counter: int, variables: int, *, thumb: bool) -> int:
    """Run from ``start`` to the return; the number of instructions.

    Counting every instruction from Python would take minutes: the emulator runs slices of known
    length by itself. The one in which the function returns is shorter: it is run again in smaller
    slices, and the last of the smallest is counted. Where a slice ends inside of an IT block of
    Thumb, the count may be off by one. ``variables`` are the bytes in RAM that change.
    """
    hook = importlib.import_module("unicorn").UC_HOOK_CODE
    places = ((_RAM, variables), (_STACK - _STACK_BYTES, _STACK_BYTES), (_LOGITS, 4096))
    total, at = 0, start
    for length in _SLICES:
        while True:
            state = uc.context_save()
            kept = [bytes(uc.mem_read(base, size)) for base, size in places]
            uc.emu_start(at | thumb, _STOP, count=length)
            if uc.reg_read(program_counter) == _STOP:
                break
            total, at = total + length, uc.reg_read(program_counter)
        uc.context_restore(state)
        for (base, _), content in zip(places, kept, strict=True):
            uc.mem_write(base, content)
    seen: list[int] = []
    handle = uc.hook_add(hook, lambda *_: seen.append(1))
    uc.emu_start(at | thumb, _STOP)
    uc.hook_del(handle)
    return total + len(seen)


def build(board: Board, folder: Path, name: str, *extra: str, keep: Sequence[str] = ()) -> Linked:
    """Compile and link ``name.c`` and other sources in ``folder``; without start-up code.

    ``keep`` are functions that stay beside ``name_run``.

    Raises:
        RuntimeError: the compiler refuses; what it says.
    """
    elf, script = folder / f"{name}.elf", folder / "board.ld"
    script.write_text(
        f"MEMORY {{ flash (rx) : ORIGIN = {_FLASH}, LENGTH = {_SPACE}\n"
        f" ram (rw) : ORIGIN = {_RAM}, LENGTH = {_SPACE} }}\n"
        "SECTIONS { .text : { *(.text*) *(.rodata*) *(.srodata*) } > flash\n"
        " .ARM.exidx : { *(.ARM.exidx*) } > flash\n"
        " .data : { *(.data*) *(.sdata*) } > ram AT > flash\n"
        " .bss : { *(.bss*) *(.sbss*) *(COMMON) } > ram }\n",
        encoding="ascii",
    )
    command = [
        f"{board.tools}gcc",
        *board.flags,
        *_FLAGS,
        f"{name}.c",
        *extra,
        *board.bare,
        "-Wl,-gc-sections",
        f"-Wl,-e,{name}_run",
        *(f"-Wl,-u,{function}" for function in keep),
        "-Wl,-T,board.ld",
        "-o",
        str(elf),
    ]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, encoding="utf-8", errors="replace", check=False
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return Linked(board, elf, name)


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, encoding="utf-8", check=True).stdout


def _segments(elf: Path) -> list[tuple[int, bytes]]:
    """What an ELF file loads where (its program headers of type 1)."""
    content = elf.read_bytes()
    start = int.from_bytes(content[28:32], "little")
    count = int.from_bytes(content[44:46], "little")
    headers = np.frombuffer(content, "<u4", 8 * count, start).reshape(count, 8)
    return [
        (int(address), content[offset : offset + size])
        for kind, offset, address, _, size, *_ in headers.tolist()
        if kind == 1 and size
    ]
