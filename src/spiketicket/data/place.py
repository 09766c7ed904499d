"""Where the data of a run lies on this machine: ``root.json`` in the run folder.

A ticket does not say it, and nothing is hashed of it. A run folder may be a stranger's: its word
on which folder to read is taken only where the file belongs to this user and lies in the very
folder that it was written in, which a copy or an unpacked archive does not.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Final

from spiketicket.data import store
from spiketicket.errors import DataNote, UserError
from spiketicket.machine.bounded import parse_json, read_regular
from spiketicket.machine.files import write_json
from spiketicket.recipe import DataConfig, registry

FILE: Final = "root.json"
_DEEPEST: Final = 4
"""Folders from a ticket up to its run: RUN/seed-0/ticket/model.ticket, and one to spare."""
_MAX_BYTES: Final = 1 << 14


def record(folder: Path, config: DataConfig) -> None:
    """Write into a run folder where its data was read; nothing where that comes with the package.

    Raises:
        OSError: it cannot be written.
    """
    shipped = registry.load("data", config.name).INFO.shipped
    if shipped or not (config.root or os.environ.get(store.ROOT_VARIABLE)):
        return
    root = store.data_root(config.root, config.name).absolute()
    write_json(folder / FILE, {"root": str(root), "inode": folder.stat().st_ino})


def recorded(path: Path) -> str:
    """The data folder of the run that a ticket or a folder of a run lies in; "" without one."""
    place = path.absolute()
    for folder in [place, *place.parents][: _DEEPEST + 1]:
        if folder.is_dir() and (folder / FILE).is_file():
            return _trusted(folder)
    return ""


def told(path: Path) -> str:
    """:func:`recorded`, and say so: the person has named no folder."""
    root = recorded(path)
    if root:
        warnings.warn(DataNote(f"data from {root}, as its run says"), stacklevel=3)
    return root


def _trusted(folder: Path) -> str:
    file = folder / FILE
    try:
        if hasattr(os, "geteuid") and file.stat().st_uid != os.geteuid():
            return ""
        found = parse_json(read_regular(file, _MAX_BYTES).decode())
    except (OSError, ValueError, UserError):
        return ""
    if not isinstance(found, dict) or found.get("inode") != folder.stat().st_ino:
        return ""
    root = found.get("root")
    sound = isinstance(root, str) and Path(root).is_absolute() and Path(root).is_dir()
    return root if isinstance(root, str) and sound else ""
