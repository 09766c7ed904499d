"""Files that are put in place once they are known to be right."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from spiketicket.machine.files import check_place, explained


@contextlib.contextmanager
def staged(*paths: Path, root: Path | None = None) -> Iterator[Path]:
    """A folder beside ``paths``, to write and check files of their names in, or, below ``root``, of
    their paths from there.

    They replace ``paths`` where nothing fails; otherwise ``paths`` are left as they were, and a
    folder that had to be made is removed again.

    Raises:
        UserError: the files cannot be written there.
    """
    with _made_folders(path.parent for path in paths):
        for path in paths:
            check_place(path, "path")
        first = paths[0] if root is None else root / "files"
        with explained(first, "path"):
            made = tempfile.TemporaryDirectory(dir=first.parent, prefix=".", suffix=".tmp")
        with made as folder:
            yield Path(folder)
            for path in paths:
                with explained(path, "path"):
                    name = path.name if root is None else path.relative_to(root)
                    (Path(folder) / name).replace(path)


@contextlib.contextmanager
def _made_folders(folders: Iterable[Path]) -> Iterator[None]:
    """Where an error passes, remove those of ``folders`` and of their parents that were not there
    before and are empty.
    """
    missing = {f for folder in folders for f in (folder, *folder.parents) if not f.exists()}
    try:
        yield
    except BaseException:
        for folder in sorted(missing, key=lambda f: len(f.parts), reverse=True):
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise
