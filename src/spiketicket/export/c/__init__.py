"""A ticket as C99 for microcontrollers: no heap, nothing but ``memcpy`` and ``memset``.

``runtime/`` holds the C code that every network shares; it is copied into NAME.c behind the
network's own tables. All spikes are those of the engine's definition (``engine/reference.py``), at
every neuron and time step: sums of spikes are whole numbers, and the few that are too near to a
threshold are decided by the definition's own float32 operations (see ``thresholds.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from spiketicket._files import write_atomic
from spiketicket.engine.program import Program
from spiketicket.export.c.chain import ExportError, read_chain
from spiketicket.export.c.writer import Sizes, check_name, write_source

__all__ = ["ExportError", "Exported", "Sizes", "export_c"]


@dataclass(frozen=True)
class Exported:
    """Files written, and what they need of a microcontroller."""

    files: tuple[Path, ...]
    sizes: Sizes


def export_c(program: Program, folder: Path, name: str) -> Exported:
    """Write ``name.c`` and ``name.h`` into ``folder``, which is made where it is not there.

    Nothing is written before all of it is known to work.

    Raises:
        ExportError: the network or the name cannot be C; says which layer and why.
    """
    check_name(name)
    made = write_source(read_chain(program), name)
    folder.mkdir(parents=True, exist_ok=True)
    files = (folder / f"{name}.h", folder / f"{name}.c")
    for path, text in zip(files, (made.header, made.source), strict=True):
        write_atomic(path, text.encode("ascii"))
    return Exported(files, made.sizes)
