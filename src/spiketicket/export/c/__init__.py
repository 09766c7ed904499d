"""A ticket as C for microcontrollers: no heap, nothing but ``memcpy`` and ``memset``.

The text is C99 and C++11 at once.

``runtime/`` holds the C code that every network shares; it is copied into NAME.c behind the
network's own tables. All spikes are those of the engine's definition (``engine/reference.py``), at
every neuron and time step: sums of spikes are whole numbers, and the few that are too near to a
threshold are decided by the definition's own float32 operations (see ``thresholds.py``).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from spiketicket.engine.program import Program
from spiketicket.export.c.chain import ExportError, read_chain
from spiketicket.export.c.header import Sizes
from spiketicket.export.c.names import c_name, check_name
from spiketicket.export.c.plain import write_plain
from spiketicket.export.c.writer import write_source
from spiketicket.export.staged import staged
from spiketicket.machine.files import write_bytes
from spiketicket.machine.typed import typed

__all__ = ["ExportError", "Exported", "Sizes", "c_name", "export_c"]


@dataclass(frozen=True)
class Exported:
    """Files written, and what they need of a microcontroller."""

    files: tuple[Path, ...]
    sizes: Sizes
    kept: tuple[Path, ...] = ()
    """Files of a user that were there and were left as they are."""
    plain: str = ""
    """Why the network is not written as packed layers but op by op, which takes more memory and
    time; empty where it is packed."""


@typed
def export_c(
    program: Program, folder: Path, name: str, classes: Sequence[str] | None = None
) -> Exported:
    """Write ``name.c``, ``name.h`` and an example into ``folder``, made where it is not there.

    Nothing is written before all of it is known to work. A ``main.c`` that is there is left alone:
    it is the user's.

    Args:
        program: the network.
        folder: of the files.
        name: begins the files' and functions' names.
        classes: the names of the outputs; their numbers where there are none.

    Raises:
        ExportError: the network or the name cannot be C; says which layer and why.
        UserError: the files cannot be written.
    """
    check_name(name)
    named = list(map(str, range(program.classes))) if classes is None else classes
    if len(named) != program.classes:
        raise ExportError(
            f"must be {program.classes} names, one an output", where="classes", value=len(named)
        )
    plain = ""
    try:
        chain = read_chain(program)
    except ExportError as error:
        plain = f"{error.where}: {error.what}"
        made = write_plain(program, name, named)
    else:
        made = write_source(chain, name, named)
    texts = {f"{name}.h": made.header, f"{name}.c": made.source}
    example = folder / "main.c"
    kept = (example,) if _is_users(example, made.main.encode("ascii")) else ()
    if not kept:
        texts[example.name] = made.main
    files = tuple(folder / file for file in texts)
    with staged(*files) as place:
        for file, text in texts.items():
            write_bytes(place / file, text.encode("ascii"), "folder")
    return Exported(files, made.sizes, kept, plain)


def _is_users(path: Path, content: bytes) -> bool:
    """Whether something other than ``content`` is at ``path``."""
    if not path.is_file():
        return os.path.lexists(path)
    return path.stat().st_size != len(content) or path.read_bytes() != content
