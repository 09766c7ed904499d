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
from typing import Literal

from spiketicket.engine.program import Program
from spiketicket.export.c.chain import ExportError, read_chain
from spiketicket.export.c.header import Sizes
from spiketicket.export.c.names import c_name, check_name
from spiketicket.export.c.packages import EXAMPLES, arduino, example_of, zephyr
from spiketicket.export.c.plain import write_plain
from spiketicket.export.c.stream import Camera, Stream, read_camera, write_stream
from spiketicket.export.c.writer import Source, write_source
from spiketicket.export.staged import staged
from spiketicket.machine.files import write_bytes
from spiketicket.machine.typed import typed

__all__ = ["Camera", "ExportError", "Exported", "Sizes", "c_name", "export_c", "read_camera"]

Kind = Literal["c", "arduino", "zephyr"]


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
    program: Program,
    folder: Path,
    name: str,
    classes: Sequence[str] | None = None,
    *,
    kind: Kind = "c",
    stream: bool = False,
    camera: Camera | None = None,
    margin: float | None = None,
) -> Exported:
    """Write ``name.c``, ``name.h`` and an example into ``folder``, made where it is not there.

    Nothing is written before all of it is known to work. An example that is there and was changed
    is left alone: it is the user's.

    Args:
        program: the network.
        folder: of the files.
        name: begins the files' and functions' names.
        classes: the names of the outputs; their numbers where there are none.
        kind: ``c`` for the files side by side, ``arduino`` for a library of the Arduino tools,
            ``zephyr`` for a module of Zephyr.
        stream: functions for one time step after the other too, a C++17 header ``name.hpp`` and a
            ``CMakeLists.txt``. The network is written op by op, which takes more memory and time.
        camera: for that, how events become frames.
        margin: for that, at which answers come early; see ``Engine.run_early``.

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
    texts = dict[str, str]()
    made: Source | Stream
    if stream:
        streamed = write_stream(program, name, named, camera=camera, margin=margin)
        texts = {f"{name}.hpp": streamed.cxx, "CMakeLists.txt": streamed.cmake}
        made, plain = streamed, "it runs one time step at a time"
    else:
        made, plain = _whole(program, name, named)
    texts = {f"{name}.h": made.header, f"{name}.c": made.source, **texts, "main.c": made.main}
    if kind != "c":
        example = example_of(stream=stream, events=camera is not None)
        texts = {"arduino": arduino, "zephyr": zephyr}[kind](texts, name, example)
    own = EXAMPLES[kind]
    kept = (folder / own,) if _is_users(folder / own, texts[own].encode("ascii")) else ()
    if kept:
        del texts[own]
    files = tuple(folder / file for file in texts)
    with staged(*files, root=folder) as place:
        for file, text in texts.items():
            (place / file).parent.mkdir(parents=True, exist_ok=True)
            write_bytes(place / file, text.encode("ascii"), "folder")
    return Exported(files, made.sizes, kept, plain)


def _whole(program: Program, name: str, named: Sequence[str]) -> tuple[Source, str]:
    """The files of all steps at once, and why they are not of packed layers."""
    try:
        chain = read_chain(program)
    except ExportError as error:
        return write_plain(program, name, named), f"{error.where}: {error.what}"
    return write_source(chain, name, named), ""


def _is_users(path: Path, content: bytes) -> bool:
    """Whether something other than ``content`` is at ``path``."""
    if not path.is_file():
        return os.path.lexists(path)
    return path.stat().st_size != len(content) or path.read_bytes() != content
