"""Exported C on an emulated Cortex-M4: bytes of flash and RAM, instructions, and the results.

The compiler is Debian's ``gcc-arm-none-eabi`` with ``libnewlib-arm-none-eabi``; the emulator is
PyPI's ``unicorn``. Instructions are counted; cycles are not
emulated: on a Cortex-M4 most instructions take one, loads and taken branches two or three.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np

try:
    import unicorn
    from unicorn import arm_const
except ImportError:
    unicorn = None

COMPILER = "arm-none-eabi-gcc"
FLAGS = (
    "-mcpu=cortex-m4",
    "-mthumb",
    "-mfpu=fpv4-sp-d16",
    "-mfloat-abi=hard",
    "-std=c99",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-pedantic",
    "-O3",
    "-ffunction-sections",
    "-fdata-sections",
)
SPACE = 0x1000000
FLASH, RAM = 0x08000000, 0x20000000
STACK, IMAGE, LOGITS = RAM + 2 * SPACE, RAM + 3 * SPACE, RAM + 5 * SPACE
STOP = FLASH + SPACE - 16


@dataclass(frozen=True)
class Outcome:
    """One image: logits as bytes, instructions executed, and deepest stack in bytes."""

    logits: bytes
    instructions: int
    stack_bytes: int


@dataclass
class Board:
    """A linked program in the emulator's memory."""

    elf: Path
    name: str

    def __post_init__(self) -> None:
        self.symbols = _symbols(self.elf)
        line = _output("arm-none-eabi-size", str(self.elf)).splitlines()[1].split()
        text, data, bss = (int(v) for v in line[:3])
        # code and constants; variables
        self.sizes = {"flash": text + data, "ram": data + bss}

    def run(self, image: np.ndarray, logits: int) -> Outcome:
        """Run one image from a fresh start; ``logits`` is their number."""
        uc = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS)
        uc.ctl_set_cpu_model(arm_const.UC_CPU_ARM_CORTEX_M4)
        for base in (FLASH, RAM, STACK - SPACE, IMAGE, LOGITS):
            uc.mem_map(base, SPACE)
        for address, content in _segments(self.elf):
            uc.mem_write(address, content)
        uc.mem_write(IMAGE, np.ascontiguousarray(image).tobytes())
        # The stack is filled with a pattern, and what is left of it tells its depth.
        uc.mem_write(STACK - 0x10000, b"\xa5" * 0x10000)
        registers = {
            arm_const.UC_ARM_REG_SP: STACK,
            arm_const.UC_ARM_REG_LR: STOP | 1,
            arm_const.UC_ARM_REG_R0: IMAGE,
            arm_const.UC_ARM_REG_R1: LOGITS,
        }
        for register, value in registers.items():
            uc.reg_write(register, value)
        total = _execute(uc, self.symbols[f"{self.name}_run"])
        used = bytes(uc.mem_read(STACK - 0x10000, 0x10000)).lstrip(b"\xa5")
        self.memory = uc
        return Outcome(bytes(uc.mem_read(LOGITS, 4 * logits)), total, len(used))

    def read(self, symbol: str, size: int) -> bytes:
        """What lies at a variable after :meth:`run`."""
        return bytes(self.memory.mem_read(self.symbols[symbol], size))


_SLICE = 1_000_000


def _execute(uc: unicorn.Uc, start: int) -> int:
    """Run from ``start`` to the return; the number of instructions.

    Counting every instruction from Python would take minutes: the emulator runs slices of known
    length by itself, and only the last one, which is shorter, is run again and counted.
    """
    total, pc = 0, start
    while True:
        state, memory = uc.context_save(), bytes(uc.mem_read(RAM, SPACE))
        stack, logits = bytes(uc.mem_read(STACK - SPACE, SPACE)), bytes(uc.mem_read(LOGITS, 4096))
        begin = pc
        uc.emu_start(begin | 1, STOP, count=_SLICE)
        pc = uc.reg_read(arm_const.UC_ARM_REG_PC)
        if pc == STOP:
            break
        total += _SLICE
    uc.context_restore(state)
    for base, content in ((RAM, memory), (STACK - SPACE, stack), (LOGITS, logits)):
        uc.mem_write(base, content)
    seen: list[int] = []
    uc.hook_add(unicorn.UC_HOOK_CODE, lambda *_: seen.append(1))
    uc.emu_start(begin | 1, STOP)
    return total + len(seen)


def available() -> str:
    """Why the board cannot be emulated here, or an empty text."""
    if shutil.which(COMPILER) is None:
        return f"{COMPILER} is not installed"
    return "" if unicorn is not None else "unicorn is not installed"


def build(folder: Path, name: str, *extra: str) -> Board:
    """Compile and link ``name.c`` and other sources in ``folder``; without start-up code."""
    elf = folder / f"{name}.elf"
    script = folder / "board.ld"
    script.write_text(
        f"MEMORY {{ flash (rx) : ORIGIN = {FLASH}, LENGTH = {SPACE}\n"
        f" ram (rw) : ORIGIN = {RAM}, LENGTH = {SPACE} }}\n"
        "SECTIONS { .text : { *(.text*) *(.rodata*) } > flash\n"
        " .ARM.exidx : { *(.ARM.exidx*) } > flash\n"
        " .data : { *(.data*) } > ram AT > flash\n .bss : { *(.bss*) *(COMMON) } > ram }\n"
    )
    command = [
        COMPILER,
        *FLAGS,
        f"{name}.c",
        *extra,
        "-nostartfiles",
        "-Wl,--gc-sections",
        f"-Wl,-e,{name}_run",
        "-Wl,-T,board.ld",
        "--specs=nosys.specs",
        "-o",
        str(elf),
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return Board(elf, name)


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _symbols(elf: Path) -> dict[str, int]:
    rows = (line.split() for line in _output("arm-none-eabi-nm", str(elf)).splitlines())
    return {row[2]: int(row[0], 16) for row in rows if len(row) == 3}


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
