"""Files that are put in place once they are known to be right."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from spiketicket._files import check_place, explained


@contextlib.contextmanager
def staged(*paths: Path) -> Iterator[Path]:
    """A folder beside ``paths``, to write and check files of their names in.

    They replace ``paths`` where nothing fails; otherwise ``paths`` are left as they were.

    Raises:
        UserError: the files cannot be written there.
    """
    for path in paths:
        check_place(path, "--output")
    first = paths[0]
    with explained(first, "--output"):
        made = tempfile.TemporaryDirectory(dir=first.parent, prefix=".", suffix=".tmp")
    with made as folder:
        yield Path(folder)
        for path in paths:
            with explained(path, "--output"):
                (Path(folder) / path.name).replace(path)
